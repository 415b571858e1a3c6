#include "slipway/giturl.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

static const struct {
	const char *prefix;
	enum giturl_scheme scheme;
	uint16_t port;
} schemes[] = {
	{ "https://", GITURL_HTTPS, 443 },
	{ "http://", GITURL_HTTP, 80 },
	{ "ssh://", GITURL_SSH, 22 },
};

static uint16_t
default_port(enum giturl_scheme scheme)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (schemes[i].scheme == scheme)
			return schemes[i].port;
	return 0;
}

static const char *
scheme_prefix(enum giturl_scheme scheme)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (schemes[i].scheme == scheme)
			return schemes[i].prefix;
	return "";
}

static int
parse_local(const char *path, struct giturl *u, struct err *e)
{
	u->scheme = GITURL_LOCAL;
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return err_set(e, ERR_INVALID,
				       "control characters in the repository's path");
	if (!fs_normalise(path, u->path, sizeof(u->path)))
		return err_set(e, ERR_INVALID, "not a usable path of a repository");
	return 0;
}

static int
parse_port(const char *s, uint16_t *port, struct err *e)
{
	unsigned long v = 0;

	if (!*s || strlen(s) > 5)
		return err_set(e, ERR_INVALID, "bad port in the repository's URL");
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return err_set(e, ERR_INVALID,
				       "bad port in the repository's URL");
		v = v * 10 + (unsigned long)(*s - '0');
	}
	if (v < 1 || v > 65535)
		return err_set(e, ERR_INVALID, "bad port in the repository's URL");
	*port = (uint16_t)v;
	return 0;
}

/* Into the usual form, if the host is an address in any spelling. */
static void
canonicalise_address(char *host, size_t size)
{
	struct in6_addr a6;
	struct in_addr a4;

	if (strchr(host, ':')) {
		if (inet_pton(AF_INET6, host, &a6) == 1)
			inet_ntop(AF_INET6, &a6, host, (socklen_t)size);
	} else if (isdigit((unsigned char)host[0]) && inet_aton(host, &a4)) {
		inet_ntop(AF_INET, &a4, host, (socklen_t)size);
	}
}

static int
parse_host(const char *s, size_t len, struct giturl *u, struct err *e)
{
	bool v6 = len >= 2 && s[0] == '[' && s[len - 1] == ']';
	struct in6_addr a6;

	if (v6) {
		s++;
		len -= 2;
	}
	if (len && !v6 && s[len - 1] == '.')
		len--;
	if (!len || len >= sizeof(u->host))
		return err_set(e, ERR_INVALID, "bad host in the repository's URL");
	for (size_t i = 0; i < len; i++) {
		char c = (char)tolower((unsigned char)s[i]);
		bool ok = isdigit((unsigned char)c) || (c >= 'a' && c <= 'z') ||
			  c == '.' || (v6 ? c == ':' : c == '-' || c == '_');

		/* No empty labels. */
		if (c == '.' && !v6 && (i == 0 || i + 1 == len || s[i - 1] == '.'))
			ok = false;
		if (!ok || (i == 0 && c == '-'))
			return err_set(e, ERR_INVALID,
				       "bad host in the repository's URL");
		u->host[i] = c;
	}
	u->host[len] = '\0';
	if (v6 && inet_pton(AF_INET6, u->host, &a6) != 1)
		return err_set(e, ERR_INVALID, "bad address in the repository's URL");
	canonicalise_address(u->host, sizeof(u->host));
	return 0;
}

static int
parse_user(const char *s, size_t len, struct giturl *u, struct err *e)
{
	if (u->scheme != GITURL_SSH || memchr(s, ':', len))
		return err_set(e, ERR_INVALID,
			       "user names and passwords do not belong into the URL; "
			       "use git.credentials");
	if (!len || len >= sizeof(u->user) || *s == '-')
		return err_set(e, ERR_INVALID, "bad user in the repository's URL");
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("._-+", s[i]))
			return err_set(e, ERR_INVALID,
				       "bad user in the repository's URL");
	memcpy(u->user, s, len);
	u->user[len] = '\0';
	return 0;
}

/* "user@host:port" */
static int
parse_authority(const char *s, size_t len, struct giturl *u, struct err *e)
{
	const char *end = s + len, *at = memrchr(s, '@', len), *colon;
	char port[16];

	if (at) {
		if (parse_user(s, (size_t)(at - s), u, e))
			return -1;
		s = at + 1;
	}
	colon = memrchr(s, ':', (size_t)(end - s));
	if (colon && !memchr(colon, ']', (size_t)(end - colon))) {
		size_t n = (size_t)(end - colon - 1);

		if (n >= sizeof(port))
			return err_set(e, ERR_INVALID,
				       "bad port in the repository's URL");
		memcpy(port, colon + 1, n);
		port[n] = '\0';
		if (parse_port(port, &u->port, e))
			return -1;
		end = colon;
	}
	return parse_host(s, (size_t)(end - s), u, e);
}

static bool
has_dotdot(const char *path)
{
	for (const char *p = path; (p = strstr(p, "..")); p += 2)
		if ((p == path || p[-1] == '/') && (!p[2] || p[2] == '/'))
			return true;
	return false;
}

/* Quotes would end the argument in the command that is sent over ssh, and percent
 * signs could spell them. */
static int
parse_path(const char *s, struct giturl *u, struct err *e)
{
	const char *refused = u->scheme == GITURL_SSH ? "\"<>\\^`{|}#?'%*$;&!"
						      : "\"<>\\^`{|}#?";
	size_t len = strlen(s);

	while (len && s[len - 1] == '/')
		len--;
	if (!len || len >= sizeof(u->path))
		return err_set(e, ERR_INVALID, "the repository's URL has no path, or "
			       "too long a one");
	for (size_t i = 0; i < len; i++)
		if (s[i] <= 0x20 || s[i] >= 0x7f || strchr(refused, s[i]))
			return err_set(e, ERR_INVALID,
				       "a character in the repository's URL that is "
				       "not allowed there");
	memcpy(u->path, s, len);
	u->path[len] = '\0';
	if (has_dotdot(u->path))
		return err_set(e, ERR_INVALID, "\"..\" in the repository's URL");
	if (u->path[0] == '-')
		return err_set(e, ERR_INVALID, "the repository's path begins with -");
	u->relative = u->path[0] != '/';
	/* host:path must stay apart from scheme://host and helper::address. */
	if (u->relative && (u->path[0] == ':' || strstr(u->path, "://")))
		return err_set(e, ERR_INVALID, "not the URL of a repository");
	return 0;
}

/* "[user@]host:path": the colon before any slash, outside brackets */
static int
parse_scp(const char *text, struct giturl *u, struct err *e)
{
	const char *open = strchr(text, '['), *from = text, *colon;

	if (open && (open == text || open[-1] == '@') &&
	    strcspn(text, ":/") > (size_t)(open - text)) {
		from = strchr(open, ']');
		if (!from)
			return err_set(e, ERR_INVALID,
				       "bad host in the repository's URL");
	}
	colon = strchr(from, ':');
	/* "ext::command" and the like are git's remote helpers. */
	if (!colon || colon[1] == ':' || memchr(text, '/', (size_t)(colon - text)))
		return err_set(e, ERR_INVALID, "not the URL of a repository: expected "
			       "https://, ssh://, git@host:path or an absolute path");
	u->scheme = GITURL_SSH;
	if (parse_authority(text, (size_t)(colon - text), u, e))
		return -1;
	u->port = 22;
	return parse_path(colon + 1, u, e);
}

int
giturl_parse(const char *text, struct giturl *u, struct err *e)
{
	memset(u, 0, sizeof(*u));
	if (strlen(text) >= GITURL_PATH_MAX)
		return err_set(e, ERR_INVALID, "the repository's URL is too long");
	if (text[0] == '/')
		return parse_local(text, u, e);
	if (!strncasecmp(text, "file:///", 8))
		return parse_local(text + 7, u, e);
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i].prefix);
		const char *slash;

		if (strncasecmp(text, schemes[i].prefix, n))
			continue;
		text += n;
		slash = strchr(text, '/');
		if (!slash)
			return err_set(e, ERR_INVALID,
				       "the repository's URL has no path");
		u->scheme = schemes[i].scheme;
		u->port = schemes[i].port;
		if (parse_authority(text, (size_t)(slash - text), u, e))
			return -1;
		return parse_path(slash, u, e);
	}
	if (strstr(text, "://"))
		return err_set(e, ERR_INVALID, "only https, http, ssh and file URLs");
	return parse_scp(text, u, e);
}

void
giturl_format(const struct giturl *u, char out[GITURL_MAX])
{
	bool v6 = strchr(u->host, ':') != NULL;
	const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
	const char *at = u->user[0] ? "@" : "";
	char port[8] = "";

	if (u->scheme == GITURL_LOCAL) {
		snprintf(out, GITURL_MAX, "%s", u->path);
		return;
	}
	if (u->relative) {
		snprintf(out, GITURL_MAX, "%s%s%s%s%s:%s", u->user, at, open, u->host,
			 close, u->path);
		return;
	}
	if (u->port != default_port(u->scheme))
		snprintf(port, sizeof(port), ":%u", u->port);
	snprintf(out, GITURL_MAX, "%s%s%s%s%s%s%s%s", scheme_prefix(u->scheme), u->user,
		 at, open, u->host, close, port, u->path);
}

void
giturl_format_short(const struct giturl *u, char out[GITURL_MAX])
{
	const char *path = u->path;

	if (u->scheme == GITURL_LOCAL) {
		snprintf(out, GITURL_MAX, "%s", path);
		return;
	}
	while (*path == '/')
		path++;
	snprintf(out, GITURL_MAX, "%s/%s", u->host, path);
}

int
giturl_resolve(const struct giturl *base, const char *text, struct giturl *u,
	       struct err *e)
{
	if (strncmp(text, "./", 2) && strncmp(text, "../", 3))
		return giturl_parse(text, u, e);

	char path[GITURL_PATH_MAX];
	size_t len;

	STR_COPY(path, base->path);
	for (;;) {
		while (!strncmp(text, "./", 2))
			text += 2;
		if (strncmp(text, "../", 3))
			break;
		char *slash = strrchr(path, '/');

		if (!slash && !path[0])
			return err_set(e, ERR_INVALID, "the URL climbs too high");
		*(slash ? slash : path) = '\0';
		text += 3;
	}
	len = strlen(path);
	*u = *base;
	if (len + 1 + strlen(text) >= sizeof(path))
		return err_set(e, ERR_INVALID, "the URL is too long");
	snprintf(path + len, sizeof(path) - len, "%s%s",
		 len || !base->relative ? "/" : "", text);
	return u->scheme == GITURL_LOCAL ? parse_local(path, u, e)
					 : parse_path(path, u, e);
}
