/*
 * db_writer: the two threads behind db.c, and the batches' way through them.
 *
 *   store thread: takes all that is ready as one batch, into the journal, settled
 *   apply thread: some time later, all settled batches into LMDB, applied
 *
 * A batch that the journal cannot take (there is none, the batch is too large, or LMDB
 * may have no room for its new work) is direct: the apply thread commits it, after
 * everything before it, and settles it, while the store thread waits.
 *
 * A batch belongs to the writer from db_writer_submit() on. Each comes back twice:
 * settled, when it is durable (or refused), to be shown to readers, and applied, no
 * earlier, when LMDB has it, to be freed; meanwhile the loop may read it, but for the
 * writer's links.
 */
#pragma once

#include "db_batch.h"
#include "db_env.h"

struct db_writer;

/* Before it returns, LMDB has what only the journal had. event_fd is written to when
 * there is something to take; it stays the caller's. */
struct db_writer *db_writer_new(const struct db_opts *o, struct db_env *env,
				int event_fd, struct err *e);
/* Ends the threads: all that was submitted is settled, and applied if there is space
 * for it, else left in the journal. What nobody took is freed. NULL is fine. */
void db_writer_free(struct db_writer *w);

/* The rest on the loop. */
void db_writer_submit(struct db_writer *w, struct batch *b);
/* Move what came back to these lists, linked by to_settle and to_apply; applied ones
 * have been taken as settled before, or are with this call. */
void db_writer_take(struct db_writer *w, struct batches *settled,
		    struct batches *applied);
/* Until there is something settled to take. */
void db_writer_wait_settled(struct db_writer *w);
/* The database was read: keep its memory for a while. */
void db_writer_touch(struct db_writer *w);
/* Bytes in LMDB, and on the way there, of 100 % = its quota. */
unsigned db_writer_fill(struct db_writer *w);

/* Any thread: waits until LMDB has all that is settled. */
void db_writer_sync(struct db_writer *w);
