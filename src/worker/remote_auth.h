/*
 * remote_auth: who we are, and who the server is. The answers to libgit2's questions.
 */
#pragma once

#include <git2.h>

#include "session.h"

struct remote_auth {
	struct session *s;
	const struct giturl *u;
	const struct worker_credential *credential; /* NULL: none configured */
	unsigned asked;
	struct err err; /* why something was refused; callbacks only return -1 */
};

void remote_auth_init(struct remote_auth *a, struct session *s, const struct giturl *u);
int remote_auth_answer(struct remote_auth *a, git_credential **out, unsigned allowed);
int remote_auth_check(struct remote_auth *a, const git_cert *cert, int valid);

/* The credential with a token (https) or key (ssh) for this URL; NULL: none. */
const struct worker_credential *remote_auth_credential(const struct session *s,
						       const struct giturl *u);
/* The known_hosts text for this URL, "" when none is configured. */
const char *remote_auth_known_hosts(const struct session *s, const struct giturl *u);
