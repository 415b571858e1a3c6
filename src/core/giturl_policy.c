#include <arpa/inet.h>
#include <ctype.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "slipway/fs.h"
#include "slipway/giturl.h"
#include "slipway/mem.h"

/* Everything the special-purpose address registry does not call global. */
static const struct {
	uint32_t net;
	unsigned bits;
} special4[] = {
	{ 0x00000000, 8 },  { 0x0a000000, 8 },	{ 0x64400000, 10 }, { 0x7f000000, 8 },
	{ 0xa9fe0000, 16 }, { 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 },
	{ 0xc0586300, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 }, { 0xc6336400, 24 },
	{ 0xcb007100, 24 }, { 0xe0000000, 4 },	{ 0xf0000000, 4 },
};

static bool
is_public4(uint32_t a)
{
	for (size_t i = 0; i < ARRAY_LEN(special4); i++)
		if ((a ^ special4[i].net) >> (32 - special4[i].bits) == 0)
			return false;
	return true;
}

static uint32_t
read4(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool
has_prefix(const uint8_t *a, const uint8_t *prefix, size_t n)
{
	return !memcmp(a, prefix, n);
}

static bool
is_public6(const uint8_t *a)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };
	static const uint8_t teredo[4] = { 0x20, 0x01, 0, 0 };
	static const uint8_t documentation[4] = { 0x20, 0x01, 0x0d, 0xb8 };
	static const uint8_t sixto4[2] = { 0x20, 0x02 };

	if (has_prefix(a, mapped, 12) || has_prefix(a, nat64, 12))
		return is_public4(read4(a + 12));
	if (has_prefix(a, sixto4, 2))
		return is_public4(read4(a + 2));
	if (has_prefix(a, teredo, 4) || has_prefix(a, documentation, 4))
		return false;
	return (a[0] & 0xe0) == 0x20; /* 2000::/3 is all there is */
}

bool
giturl_address_is_public(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		return is_public4(ntohl(in.sin_addr.s_addr));
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		return is_public6(in6.sin6_addr.s6_addr);
	}
	return false;
}

/* The host is an address, or a name that never means a public host. */
static bool
is_private_host(const char *host)
{
	static const char *const suffixes[] = {
		"localhost", "local",	 "internal", "intranet", "lan",
		"home",	     "home.arpa", "corp",    "private",	 "localdomain",
	};
	struct in6_addr a6;
	struct in_addr a4;
	size_t len = strlen(host);

	if (inet_pton(AF_INET, host, &a4) == 1)
		return !is_public4(ntohl(a4.s_addr));
	if (inet_pton(AF_INET6, host, &a6) == 1)
		return !is_public6(a6.s6_addr);
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (len >= n && !strcmp(host + len - n, suffixes[i]) &&
		    (len == n || host[len - n - 1] == '.'))
			return true;
	}
	return false;
}

enum match { MATCH_NONE, MATCH_GLOB, MATCH_EXACT };

/* Entries: "host", "*.host", "host:port", "[v6]", "[v6]:port" */
static enum match
match_entry(const struct giturl *u, const char *entry)
{
	bool v6 = strchr(u->host, ':') != NULL;
	char host[300], with_port[320], plain[300];
	size_t len = strlen(entry);

	snprintf(host, sizeof(host), v6 ? "[%s]" : "%s", u->host);
	snprintf(with_port, sizeof(with_port), "%s:%u", host, u->port);
	if (len >= sizeof(plain))
		return MATCH_NONE;
	if (v6) {
		/* Brackets would be a set of characters to fnmatch. */
		if (!strcasecmp(entry, with_port) || !strcasecmp(entry, host) ||
		    !strcasecmp(entry, u->host))
			return MATCH_EXACT;
		return !strcmp(entry, "*") ? MATCH_GLOB : MATCH_NONE;
	}
	memcpy(plain, entry, len + 1);
	if (strchr(plain, ':'))
		return fnmatch(plain, with_port, FNM_CASEFOLD) ? MATCH_NONE
							       : MATCH_EXACT;
	if (fnmatch(plain, host, FNM_CASEFOLD))
		return MATCH_NONE;
	return strpbrk(plain, "*?[") ? MATCH_GLOB : MATCH_EXACT;
}

static enum match
match_hosts(const struct giturl *u, const struct giturl_policy *p)
{
	enum match best = MATCH_NONE;

	for (size_t i = 0; i < p->nhosts; i++) {
		enum match m = match_entry(u, p->hosts[i]);

		if (m > best)
			best = m;
	}
	return best;
}

bool
giturl_may_be_private(const struct giturl *u, const struct giturl_policy *p)
{
	return match_hosts(u, p) == MATCH_EXACT;
}

static int
check_local(const struct giturl *u, const struct giturl_policy *p, struct err *e)
{
	for (size_t i = 0; i < p->nroots; i++)
		if (fs_is_inside(p->roots[i], u->path))
			return 0;
	if (p->nroots)
		return err_set(e, ERR_DENIED, "%s: local repositories must be under one "
			       "of git.local_roots", u->path);
	return err_set(e, ERR_DENIED, "%s: local repositories are not enabled "
		       "(git.local_roots)", u->path);
}

int
giturl_check(const struct giturl *u, const struct giturl_policy *p, struct err *e)
{
	enum match m;

	if (u->scheme == GITURL_LOCAL)
		return check_local(u, p, e);
	m = match_hosts(u, p);
	if (p->nhosts && m == MATCH_NONE)
		return err_set(e, ERR_DENIED, "%s: not one of git.allow_hosts",
			       u->host);
	if (m != MATCH_EXACT && is_private_host(u->host))
		return err_set(e, ERR_DENIED, "%s: a private address; git.allow_hosts "
			       "would have to name it", u->host);
	return 0;
}
