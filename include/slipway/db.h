/*
 * db: LMDB with group commit. db_env.c is the only file that sees lmdb.h.
 *
 * Writing: on the loop, changes are gathered in units (db_begin ... db_end); all units
 * of a turn form a batch, which the store thread commits while the next one collects;
 * at once when it is idle. A unit's on_done runs on the loop after its batch is on disk.
 * A failed commit is fatal on purpose (abort; a restart rebuilds memory), except for
 * want of space: then units marked DB_ADMISSION are refused (on_done gets ERR_NO_SPACE),
 * the ballast file is given up, and the rest is committed without them.
 * Reading: committed state only, in read transactions that never outlive a turn.
 * One process per directory (flock); ERR_CONFLICT when another has it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/loop.h"

#define DB_SCHEMA 1
#define DB_KEY_MAX 500

enum db_table {
	DB_META,       /* schema, instance, counters, pause */
	DB_SPEC,       /* job id -> canonical JSON */
	DB_JOB,	       /* job id -> job record */
	DB_ATTEMPT,    /* job id NUL be32 number -> attempt record */
	DB_BY_STATE,   /* u8 state, be64 seq -> job id */
	DB_BY_TIME,    /* be64 seq -> job id */
	DB_BY_REPO,    /* 16 bytes of sha-256(repo), be64 seq -> job id */
	DB_PENDING,    /* job id -> "" : background work (seal, clean) left */
	DB_TOKEN,      /* sha-256 of a token -> token record */
	DB_TABLES
};

struct db;
struct db_opts {
	const char *dir; /* state_dir/db, made when missing */
	struct loop *loop;
	int64_t map_size;
	bool no_sync; /* benchmarks only */
};

struct db_val {
	const void *data;
	size_t len;
};

struct db *db_open(const struct db_opts *o, struct err *e);
/* Commits what is pending, waits for it (callbacks are run), closes. The loop must not
 * run afterwards. */
void db_close(struct db *db);
/* The random name of this installation, 16 hex digits, made at first open. */
const char *db_instance(const struct db *db);
/* 0..100 of the configured map in use; over 80 new work is refused by the caller. */
unsigned db_fill_percent(const struct db *db);

/* May be refused for want of space; what builds on it waits for its on_done. */
#define DB_ADMISSION 1u

/* One unit at a time; put and del copy. on_done may be NULL; err is NULL when the unit
 * is on disk. It never runs inside db_end(). */
void db_begin(struct db *db, unsigned flags);
void db_put(struct db *db, enum db_table t, const void *key, size_t klen,
	    const void *val, size_t vlen);
void db_del(struct db *db, enum db_table t, const void *key, size_t klen);
void db_end(struct db *db, void (*on_done)(void *arg, const struct err *err), void *arg);
/* Units not yet on disk. */
unsigned db_pending(const struct db *db);

/* Reading: one transaction is opened on first use and reset at the end of the turn
 * (and by db_read_end()); values are valid until then. 1 found, 0 not, -1 error. */
int db_get(struct db *db, enum db_table t, const void *key, size_t klen,
	   struct db_val *out, struct err *e);
void db_read_end(struct db *db);
/* Changes whenever there is something new to be read. */
uint64_t db_version(const struct db *db);
/* Walk keys that begin with prefix, from `from` on (or from the end of the prefix when
 * from is NULL and reverse), forwards or backwards. fn returns false to stop. `from`
 * itself is skipped when skip_from. The tables by job are walked whole only. */
struct db_walk {
	enum db_table table;
	const void *prefix;
	size_t prefix_len;
	const void *from;
	size_t from_len;
	bool reverse, skip_from;
};
int db_walk(struct db *db, const struct db_walk *w,
	    bool (*fn)(void *arg, const struct db_val *key, const struct db_val *val),
	    void *arg, struct err *e);
/* Consistent copy of the whole database into dir; blocking, any thread but the loop's. */
int db_copy(struct db *db, const char *dir, struct err *e);
