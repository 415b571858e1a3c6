/*
 * remote: brings what a request needs from a server into a mirror.
 *
 * One connection when the reference is known: list, then fetch that one. A commit that
 * no reference points at costs further ones: all branches and tags, then the id itself,
 * which only some servers allow.
 *
 * The host is resolved and its addresses checked before libgit2 resolves it again, so a
 * name server that changes its answer in between is not caught. Redirects are followed
 * within the same host only.
 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "pick.h"
#include "session.h"

struct remote_want {
	const char *commit, *branch; /* "" = not given */
	bool everything;	     /* all branches and tags */
};

/* On success pick tells what was chosen; for PICK_ID and PICK_PREFIX the caller looks
 * whether the mirror has it now. */
int remote_fetch(struct session *s, const struct giturl *u, git_repository *mirror,
		 const struct remote_want *want, struct pick *pick, struct err *e);
