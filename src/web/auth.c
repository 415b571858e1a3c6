#include "auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "auth_limit.h"
#include "auth_who.h"
#include "query.h"
#include "slipway/clock.h"
#include "slipway/db_token.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "web_priv.h"

/*
 *	auth_begin() → auth_admit(): locate → token → session, user, socket, anybody
 *	    → enough scope → own page → not too often → the handler → auth_end(): audit
 */

#define PEERS_MAX 4096
#define SESSION_MS (INT64_C(12) * 3600 * 1000)
#define SESSION_KEY "session_key"

struct auth {
	struct auth_rules rules;
	struct audit *audit;
	struct auth_limit *failures; /* by address */
	struct auth_limit *visits;   /* by address, or user */
};

static const enum token_scope scope_of_needs[] = {
	[WEB_ADMIN] = TOKEN_ADMIN,
	[WEB_SUBMIT] = TOKEN_SUBMIT,
	[WEB_READ] = TOKEN_READ,
	[WEB_OPEN] = TOKEN_NOTHING,
};

static int
load_key(struct auth *a, struct db *db, struct err *e)
{
	int found = db_meta_get(db, SESSION_KEY, a->rules.key, AUTH_SESSION_KEY_LEN, e);

	if (found)
		return found < 0 ? -1 : 0;
	if (getrandom(a->rules.key, AUTH_SESSION_KEY_LEN, 0) != AUTH_SESSION_KEY_LEN)
		return err_sys(e, "getrandom");
	db_begin(db, DB_ADMISSION);
	db_meta_put(db, SESSION_KEY, a->rules.key, AUTH_SESSION_KEY_LEN);
	db_end(db, NULL, NULL);
	return 0;
}

struct auth *
auth_new(const struct auth_deps *d, struct err *e)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->audit = d->audit;
	a->failures = auth_limit_new(PEERS_MAX);
	a->visits = auth_limit_new(PEERS_MAX);
	auth_rules_set(&a->rules, d->conf);
	a->rules.enforced = d->conf->http_auth;
	a->rules.tokens = auth_tokens_new(d->db, e);
	if (a->rules.tokens && load_key(a, d->db, e) == 0)
		return a;
	auth_free(a);
	return NULL;
}

void
auth_free(struct auth *a)
{
	if (!a)
		return;
	if (a->rules.tokens)
		auth_tokens_free(a->rules.tokens);
	auth_limit_free(a->failures);
	auth_limit_free(a->visits);
	auth_rules_free(&a->rules);
	free(a);
}

void
auth_reload(struct auth *a, const struct conf *conf)
{
	auth_rules_set(&a->rules, conf);
}

struct auth_tokens *
auth_table(struct auth *a)
{
	return a->rules.tokens;
}

/* The audit log's entry of a change, which is the request's data. */

static void
note_who(struct http_req r, const struct auth_who *who)
{
	struct audit_entry *en = http_req_data(r);

	if (!en)
		return;
	en->via = auth_via_names[who->via];
	en->has_uid = who->via == AUTH_UNIX && who->has_uid;
	en->uid = who->uid;
	STR_COPY(en->who, who->name);
}

static void
note_status(struct http_req r, int status)
{
	struct audit_entry *en = http_req_data(r);

	if (en)
		en->status = status;
}

void
auth_begin(struct auth *a, struct http_req r)
{
	const struct http_route *route = http_req_route(r);
	struct audit_entry *en;
	struct auth_who who;

	if (!route || !(route->flags & HTTP_ROUTE_CHANGES) ||
	    route->flags & WEB_ROUTE_DRY)
		return;
	auth_who_locate(&a->rules, r, &who);
	en = xcalloc(1, sizeof(*en));
	en->time = clock_wall_ms();
	if (netaddr_is_none(&who.from))
		STR_COPY(en->address, "unix");
	else
		netaddr_format(&who.from, en->address);
	STR_COPY(en->method, http_req_method_name(r));
	en->path = xstrdup(http_req_path(r));
	http_req_set_data(r, en);
	note_who(r, &who);
}

void
auth_end(struct auth *a, struct http_req r, int status)
{
	struct audit_entry *en = http_req_data(r);

	if (!en)
		return;
	http_req_set_data(r, NULL);
	if (!en->status)
		en->status = status;
	audit_add(a->audit, en);
}

void
auth_note_job(struct http_req r, const char *job)
{
	struct audit_entry *en = http_req_data(r);

	if (en)
		STR_COPY(en->job, job);
}

void
auth_describe(struct http_req r, struct strbuf *out)
{
	const struct audit_entry *en = http_req_data(r);

	if (en && en->has_uid)
		strbuf_addf(out, "unix uid %u", en->uid);
	else if (en && *en->who)
		strbuf_addf(out, "%s %s", en->via, en->who);
	else if (http_req_alive(r))
		strbuf_adds(out, en ? en->address : http_req_peer(r));
}

/* Refusing */

static int
wait_set(struct http_req r, int64_t ms, struct err *e, const char *what)
{
	long long seconds = (ms + 999) / 1000;
	char text[24];

	snprintf(text, sizeof(text), "%lld", seconds);
	http_set_header(r, "Retry-After", text);
	return err_set(e, ERR_TOO_MANY, "%s; try again in %lld s", what, seconds);
}

static int
refuse_nobody(struct auth *a, struct err *e)
{
	if (auth_tokens_begun(a->rules.tokens))
		return err_set(e, ERR_UNAUTHORIZED,
			       "this needs a token, as Authorization: Bearer ...");
	return err_set(e, ERR_UNAUTHORIZED,
		       "this came through a proxy and needs a token: create the first "
		       "one with `slipway token create`");
}

/* A token in a header or a login: who it is, or -1. */
static int
check_token(struct auth *a, const char *text, size_t len, struct http_req r,
	    struct auth_who *who, struct err *e)
{
	struct netaddr site = netaddr_site(&who->from);
	int64_t now = clock_mono_ms(), wall = clock_wall_ms();
	int64_t wait = auth_limit_wait(a->failures, &site, now);
	struct auth_token *at = NULL;
	uint8_t hash[TOKEN_HASH_LEN];

	if (token_hash(text, len, hash))
		at = auth_tokens_find(a->rules.tokens, hash);
	if (wait && (!at || memcmp(&at->last_from, &site, sizeof(site)) != 0))
		return wait_set(r, wait, e, "too many wrong tokens from this address");
	if (!at) {
		auth_limit_failed(a->failures, &site, now);
		return err_set(e, ERR_UNAUTHORIZED,
			       "the token is wrong, or was revoked");
	}
	if (token_is_expired(&at->t, wall))
		return err_set(e, ERR_UNAUTHORIZED, "the token has expired");
	auth_tokens_used(a->rules.tokens, at, wall, &site);
	auth_who_set_token(who, AUTH_TOKEN, at);
	return 0;
}

static int
identify(struct auth *a, struct http_req r, struct auth_who *who, struct err *e)
{
	const char *text = NULL;
	size_t len = 0;
	int bearer;

	auth_who_locate(&a->rules, r, who);
	bearer = auth_who_bearer(r, &text, &len);
	if (bearer < 0)
		return err_set(
			e, ERR_UNAUTHORIZED,
			"there must be one Authorization header, with one token");
	if (bearer)
		return check_token(a, text, len, r, who, e);
	auth_who_find(&a->rules, r, who);
	if (who->token)
		auth_tokens_used(a->rules.tokens, who->token, clock_wall_ms(), NULL);
	return 0;
}

static int
check_scope(struct auth *a, const struct web_route *route, const struct auth_who *who,
	    struct err *e)
{
	enum token_scope needs = scope_of_needs[route->needs];

	if (who->scope >= needs)
		return 0;
	if (who->via == AUTH_NOBODY)
		return refuse_nobody(a, e);
	return err_set(e, ERR_FORBIDDEN, "this needs the scope %s, %s has %s",
		       token_scope_name(needs), who->name,
		       who->scope ? token_scope_name(who->scope) : "none");
}

/* What a browser sends by itself must not work for pages of others. */
static int
check_page(struct auth *a, struct http_req r, const struct web_route *route,
	   const struct auth_who *who, struct err *e)
{
	if (!(route->flags & HTTP_ROUTE_CHANGES) || route->needs == WEB_OPEN ||
	    (who->via != AUTH_SESSION && who->via != AUTH_PROXY) ||
	    auth_who_is_own_page(&a->rules, r))
		return 0;
	return err_set(
		e, ERR_FORBIDDEN,
		"a change by a logged in browser needs the Origin of this server");
}

static int
check_rate(struct auth *a, struct http_req r, const struct auth_who *who, struct err *e)
{
	int64_t limit = a->rules.conf->limits_requests_per_minute;
	int64_t now = clock_mono_ms(), wait;
	struct netaddr key = netaddr_site(&who->from);

	if (!limit || who->scope == TOKEN_ADMIN)
		return 0;
	if (who->token) {
		wait = auth_limit_bucket(&who->token->bucket, now, limit,
					 auth_limit_burst(limit));
	} else {
		if (who->via == AUTH_PROXY)
			key = auth_who_key(who);
		wait = auth_limit_take(a->visits, &key, now, limit);
	}
	return wait ? wait_set(r, wait, e,
			       "too many requests "
			       "(limits.requests_per_minute)")
		    : 0;
}

/* A browser that shows a page can be sent to log in. */
static bool
send_to_login(struct http_req r, const struct web_route *route)
{
	cleanup_strbuf struct strbuf target = { 0 }, url = { 0 };
	const char *accept = http_req_header(r, "Accept");

	if (route->method != HTTP_GET || http_req_header(r, "Authorization") ||
	    !accept || !query_accepts(accept, "text/html"))
		return false;
	http_req_target(r, &target);
	strbuf_adds(&url, "/login");
	query_append(&url, "next", strbuf_str(&target));
	http_set_header(r, "Location", strbuf_str(&url));
	http_set_header(r, "Cache-Control", "no-store");
	http_set_header(r, "Vary", "Accept, Cookie");
	http_reply(r, 303, "text/plain; charset=utf-8", "", 0);
	return true;
}

bool
auth_admit(struct auth *a, struct http_req r, const struct web_route *route)
{
	struct err e = { 0 };
	struct auth_who who;
	bool ok = !identify(a, r, &who, &e) && !check_scope(a, route, &who, &e) &&
		  !check_page(a, r, route, &who, &e) && !check_rate(a, r, &who, &e);

	note_who(r, &who);
	if (ok)
		return true;
	if (e.code == ERR_UNAUTHORIZED && send_to_login(r, route))
		return false;
	if (e.code == ERR_UNAUTHORIZED)
		http_set_header(r, "WWW-Authenticate",
				http_req_header(r, "Authorization")
					? "Bearer realm=\"slipway\", "
					  "error=\"invalid_token\""
					: "Bearer realm=\"slipway\"");
	http_set_header(r, "Cache-Control", "no-store");
	http_reply_err(r, &e);
	return false;
}

/* Sessions */

bool
auth_has_session(struct auth *a, struct http_req r)
{
	return auth_who_session(&a->rules, r) != NULL;
}

static void
cookie_set(struct auth *a, struct http_req r, const struct auth_who *who,
	   const char *value, int64_t seconds)
{
	cleanup_free char *cookie =
		xasprintf(AUTH_SESSION_COOKIE
			  "=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%lld%s",
			  value, (long long)seconds,
			  auth_who_is_secure(&a->rules, r, who) ? "; Secure" : "");

	http_set_header(r, "Set-Cookie", cookie);
}

int
auth_login(struct auth *a, struct http_req r, const char *token, struct err *e)
{
	int64_t now = clock_wall_ms(), until = now + SESSION_MS;
	char value[AUTH_SESSION_MAX];
	struct auth_who who;
	size_t len = strlen(token);

	/* People paste. */
	while (len && strchr(" \t\r\n", token[len - 1]))
		len--;
	auth_who_locate(&a->rules, r, &who);
	if (check_token(a, token, len, r, &who, e)) {
		/* Browsers are answered otherwise. */
		note_status(r, err_http_status(e->code));
		return -1;
	}
	if (who.token->t.expires_at && who.token->t.expires_at < until)
		until = who.token->t.expires_at;
	who.via = AUTH_SESSION;
	note_who(r, &who);
	auth_session_sign(a->rules.key, who.token->t.id, until, value);
	cookie_set(a, r, &who, value, (until - now) / 1000);
	explicit_bzero(value, sizeof(value));
	return 0;
}

void
auth_logout(struct auth *a, struct http_req r)
{
	struct auth_who who;

	auth_who_locate(&a->rules, r, &who);
	cookie_set(a, r, &who, "", 0);
}
