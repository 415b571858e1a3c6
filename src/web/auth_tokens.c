#include "auth_tokens.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <uthash.h>

#include "slipway/db_token.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define USE_STEP_MS 60000
#define BEGUN "auth"

struct entry {
	struct auth_token at;
	int64_t stored_use;
	bool committed;
	UT_hash_handle hh;
};

struct verb {
	LIST_ENTRY(verb) link;
	struct auth_tokens *ts; /* NULL: gone before the commit */
	uint8_t hash[TOKEN_HASH_LEN];
	auth_tokens_fn *done;
	void *arg;
};

struct auth_tokens {
	struct db *db;
	struct entry *entries; /* by at.t.hash */
	LIST_HEAD(, verb) verbs;
	bool begun;
};

static struct entry *
entry_add(struct auth_tokens *ts, const struct token *t)
{
	struct entry *en = xcalloc(1, sizeof(*en));

	en->at.t = *t;
	en->stored_use = t->used_at;
	HASH_ADD(hh, ts->entries, at.t.hash, sizeof(en->at.t.hash), en);
	return en;
}

static void
entry_remove(struct auth_tokens *ts, struct entry *en)
{
	HASH_DEL(ts->entries, en);
	free(en);
}

static bool
on_stored(void *arg, const struct token *t)
{
	entry_add(arg, t)->committed = true;
	return true;
}

struct auth_tokens *
auth_tokens_new(struct db *db, struct err *e)
{
	struct auth_tokens *ts = xcalloc(1, sizeof(*ts));
	uint8_t begun = 0;

	ts->db = db;
	LIST_INIT(&ts->verbs);
	if (db_token_each(db, on_stored, ts, e) == 0 &&
	    db_meta_get(db, BEGUN, &begun, sizeof(begun), e) >= 0) {
		ts->begun = begun || ts->entries;
		return ts;
	}
	auth_tokens_free(ts);
	return NULL;
}

static void
store_use(struct auth_tokens *ts, struct entry *en)
{
	/* Not worth the last pages of a full disk. */
	db_begin(ts->db, DB_ADMISSION);
	db_token_put(ts->db, &en->at.t);
	db_end(ts->db, NULL, NULL);
	en->stored_use = en->at.t.used_at;
}

void
auth_tokens_free(struct auth_tokens *ts)
{
	struct entry *en, *next;
	struct verb *v;

	HASH_ITER(hh, ts->entries, en, next) {
		if (en->committed && en->at.t.used_at != en->stored_use)
			store_use(ts, en);
		entry_remove(ts, en);
	}
	while ((v = LIST_FIRST(&ts->verbs))) {
		LIST_REMOVE(v, link);
		v->ts = NULL;
	}
	free(ts);
}

struct auth_token *
auth_tokens_find(struct auth_tokens *ts, const uint8_t hash[TOKEN_HASH_LEN])
{
	struct entry *en;

	HASH_FIND(hh, ts->entries, hash, TOKEN_HASH_LEN, en);
	/* The table compares as it likes; what it tells of are hashes only. */
	if (!en || !en->committed ||
	    CRYPTO_memcmp(en->at.t.hash, hash, TOKEN_HASH_LEN) != 0)
		return NULL;
	return &en->at;
}

struct auth_token *
auth_tokens_find_id(struct auth_tokens *ts, const char *id)
{
	for (struct entry *en = ts->entries; en; en = en->hh.next)
		if (en->committed && !strcmp(en->at.t.id, id))
			return &en->at;
	return NULL;
}

static struct entry *
entry_named(struct auth_tokens *ts, const char *name)
{
	for (struct entry *en = ts->entries; en; en = en->hh.next)
		if (!strcmp(en->at.t.name, name))
			return en;
	return NULL;
}

void
auth_tokens_used(struct auth_tokens *ts, struct auth_token *at, int64_t now,
		 const struct netaddr *from)
{
	struct entry *en = (struct entry *)at;

	if (from)
		at->last_from = *from;
	at->t.used_at = now;
	if (now - en->stored_use >= USE_STEP_MS || now < en->stored_use)
		store_use(ts, en);
}

bool
auth_tokens_begun(const struct auth_tokens *ts)
{
	return ts->begun;
}

bool
auth_tokens_any_live(const struct auth_tokens *ts, int64_t now)
{
	for (const struct entry *en = ts->entries; en; en = en->hh.next)
		if (en->committed && !token_is_expired(&en->at.t, now))
			return true;
	return false;
}

static int
by_name(const struct entry *a, const struct entry *b)
{
	return strcmp(a->at.t.name, b->at.t.name);
}

void
auth_tokens_each(struct auth_tokens *ts, void (*fn)(void *arg, const struct token *t),
		 void *arg)
{
	HASH_SORT(ts->entries, by_name);
	for (struct entry *en = ts->entries; en; en = en->hh.next)
		if (en->committed)
			fn(arg, &en->at.t);
}

static struct verb *
verb_new(struct auth_tokens *ts, const struct token *t, auth_tokens_fn *done, void *arg)
{
	struct verb *v = xcalloc(1, sizeof(*v));

	v->ts = ts;
	memcpy(v->hash, t->hash, sizeof(v->hash));
	v->done = done;
	v->arg = arg;
	LIST_INSERT_HEAD(&ts->verbs, v, link);
	return v;
}

static void
verb_end(struct verb *v, const struct err *err)
{
	if (v->ts)
		LIST_REMOVE(v, link);
	v->done(v->arg, err);
	free(v);
}

static void
on_created(void *arg, const struct err *err)
{
	struct verb *v = arg;
	struct entry *en = NULL;

	if (v->ts)
		HASH_FIND(hh, v->ts->entries, v->hash, TOKEN_HASH_LEN, en);
	if (en && err) {
		entry_remove(v->ts, en);
	} else if (en) {
		en->committed = true;
		v->ts->begun = true;
		log_info(LOG_WEB, "token=%s created, scope %s", en->at.t.name,
			 token_scope_name(en->at.t.scope));
	}
	verb_end(v, err);
}

int
auth_tokens_create(struct auth_tokens *ts, const struct token *t, auth_tokens_fn *done,
		   void *arg, struct err *e)
{
	static const uint8_t begun = 1;

	if (entry_named(ts, t->name))
		return err_field(e, ERR_CONFLICT, "name",
				 "there is a token %s; revoke it first", t->name);
	if (HASH_COUNT(ts->entries) >= AUTH_TOKENS_MAX)
		return err_set(e, ERR_CONFLICT, "there are %d tokens already",
			       AUTH_TOKENS_MAX);
	entry_add(ts, t);
	db_begin(ts->db, DB_ADMISSION);
	db_token_put(ts->db, t);
	db_meta_put(ts->db, BEGUN, &begun, sizeof(begun));
	db_end(ts->db, on_created, verb_new(ts, t, done, arg));
	return 0;
}

static void
on_revoked(void *arg, const struct err *err)
{
	verb_end(arg, err);
}

int
auth_tokens_revoke(struct auth_tokens *ts, const char *name, auth_tokens_fn *done,
		   void *arg, struct err *e)
{
	struct entry *en = entry_named(ts, name);

	if (!en || !en->committed)
		return err_field(e, ERR_NOT_FOUND, "name",
				 "there is no token of that name");
	log_info(LOG_WEB, "token=%s revoked", en->at.t.name);
	db_begin(ts->db, 0);
	db_token_del(ts->db, &en->at.t);
	db_end(ts->db, on_revoked, verb_new(ts, &en->at.t, done, arg));
	entry_remove(ts, en);
	return 0;
}
