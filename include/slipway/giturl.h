/*
 * giturl: addresses of repositories, and which of them may be used.
 *
 * Shared by the daemon (before a job is accepted) and slipway-worker (again, for what
 * it connects to and for submodules). Pure, any thread.
 *
 * Spellings: https:// http:// ssh:// [user@]host:path file:// and absolute paths. User
 * names belong to ssh only; passwords and tokens in a URL are refused, they would end
 * up in logs. Numeric hosts are brought into their usual form first, so that 0x7f.1 or
 * 2130706433 are 127.0.0.1 to every rule.
 *
 * Policy: local paths only under git.local_roots. Hosts: with git.allow_hosts only
 * those that match an entry (a glob, with ":port" optionally), else any public one.
 * Loopback, private, link-local and other special addresses are refused, as are
 * localhost, *.local, *.internal and the like, unless an entry names that host exactly
 * or carries a port; to such hosts only are tokens sent over plain http. What a name
 * resolves to is checked by the worker.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"

#define GITURL_PATH_MAX 2048
#define GITURL_MAX (GITURL_PATH_MAX + 512)

enum giturl_scheme { GITURL_LOCAL, GITURL_HTTP, GITURL_HTTPS, GITURL_SSH };

struct giturl {
	enum giturl_scheme scheme;
	bool relative;	/* ssh: host:path, path is relative to the account's home */
	uint16_t port;	/* 0 for local */
	char user[64];	/* ssh only, else "" */
	char host[256]; /* lower case, IPv6 without brackets; "" for local */
	char path[GITURL_PATH_MAX]; /* no trailing slash; absolute unless relative */
};

struct giturl_policy {
	char *const *hosts; /* git.allow_hosts */
	size_t nhosts;
	char *const *roots; /* git.local_roots, normalised */
	size_t nroots;
};

/* ERR_INVALID. */
int giturl_parse(const char *text, struct giturl *u, struct err *e);
/* The one spelling of this repository: what is connected to, shown and hashed. */
void giturl_format(const struct giturl *u, char out[GITURL_MAX]);
/* "host/path", or the path of a local repository: what credentials match against. */
void giturl_format_short(const struct giturl *u, char out[GITURL_MAX]);
/* A submodule's URL, which may be relative ("../other.git") to base. ERR_INVALID. */
int giturl_resolve(const struct giturl *base, const char *text, struct giturl *u,
		   struct err *e);
/* ERR_DENIED says why not. */
int giturl_check(const struct giturl *u, const struct giturl_policy *p, struct err *e);
/* Does an entry of hosts name it so that private addresses are meant, too? */
bool giturl_may_be_private(const struct giturl *u, const struct giturl_policy *p);

struct sockaddr;
/* An address of the global internet, not a special or embedded private one. */
bool giturl_address_is_public(const struct sockaddr *sa);
