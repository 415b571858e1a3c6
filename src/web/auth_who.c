#include "auth_who.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

const char *const auth_via_names[AUTH_VIAS] = {
	[AUTH_NOBODY] = "none", [AUTH_ANYBODY] = "anonymous",
	[AUTH_TOKEN] = "token", [AUTH_SESSION] = "session",
	[AUTH_UNIX] = "unix",	[AUTH_PROXY] = "proxy",
};

void
auth_rules_set(struct auth_rules *rules, const struct conf *conf)
{
	const struct conf_strings *proxies = &conf->http_trusted_proxies;

	rules->conf = conf;
	free(rules->proxies);
	rules->proxies = xcalloc(proxies->n + 1, sizeof(*rules->proxies));
	rules->nproxies = 0;
	rules->trust_unix = false;
	for (size_t i = 0; i < proxies->n; i++) {
		if (!strcmp(proxies->v[i], "unix"))
			rules->trust_unix = true;
		else if (!netaddr_parse_net(proxies->v[i],
					    &rules->proxies[rules->nproxies]))
			rules->nproxies++;
	}
	rules->user_scope = TOKEN_NOTHING;
	for (size_t i = 0; i < conf->http_user_scopes.n; i++) {
		enum token_scope s = token_scope_parse(conf->http_user_scopes.v[i]);

		if (s > rules->user_scope)
			rules->user_scope = s;
	}
}

void
auth_rules_free(struct auth_rules *rules)
{
	free(STEAL(rules->proxies));
	explicit_bzero(rules->key, sizeof(rules->key));
}

void
auth_who_locate(const struct auth_rules *rules, struct http_req r, struct auth_who *who)
{
	cleanup_strbuf struct strbuf list = { 0 };
	const char *peer = http_req_peer(r);

	memset(who, 0, sizeof(*who));
	if (http_req_is_unix(r)) {
		who->has_uid = http_req_uid(r, &who->uid);
		who->from_proxy = rules->trust_unix;
	} else if (peer && netaddr_parse_hop(peer, strlen(peer), &who->from)) {
		who->from_proxy = netaddr_is_in(&who->from, rules->proxies,
						rules->nproxies);
	}
	/* Some proxies add a line of their own instead of going on with the last. */
	if (who->from_proxy && http_req_header_all(r, "X-Forwarded-For", &list))
		netaddr_forwarded(strbuf_str(&list), rules->proxies, rules->nproxies,
				  &who->from);
}

int
auth_who_bearer(struct http_req r, const char **text, size_t *len)
{
	static const char scheme[] = "Bearer";
	const char *value = http_req_header(r, "Authorization");
	cleanup_strbuf struct strbuf all = { 0 };

	if (!value)
		return 0;
	if (http_req_header_all(r, "Authorization", &all) > 1)
		return -1;
	/* Other schemes are meant for a proxy before us. */
	if (strncasecmp(value, scheme, sizeof(scheme) - 1) != 0)
		return 0;
	value += sizeof(scheme) - 1;
	*text = value + strspn(value, " ");
	*len = strcspn(*text, " \t");
	return *text > value && *len && !(*text)[*len + strspn(*text + *len, " \t")]
		       ? 1
		       : -1;
}

void
auth_who_set_token(struct auth_who *who, enum auth_via via, struct auth_token *at)
{
	who->via = via;
	who->token = at;
	who->scope = at->t.scope;
	STR_COPY(who->name, at->t.name);
}

struct auth_token *
auth_who_session(const struct auth_rules *rules, struct http_req r)
{
	const char *rest = http_req_header(r, "Cookie"), *text;
	int64_t now = clock_wall_ms();
	char id[TOKEN_ID_LEN + 1];
	struct auth_token *at;
	size_t len;

	while (rest && (text = auth_cookie_next(&rest, AUTH_SESSION_COOKIE, &len))) {
		if (!auth_session_check(rules->key, text, len, now, id))
			continue;
		at = auth_tokens_find_id(rules->tokens, id);
		if (at && !token_is_expired(&at->t, now))
			return at;
	}
	return NULL;
}

bool
auth_who_is_forwarded(struct http_req r)
{
	static const char *const signs[] = { "X-Forwarded-For",	  "Forwarded",
					     "X-Real-IP",	  "X-Forwarded-Host",
					     "X-Forwarded-Proto", "Via" };

	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (http_req_header(r, signs[i]))
			return true;
	return false;
}

struct netaddr
auth_who_key(const struct auth_who *who)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	struct netaddr key;

	if (EVP_Digest(who->name, strlen(who->name), hash, NULL, EVP_sha256(), NULL) !=
	    1)
		log_fatal(LOG_WEB, "sha-256 is not available");
	memcpy(&key, hash, sizeof(key));
	return key;
}

/* A name that can stand in a log line. */
static bool
user_is_usable(const char *user)
{
	size_t n = 0;

	for (; user[n]; n++)
		if ((unsigned char)user[n] <= 0x20 || user[n] == 0x7f)
			return false;
	return n > 0 && n <= AUTH_WHO_MAX;
}

static bool
find_user(const struct auth_rules *rules, struct http_req r, struct auth_who *who)
{
	const char *header = rules->conf->http_user_header;
	cleanup_strbuf struct strbuf user = { 0 };

	if (!*header || !who->from_proxy ||
	    http_req_header_all(r, header, &user) != 1 ||
	    !user_is_usable(strbuf_str(&user)))
		return false;
	who->via = AUTH_PROXY;
	who->scope = rules->user_scope;
	return STR_COPY(who->name, strbuf_str(&user));
}

void
auth_who_find(const struct auth_rules *rules, struct http_req r, struct auth_who *who)
{
	struct auth_token *at = auth_who_session(rules, r);

	if (at) {
		auth_who_set_token(who, AUTH_SESSION, at);
	} else if (find_user(rules, r, who)) {
		return;
	} else if (!rules->enforced) {
		who->via = http_req_is_unix(r) ? AUTH_UNIX : AUTH_ANYBODY;
		who->scope = TOKEN_ADMIN;
	} else if (auth_who_is_forwarded(r)) {
		return;
	} else if (http_req_is_unix(r)) {
		who->via = AUTH_UNIX;
		who->scope = TOKEN_ADMIN;
	} else if (!auth_tokens_begun(rules->tokens) &&
		   netaddr_is_loopback(&who->from)) {
		who->via = AUTH_ANYBODY;
		who->scope = TOKEN_ADMIN;
	}
}

bool
auth_who_is_secure(const struct auth_rules *rules, struct http_req r,
		   const struct auth_who *who)
{
	cleanup_strbuf struct strbuf proto = { 0 };

	if (!strncmp(rules->conf->public_url, "https://", 8))
		return true;
	return who->from_proxy &&
	       http_req_header_all(r, "X-Forwarded-Proto", &proto) == 1 &&
	       !strcasecmp(strbuf_str(&proto), "https");
}

bool
auth_who_is_own_page(const struct auth_rules *rules, struct http_req r)
{
	const char *origin = http_req_header(r, "Origin");
	const char *host = http_req_header(r, "Host");
	const char *url = rules->conf->public_url, *name;
	size_t len;

	name = origin ? strstr(origin, "://") : NULL;
	if (!name)
		return false;
	name += 3;
	if (host && *host && !strcasecmp(name, host))
		return true;
	len = strlen(origin);
	return len > 0 && !strncasecmp(url, origin, len) &&
	       (!url[len] || url[len] == '/');
}
