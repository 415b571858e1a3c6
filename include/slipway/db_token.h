/*
 * db_token: typed access to tokens in the store. Loop thread only.
 *
 * Writers add to the unit that the caller has open (db_begin). Readers see committed
 * state; corrupt records are logged and skipped, which takes their access away.
 */
#pragma once

#include "slipway/db.h"
#include "slipway/token.h"

/* A new one, or a changed one. */
void db_token_put(struct db *db, const struct token *t);
void db_token_del(struct db *db, const struct token *t);
/* fn returns false to stop. */
int db_token_each(struct db *db, bool (*fn)(void *arg, const struct token *t),
		  void *arg, struct err *e);

/* Small values of web's in DB_META, by name. */
void db_meta_put(struct db *db, const char *name, const void *data, size_t len);
/* 1 found, with exactly len bytes; 0 not; -1 error. */
int db_meta_get(struct db *db, const char *name, void *data, size_t len, struct err *e);
