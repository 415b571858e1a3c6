/*
 * db: the store: LMDB, with a journal before it and group commit.
 *
 * Writing: on the loop, changes are gathered in units (db_begin ... db_end); all units
 * of a turn form a batch; at once when the store is idle, else together with the next
 * ones, it becomes one record of the journal: one write, one sync. Then it is settled:
 * on_done of its units runs on the loop, readers see it. LMDB gets what is settled some
 * time later, many batches in one transaction that tells up to where; what only the
 * journal has at a crash is brought to LMDB by the next db_open(). What the journal
 * cannot take LMDB commits itself, slower, with the same promises.
 * A failed write is fatal on purpose (abort; a restart rebuilds memory), except for
 * want of space. Then units marked DB_ADMISSION are refused (on_done gets ERR_NO_SPACE),
 * the ballast file is given up, and the rest goes on: into the journal while it has
 * room; after half a minute without any space that is fatal, too. What was settled stays
 * in the journal until there is space.
 * Reading: settled state only. What is read in one turn is one state, or a later one
 * each time that something was settled in between.
 * One process per directory (flock); ERR_CONFLICT when another has it, also when the
 * journal that lies there is another database's.
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
	bool no_sync;	  /* tests only */
	int64_t apply_ms; /* changes are in the journal alone so long; 0: as usual */
};

struct db_val {
	const void *data;
	size_t len;
};

struct db *db_open(const struct db_opts *o, struct err *e);
/* Settles what is pending, waits for it (callbacks are run), closes; the journal is empty
 * then unless space is out. The loop must not run afterwards. */
void db_close(struct db *db);
/* The random name of this installation, 16 hex digits, made at first open. */
const char *db_instance(const struct db *db);
/* 0..100 of the configured map in use, or about to be; over 80 new work is refused by
 * the caller. */
unsigned db_fill_percent(const struct db *db);

/* May be refused for want of space; what builds on it waits for its on_done. */
#define DB_ADMISSION 1u

/* One unit at a time; put and del copy. on_done may be NULL; err is NULL when the unit
 * is durable. It never runs inside db_end(). */
void db_begin(struct db *db, unsigned flags);
void db_put(struct db *db, enum db_table t, const void *key, size_t klen,
	    const void *val, size_t vlen);
void db_del(struct db *db, enum db_table t, const void *key, size_t klen);
void db_end(struct db *db, void (*on_done)(void *arg, const struct err *err), void *arg);
/* Units not yet settled. */
unsigned db_pending(const struct db *db);

/* Reading: values are valid until the end of the turn. 1 found, 0 not, -1 error. */
int db_get(struct db *db, enum db_table t, const void *key, size_t klen,
	   struct db_val *out, struct err *e);
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
/* Consistent copy of the whole database into dir, with all that was settled before the
 * call; blocking, any thread but the loop's. */
int db_copy(struct db *db, const char *dir, struct err *e);
