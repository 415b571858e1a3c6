/*
 * db_env: LMDB itself; db_env.c is the only file that sees lmdb.h. Rows are keys as
 * db_key makes them.
 *
 * Three roles, each of one thread at a time: the writer (db_env_begin .. commit, grow,
 * cool), the reader (read_begin .. read_end), and a copier. The writer's calls are
 * sticky: after the first failure put and del do nothing, and db_env_commit() tells it
 * once. Growing the map waits for the reader's transaction to end, so the reader never
 * waits for the writer meanwhile.
 */
#pragma once

#include "slipway/db.h"

enum db_outcome {
	DB_COMMITTED,
	DB_MAP_FULL,  /* db_env_grow() helps */
	DB_DISK_FULL, /* only space on the file system helps */
	DB_BROKEN,    /* nobody knows what is on disk */
};

struct db_env;

/* Makes dir, takes its lock, opens or creates the database. */
struct db_env *db_env_open(const struct db_opts *o, struct err *e);
void db_env_close(struct db_env *env);
const char *db_env_instance(const struct db_env *env);
/* The seq of the last commit before the opening. */
uint64_t db_env_applied(const struct db_env *env);
/* Bytes in use as of the last commit, and how many the configuration allows. */
uint64_t db_env_used(const struct db_env *env);
uint64_t db_env_quota(const struct db_env *env);

void db_env_begin(struct db_env *env);
void db_env_put(struct db_env *env, const struct db_val *row, const struct db_val *val);
void db_env_del(struct db_env *env, const struct db_val *row);
/* Ends the transaction in every case; e is filled unless committed. What it holds are
 * all changes up to seq. */
enum db_outcome db_env_commit(struct db_env *env, uint64_t seq, struct err *e);
/* A quarter more map; between transactions. */
int db_env_grow(struct db_env *env, struct err *e);
/* Nobody needed the database for a while: let go of the memory. */
void db_env_cool(struct db_env *env);

/* Opens the reader's transaction unless it is open; *seq tells up to which change it
 * sees. get and rows are for between this and the end. */
int db_env_read_begin(struct db_env *env, uint64_t *seq, struct err *e);
void db_env_read_end(struct db_env *env);
/* 1 found, 0 not, -1. */
int db_env_get(struct db_env *env, const struct db_val *row, struct db_val *out,
	       struct err *e);
/* Rows in order, from the nearest at or after `from` on (before when reverse); without
 * that row itself when skip. row.data is NULL at the end. */
struct db_rows {
	void *cursor;
	bool reverse; /* set by the caller */
	struct db_val row, val;
};
int db_env_rows_open(struct db_env *env, struct db_rows *rows,
		     const struct db_val *from, bool skip, struct err *e);
int db_env_rows_next(struct db_rows *rows, struct err *e);
void db_env_rows_close(struct db_rows *rows);

int db_env_copy(struct db_env *env, const char *dir, struct err *e);
