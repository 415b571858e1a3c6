/*
 * auth_who: who sent a request. Loop thread only; shared by the files of auth.
 */
#pragma once

#include <stdbool.h>

#include "auth_session.h"
#include "auth_tokens.h"
#include "slipway/conf.h"
#include "slipway/http.h"
#include "slipway/netaddr.h"
#include "slipway/token.h"

enum auth_via {
	AUTH_NOBODY, /* no credentials, and some are needed */
	AUTH_ANYBODY,
	AUTH_TOKEN,
	AUTH_SESSION,
	AUTH_UNIX,
	AUTH_PROXY,
	AUTH_VIAS
};
extern const char *const auth_via_names[AUTH_VIAS];

#define AUTH_WHO_MAX 128

struct auth_who {
	enum auth_via via;
	enum token_scope scope;
	struct auth_token *token; /* of AUTH_TOKEN, AUTH_SESSION */
	char name[AUTH_WHO_MAX + 1];
	bool has_uid;
	uid_t uid;
	struct netaddr from; /* the client behind trusted proxies; none: a local one */
	bool from_proxy;     /* what a trusted one says can be believed */
};

/* What is read from the configuration. */
struct auth_rules {
	const struct conf *conf;
	struct netaddr_net *proxies;
	size_t nproxies;
	bool trust_unix;
	enum token_scope user_scope;
	bool enforced; /* http.auth, as it was at the start */
	uint8_t key[AUTH_SESSION_KEY_LEN];
	struct auth_tokens *tokens;
};

void auth_rules_set(struct auth_rules *rules, const struct conf *conf);
void auth_rules_free(struct auth_rules *rules);

/* Where it comes from; all else of who stays empty. */
void auth_who_locate(const struct auth_rules *rules, struct http_req r,
		     struct auth_who *who);
/* The token of an Authorization header: 1 there is one, *text and *len are it; 0 there
 * is none; -1 there are several, or it is empty. */
int auth_who_bearer(struct http_req r, const char **text, size_t *len);
/* All but the token; after auth_who_locate(). */
void auth_who_find(const struct auth_rules *rules, struct http_req r,
		   struct auth_who *who);
/* The token of a live session cookie, or NULL. */
struct auth_token *auth_who_session(const struct auth_rules *rules, struct http_req r);
void auth_who_set_token(struct auth_who *who, enum auth_via via, struct auth_token *at);
/* Stands for a proxy's user where addresses are told apart. */
struct netaddr auth_who_key(const struct auth_who *who);
/* Did a proxy pass it on, as far as one can tell? */
bool auth_who_is_forwarded(struct http_req r);
/* Did the browser talk https to the outermost proxy? */
bool auth_who_is_secure(const struct auth_rules *rules, struct http_req r,
			const struct auth_who *who);
/* Is the Origin there, and the very host that was asked for (or public_url)? */
bool auth_who_is_own_page(const struct auth_rules *rules, struct http_req r);
