/*
 * submodule: what a checkout's .gitmodules asks for.
 */
#pragma once

#include <git2.h>
#include <stddef.h>

#include "slipway/err.h"

struct submodule {
	char *name, *path, *url;
	char commit[GIT_OID_HEXSZ + 1];
};

struct submodules {
	struct submodule *v;
	size_t n;
};

/* Of the checkout at path: each commit that its index names, with its URL. Leaves no
 * libgit2 object alive. */
int submodules_list(const char *path, struct submodules *out, struct err *e);
void submodules_free(struct submodules *m);
/* Is path/sub a plain directory, without symbolic links on the way? */
int submodule_check_path(const char *path, const char *sub, struct err *e);
