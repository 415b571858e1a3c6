/*
 * db_env: LMDB itself; db_env.c is the only file that sees lmdb.h.
 *
 * Three roles, each of one thread at a time: the writer (db_env_begin .. commit, grow),
 * the reader (get, walk, read_end), and a copier. The writer's calls are sticky: after
 * the first failure put and del do nothing, and db_env_commit() tells it once. The
 * reader's transaction is opened by its first call and lives until db_env_read_end();
 * growing the map waits for it, so the reader never waits for the writer meanwhile.
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
unsigned db_env_fill(const struct db_env *env);

void db_env_begin(struct db_env *env);
void db_env_put(struct db_env *env, enum db_table t, const struct db_val *key,
		const struct db_val *val);
void db_env_del(struct db_env *env, enum db_table t, const struct db_val *key);
/* Ends the transaction in every case; e is filled unless committed. */
enum db_outcome db_env_commit(struct db_env *env, struct err *e);
/* A quarter more map; between transactions. */
int db_env_grow(struct db_env *env, struct err *e);
/* Make the next commits cheap; between transactions, when nobody waits. */
void db_env_prepare(struct db_env *env);
/* Nobody needed the database for a while: let go of the memory. */
void db_env_cool(struct db_env *env);

int db_env_get(struct db_env *env, enum db_table t, const struct db_val *key,
	       struct db_val *out, struct err *e);
int db_env_walk(struct db_env *env, const struct db_walk *w,
		bool (*fn)(void *arg, const struct db_val *key,
			   const struct db_val *val),
		void *arg, struct err *e);
void db_env_read_end(struct db_env *env);

int db_env_copy(struct db_env *env, const char *dir, struct err *e);
