/*
 * auth_tokens: the tokens there are, in memory and in the store. Loop thread only.
 *
 * All are read at the start. Making one and taking one away are answered after their
 * commit; a new one opens nothing before, one taken away opens nothing from the call
 * on. The time of the last use is stored to the minute.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/db.h"
#include "slipway/err.h"
#include "slipway/netaddr.h"
#include "slipway/token.h"

#define AUTH_TOKENS_MAX 1000

struct auth_tokens;

struct auth_token {
	struct token t;
	struct netaddr last_from; /* where its last use came from; none: not used yet */
	int64_t bucket;		  /* auth_limit_bucket() */
};

struct auth_tokens *auth_tokens_new(struct db *db, struct err *e);
/* Stores the last uses. */
void auth_tokens_free(struct auth_tokens *ts);

/* NULL: there is none, or not yet. Expired ones are found. */
struct auth_token *auth_tokens_find(struct auth_tokens *ts,
				    const uint8_t hash[TOKEN_HASH_LEN]);
struct auth_token *auth_tokens_find_id(struct auth_tokens *ts, const char *id);
/* from NULL: by a session, wherever that is. */
void auth_tokens_used(struct auth_tokens *ts, struct auth_token *at, int64_t now,
		      const struct netaddr *from);
/* Was there ever one? From then on requests need one, also when it is gone. */
bool auth_tokens_begun(const struct auth_tokens *ts);
/* Is there one that has not expired? */
bool auth_tokens_any_live(const struct auth_tokens *ts, int64_t now);
/* By name. */
void auth_tokens_each(struct auth_tokens *ts,
		      void (*fn)(void *arg, const struct token *t), void *arg);

typedef void auth_tokens_fn(void *arg, const struct err *err);
/* -1 when it is refused at once: ERR_CONFLICT, or ERR_QUEUE_FULL. */
int auth_tokens_create(struct auth_tokens *ts, const struct token *t,
		       auth_tokens_fn *done, void *arg, struct err *e);
/* -1: ERR_NOT_FOUND */
int auth_tokens_revoke(struct auth_tokens *ts, const char *name, auth_tokens_fn *done,
		       void *arg, struct err *e);
