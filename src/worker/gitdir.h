/*
 * gitdir: writes the few files that make a directory a git repository. Quicker than
 * git_repository_init, and nothing comes from templates.
 */
#pragma once

#include <stdbool.h>

#include "slipway/err.h"

struct gitdir {
	bool bare;
	const char *head;   /* content of HEAD, without newline */
	const char *origin; /* the remote's URL, or NULL */
	const char *branch; /* the branch that follows origin's, or NULL */
};

/* path must not exist, its parent must. */
int gitdir_create(const char *path, const struct gitdir *g, struct err *e);
/* Write dir/name, once. */
int gitdir_write(const char *dir, const char *name, const char *text, struct err *e);
/* Append [submodule "name"] to dir/config. */
int gitdir_add_submodule(const char *dir, const char *name, const char *url,
			 struct err *e);
