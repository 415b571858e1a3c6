/*
 * db_commit: puts batches into LMDB, whatever the space. One thread; is_full and hurry
 * from any.
 *
 * When the disk or the map is full, units marked DB_ADMISSION are refused where they
 * still can be, and the rest is tried again: with the ballast file given up, or with a
 * larger map, or waiting for somebody to free space. What fails in any other way is
 * fatal.
 */
#pragma once

#include <stdatomic.h>

#include "db_batch.h"
#include "db_env.h"

struct db_commit {
	struct db_env *env;
	char *dir, *ballast; /* paths */
	bool has_ballast;
	atomic_bool full, hurry;
	void (*on_full)(void *arg);
	void *arg;
};

/* on_full is called by db_commit_apply() when db_commit_is_full() became true. */
void db_commit_init(struct db_commit *c, struct db_env *env, const char *dir,
		    void (*on_full)(void *arg), void *arg);
void db_commit_fini(struct db_commit *c);
/* All of the list in one transaction, up to the seq of the last. Only units of direct
 * batches can be refused yet. -1: nothing was committed, for want of space; only in a
 * hurry. */
int db_commit_apply(struct db_commit *c, const struct batches *list, struct err *e);
/* The last try failed for want of space: new work should not be taken. */
bool db_commit_is_full(const struct db_commit *c);
/* Whether not to wait for space. */
void db_commit_hurry(struct db_commit *c, bool hurry);
