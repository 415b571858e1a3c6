/*
 * lg: libgit2 as this program wants it: no configuration but a repository's own, no
 * templates, no fsync, and its errors as struct err.
 */
#pragma once

#include <git2.h>

#include "slipway/err.h"

int lg_init(struct err *e);
/* Start anew before talking to a server: the state of the TLS random generator was
 * copied at the fork, and every child would make the same keys of it. home is where ssh
 * finds .ssh/known_hosts, or NULL. No libgit2 object may be alive. */
int lg_reinit(const char *home, struct err *e);
/* From a libgit2 return value: "<text>: <libgit2's message>". Returns -1. */
int lg_error(struct err *e, int rc, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define LG_CLEANUP(type)                                                       \
	static inline void cleanup_##type##_(git_##type **p)                   \
	{                                                                      \
		git_##type##_free(*p);                                         \
	}
LG_CLEANUP(repository)
LG_CLEANUP(object)
LG_CLEANUP(commit)
LG_CLEANUP(tree)
LG_CLEANUP(blob)
LG_CLEANUP(odb)
LG_CLEANUP(odb_object)
LG_CLEANUP(reference)
LG_CLEANUP(reference_iterator)
LG_CLEANUP(remote)
LG_CLEANUP(index)
LG_CLEANUP(revwalk)
LG_CLEANUP(packbuilder)
LG_CLEANUP(config)
#define cleanup_git(type) __attribute__((cleanup(cleanup_##type##_)))
