/*
 * db_view: what readers see: LMDB as of some change, and over it the overlay's later
 * changes. Together that is one state, that of all settled changes at least.
 *
 * Loop thread. The LMDB side is fixed by the first read and until db_view_end(); the
 * overlay may get new changes meanwhile, which are seen at once, but may lose some only
 * while nobody reads.
 */
#pragma once

#include "db_env.h"
#include "db_overlay.h"

struct db_view {
	struct db_env *env;
	struct db_overlay overlay;
};

int db_view_get(struct db_view *v, enum db_table t, const struct db_val *key,
		struct db_val *out, struct err *e);
int db_view_walk(struct db_view *v, const struct db_walk *w,
		 bool (*fn)(void *arg, const struct db_val *key,
			    const struct db_val *val),
		 void *arg, struct err *e);
void db_view_end(struct db_view *v);
