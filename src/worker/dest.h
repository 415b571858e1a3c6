/*
 * dest: makes the checkout: a repository of its own and the files.
 */
#pragma once

#include <git2.h>

#include "session.h"

struct dest {
	const char *path;
	const struct giturl *url;
	git_repository *src;
	const char *mirror; /* src's directory when it is a mirror, else NULL */
	git_oid commit;
	const char *branch; /* "" = detached */
	uint32_t depth;
};

/* path may exist when it is empty but for a .git of an earlier attempt. */
int dest_create(struct session *s, const struct dest *d, struct err *e);
