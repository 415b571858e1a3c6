/*
 * auth: who asks, and may they? Loop thread only.
 *
 * Who: the first that is there of
 *   a token       Authorization: Bearer; a wrong one is refused wherever it is sent
 *   a session     the cookie of a login with a token
 *   a user        named by a trusted proxy, http.user_header
 *   the socket    who may open the unix socket is admin, unless a proxy opened it
 *   anybody       allowed everything while there was never a token (from loopback, not
 *                 through a proxy) and with http.auth: false
 * Every route says what it needs (enum web_needs). Wrong tokens are slowed by address;
 * a token that was used from an address before is still good there meanwhile, so that
 * neighbours behind one address cannot lock each other out. Requests are limited per
 * token, per user and per address.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit.h"
#include "auth_tokens.h"
#include "slipway/conf.h"
#include "slipway/http.h"
#include "slipway/netaddr.h"
#include "slipway/token.h"

struct web_route;

struct auth;

struct auth_deps {
	struct db *db;
	struct audit *audit;
	const struct conf *conf; /* until the next auth_reload() */
};

struct auth *auth_new(const struct auth_deps *d, struct err *e);
void auth_free(struct auth *a);
void auth_reload(struct auth *a, const struct conf *conf);
struct auth_tokens *auth_table(struct auth *a);

/* The hooks of http_opts: a change gets its entry in the audit log. */
void auth_begin(struct auth *a, struct http_req r);
void auth_end(struct auth *a, struct http_req r, int status);
/* False: it was answered with 401, 403, 429, or sent to the login page. */
bool auth_admit(struct auth *a, struct http_req r, const struct web_route *route);
/* Which job the request is about, for the audit log. */
void auth_note_job(struct http_req r, const char *job);
/* "token deploy", "unix uid 1000", "127.0.0.1", ... of a change. */
void auth_describe(struct http_req r, struct strbuf *out);

/* Is somebody logged in, as this browser? */
bool auth_has_session(struct auth *a, struct http_req r);
/* A login: 0 when the token is good, and then the answer gets the cookie; -1 with
 * ERR_UNAUTHORIZED, or ERR_TOO_MANY and a Retry-After. */
int auth_login(struct auth *a, struct http_req r, const char *token, struct err *e);
void auth_logout(struct auth *a, struct http_req r);
