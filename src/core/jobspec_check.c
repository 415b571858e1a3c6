#include "jobspec_check.h"

#include <stdio.h>
#include <string.h>

#include "slipway/fs.h"
#include "slipway/jobspec.h"
#include "slipway/mem.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT "0123456789"
#define ALNUM LOWER UPPER DIGIT

#define WORKSPACE "/workspace"
#define CREDENTIALS_HINT "must not hold credentials, use git.credentials of the server"

static bool
check_is_made_of(const char *s, const char *allowed, size_t max)
{
	size_t n = strspn(s, allowed);

	return n && n <= max && !s[n];
}

bool
jobspec_has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

static bool
check_has_dotdot(const char *s)
{
	for (;; s++) {
		size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.')
			return true;
		s += n;
		if (!*s)
			return false;
	}
}

const char *
jobspec_check_id(const char *s)
{
	return id_is_valid(s) ? NULL
			      : "must be 1 to 128 of A-Z a-z 0-9 . _ -, begin with a "
				"letter or digit and hold no \"..\"";
}

/* "host[:port]" or "[v6][:port]", of this length. */
static bool
check_host(const char *s, size_t len)
{
	size_t n;

	if (len && s[0] == '[') {
		n = 1 + strspn(s + 1, "0123456789abcdefABCDEF:.");
		if (n >= len || n == 1 || s[n] != ']')
			return false;
		n++;
	} else {
		n = strspn(s, ALNUM ".-_");
		if (!n || s[0] == '-' || s[0] == '.')
			return false;
	}
	if (n < len && s[n] == ':') {
		size_t digits = strspn(s + n + 1, DIGIT);

		if (!digits || digits > 5)
			return false;
		n += 1 + digits;
	}
	return n == len;
}

static const char *
check_url(const char *rest, bool user_allowed)
{
	size_t len = strcspn(rest, "/");
	const char *at = memrchr(rest, '@', len);

	if (at) {
		size_t user = (size_t)(at - rest);

		if (!user_allowed || memchr(rest, ':', user))
			return CREDENTIALS_HINT;
		if (strspn(rest, ALNUM "._-") != user || !user || rest[0] == '-')
			return "the user name is not valid";
		rest = at + 1;
		len -= user + 1;
	}
	if (!check_host(rest, len))
		return "the host is not valid";
	if (strpbrk(rest, "?#"))
		return "must not hold a query or fragment";
	return rest[len] == '/' && rest[len + 1] ? NULL : "the path is missing";
}

static const char *
check_local(const char *path)
{
	if (path[0] != '/')
		return "file:// needs an absolute path";
	if (check_has_dotdot(path))
		return "must not hold \"..\"";
	return path[strspn(path, "/")] ? NULL : "the path is missing";
}

/* git@host:path; a path that began with ':' or '/' would read as something else. */
static const char *
check_scp(const char *s)
{
	const char *at = strchr(s, '@');
	const char *colon = strchr(at && at[1] == '[' ? strchrnul(at, ']') : s, ':');
	size_t user, host;

	if (!at || !colon)
		return "must be an https, http, ssh or file URL, user@host:path or an "
		       "absolute path";
	if (colon < at)
		return CREDENTIALS_HINT;
	user = (size_t)(at - s);
	host = (size_t)(colon - at - 1);
	if (!user || strspn(s, ALNUM "._-") != user)
		return "the user name is not valid";
	if (!check_host(at + 1, host))
		return "the host is not valid";
	return colon[1] && !strchr(":-", colon[1]) ? NULL : "the path is not valid";
}

const char *
jobspec_check_repo(const char *s)
{
	static const struct {
		const char *scheme;
		bool user;
	} schemes[] = { { "https://", false },
			{ "http://", false },
			{ "ssh://", true } };

	if (jobspec_has_control(s) || strchr(s, ' '))
		return "must not hold spaces or control characters";
	if (s[0] == '-')
		return "must not begin with '-'";
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		size_t n = strlen(schemes[i].scheme);

		if (!strncmp(s, schemes[i].scheme, n))
			return check_url(s + n, schemes[i].user);
	}
	if (!strncmp(s, "file://", 7))
		return check_local(s + 7);
	if (strstr(s, "://"))
		return "only https, http, ssh and file URLs can be fetched";
	return s[0] == '/' ? check_local(s) : check_scp(s);
}

/* One component between slashes. */
static bool
check_ref_part(const char *s, size_t n)
{
	static const char lock[] = ".lock";
	const size_t tail = sizeof(lock) - 1;

	if (!n || s[0] == '.')
		return false;
	return n < tail || memcmp(s + n - tail, lock, tail);
}

const char *
jobspec_check_ref(const char *s)
{
	static const char bad[] = "not a valid branch, tag or commit";
	size_t n = strlen(s);

	if (!n || s[0] == '-' || s[n - 1] == '.' || !strcmp(s, "@"))
		return bad;
	if (jobspec_has_control(s) || strpbrk(s, " ~^:?*[\\") || strstr(s, "..") ||
	    strstr(s, "@{"))
		return bad;
	for (;; s += n + 1) {
		n = strcspn(s, "/");
		if (!check_ref_part(s, n))
			return bad;
		if (!s[n])
			return NULL;
	}
}

const char *
jobspec_check_name(const char *s)
{
	return jobspec_has_control(s) ? "must not hold control characters" : NULL;
}

const char *
jobspec_check_shell(const char *s)
{
	return check_is_made_of(s, ALNUM "_./+-", 64) && s[0] != '-' &&
			       (s[0] == '/' || !strchr(s, '/'))
		       ? NULL
		       : "must be a program's name or absolute path";
}

const char *
jobspec_check_label(const char *s)
{
	return check_is_made_of(s, ALNUM "._:/-", JOBSPEC_NAME_MAX)
		       ? NULL
		       : "must be 1 to 128 of A-Z a-z 0-9 . _ : / -";
}

const char *
jobspec_check_runner(const char *s)
{
	return check_is_made_of(s, ALNUM "._-", 63)
		       ? NULL
		       : "must be 1 to 63 of A-Z a-z 0-9 . _ -";
}

const char *
jobspec_check_image(const char *s)
{
	if (s[0] == '-')
		return "must not begin with '-'";
	return jobspec_has_control(s) || strchr(s, ' ')
		       ? "must not hold spaces or control characters"
		       : NULL;
}

const char *
jobspec_check_cache_key(const char *s)
{
	if (jobspec_has_control(s))
		return "must not hold control characters";
	return s[0] == '/' || check_has_dotdot(s)
		       ? "must be a path or glob inside the repository"
		       : NULL;
}

const char *
jobspec_check_env_name(const char *s)
{
	if (!check_is_made_of(s, ALNUM "_", JOBSPEC_NAME_MAX) || strchr(DIGIT, s[0]))
		return "not a variable's name: letters, digits and _, at most 128, not "
		       "beginning with a digit";
	return strncmp(s, "SLIPWAY_", 8)
		       ? NULL
		       : "names that begin with SLIPWAY_ are reserved";
}

const char *
jobspec_check_secret_name(const char *s)
{
	return check_is_made_of(s, ALNUM "_-", 64)
		       ? NULL
		       : "not a secret's name: 1 to 64 of A-Z a-z 0-9 _ -";
}

const char *
jobspec_check_cwd(const char *s, char *out, size_t size)
{
	cleanup_free char *full = NULL;

	if (jobspec_has_control(s))
		return "must not hold control characters";
	full = s[0] == '/' ? xstrdup(s) : xasprintf(WORKSPACE "/repo/%s", s);
	if (!fs_normalise(full, out, size) || !fs_is_inside(WORKSPACE, out))
		return "must stay inside " WORKSPACE;
	return NULL;
}
