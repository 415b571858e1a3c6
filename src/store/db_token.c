#include "slipway/db_token.h"

#include <string.h>

#include "slipway/log.h"

void
db_token_put(struct db *db, const struct token *t)
{
	struct wire_w w = { 0 };

	token_encode(t, &w);
	if (w.failed)
		log_fatal(LOG_STORE, "out of memory for a record");
	db_put(db, DB_TOKEN, t->hash, sizeof(t->hash), w.data, w.len);
	wire_w_free(&w);
}

void
db_token_del(struct db *db, const struct token *t)
{
	db_del(db, DB_TOKEN, t->hash, sizeof(t->hash));
}

struct each {
	bool (*fn)(void *arg, const struct token *t);
	void *arg;
};

static bool
on_record(void *arg, const struct db_val *key, const struct db_val *val)
{
	struct each *each = arg;
	struct err e = { 0 };
	struct token t;

	if (key->len != TOKEN_HASH_LEN)
		err_set(&e, ERR_CORRUPT, "its key is damaged");
	else if (token_decode(key->data, val->data, val->len, &t, &e) == 0)
		return each->fn(each->arg, &t);
	log_error(LOG_STORE, "a token cannot be read: %s", e.msg);
	return true;
}

int
db_token_each(struct db *db, bool (*fn)(void *arg, const struct token *t), void *arg,
	      struct err *e)
{
	const struct db_walk w = { .table = DB_TOKEN };
	struct each each = { fn, arg };

	return db_walk(db, &w, on_record, &each, e);
}

void
db_meta_put(struct db *db, const char *name, const void *data, size_t len)
{
	db_put(db, DB_META, name, strlen(name), data, len);
}

int
db_meta_get(struct db *db, const char *name, void *data, size_t len, struct err *e)
{
	struct db_val v;
	int found = db_get(db, DB_META, name, strlen(name), &v, e);

	if (found != 1)
		return found;
	if (v.len != len)
		return err_set(e, ERR_CORRUPT, "%s in the store has %zu bytes", name,
			       v.len);
	memcpy(data, v.data, len);
	return 1;
}
