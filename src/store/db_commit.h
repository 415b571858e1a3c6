/*
 * db_commit: puts a batch on the disk, whatever the space. Store thread.
 *
 * When the disk or the map is full, units marked DB_ADMISSION are refused and the rest
 * is tried again: with the ballast file given up, or with a larger map, or waiting for
 * somebody to free space. What fails in any other way is fatal.
 */
#pragma once

#include <stdalign.h>
#include <sys/queue.h>

#include "db_env.h"

struct op {
	STAILQ_ENTRY(op) next;
	struct db_val key, val; /* in the memory behind */
	enum db_table table;
	bool del;
};
STAILQ_HEAD(ops, op);

struct unit {
	STAILQ_ENTRY(unit) next;
	struct ops ops;
	void (*on_done)(void *arg, const struct err *err);
	void *arg;
	unsigned flags;
	bool refused; /* set by db_commit_batch() */
};
STAILQ_HEAD(units, unit);

struct chunk {
	STAILQ_ENTRY(chunk) next;
	size_t used, size;
	alignas(max_align_t) uint8_t data[];
};
STAILQ_HEAD(chunks, chunk);

/* Units, and the memory they and their operations lie in. */
struct batch {
	struct units units;
	struct chunks chunks;
};

struct db_commit {
	struct db_env *env;
	char *dir, *ballast; /* paths */
	bool has_ballast;
};

void db_commit_init(struct db_commit *c, struct db_env *env, const char *dir);
void db_commit_fini(struct db_commit *c);
void db_commit_batch(struct db_commit *c, struct batch *b);
