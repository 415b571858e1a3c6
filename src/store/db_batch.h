/*
 * db_batch: units of changes, and the memory they lie in.
 *
 * The loop fills a batch and hands it to the store; its operations stay where they are,
 * unchanged, until they are in LMDB: readers on the loop are served from them
 * meanwhile. Each batch has an owner at any time, see db_writer.h.
 */
#pragma once

#include <stdalign.h>
#include <sys/queue.h>

#include "db_key.h"

struct op {
	STAILQ_ENTRY(op) next;
	struct db_val row, val; /* in the memory behind; row as db_key_make() has it */
	bool del;

	/* db_overlay's */
	struct op *left, *right;
	uint64_t seq;
	uint32_t weight;
	bool shown;
};
STAILQ_HEAD(ops, op);

struct unit {
	STAILQ_ENTRY(unit) next;
	struct ops ops;
	void (*on_done)(void *arg, const struct err *err);
	void *arg;
	unsigned flags;
	bool refused; /* by the store, for want of space */
};
STAILQ_HEAD(units, unit);

struct chunk {
	STAILQ_ENTRY(chunk) next;
	size_t used, size;
	alignas(max_align_t) uint8_t data[];
};
STAILQ_HEAD(chunks, chunk);

struct batch {
	STAILQ_ENTRY(batch) to_settle, to_apply;
	struct units units;
	struct chunks chunks;
	struct chunk *filling; /* the last one, or NULL */
	size_t bytes;	       /* of the rows and values */
	uint64_t seq;	       /* its place in the order of all changes */
	size_t size;	       /* of its record in the journal */
	uint64_t journal_end;  /* where that ends, or 0 */
	bool direct;	       /* settled by LMDB, not by the journal */
	bool admits;	       /* some unit has DB_ADMISSION */
};
STAILQ_HEAD(batches, batch);

/* Chunks kept for the next batches; zeroed is empty. One thread. */
struct chunk_pool {
	struct chunk *spare; /* linked by next */
	unsigned n;
};

struct batch *batch_new(void);
/* Its chunks go to the pool, or are freed without one. NULL is fine. */
void batch_free(struct batch *b, struct chunk_pool *pool);
/* Move all of from to the end of to, and free from. */
void batch_join(struct batch *to, struct batch *from);
/* Aligned for anything; lives as long as the batch. */
void *batch_alloc(struct batch *b, struct chunk_pool *pool, size_t size);
/* A new unit at the end. */
struct unit *batch_add_unit(struct batch *b, struct chunk_pool *pool, unsigned flags);
/* A change at the end of a unit of this batch, with room for a value of vlen bytes. */
struct op *batch_add_op(struct batch *b, struct chunk_pool *pool, struct unit *u,
			const struct db_key *row, size_t vlen);
/* Fill that room. */
void batch_set_value(struct op *op, const void *val);
/* Does it change anything, refused units aside? */
bool batch_has_changes(const struct batch *b);

void chunk_pool_clear(struct chunk_pool *pool);
