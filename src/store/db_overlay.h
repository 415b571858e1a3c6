/*
 * db_overlay: changes that are settled but not yet in LMDB, in the order of their rows.
 *
 * A treap (a search tree by row, a heap by random weights) whose nodes are the
 * operations themselves: it allocates nothing. Of a row it shows the newest change
 * only. Loop thread.
 */
#pragma once

#include "db_batch.h"

struct db_overlay {
	struct op *root;
	uint32_t random; /* any seed */
};

/* op is the newest of its row; what was shown of that row is not any more. */
void db_overlay_show(struct db_overlay *o, struct op *op);
/* Nothing when a newer one took its place. */
void db_overlay_hide(struct db_overlay *o, struct op *op);
struct op *db_overlay_get(const struct db_overlay *o, const struct db_val *row);
/* The nearest at or after row, or at or before it when reverse; not row itself when
 * skip. NULL: none. */
struct op *db_overlay_seek(const struct db_overlay *o, const struct db_val *row,
			   bool reverse, bool skip);
