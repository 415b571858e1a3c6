/*
 * local_root: the root directory of all sandboxes, <state_dir>/sandbox/root.
 *
 * It has what is the same for each of them: the mount points, the links into /usr, a
 * copy of slipway-init, /etc (see local_etc.h). Sandboxes have it bound as their "/",
 * read-only, so none of this has to be made again for each. A new slipway-init takes
 * the place of the old one by name; sandboxes that run keep theirs.
 *
 * Blocking, called when a runner is opened.
 */
#pragma once

#include <stdbool.h>

#include "local_argv.h"
#include "slipway/err.h"

struct local_root {
	char *path;	  /* absolute, when state_dir is */
	bool can_execute; /* false: the file system allows no programs */
};

/* After local_etc_prepare(), which makes the directory. init: where slipway-init is. */
int local_root_prepare(struct local_root *root, const char *state_dir,
		       const struct local_host *host, const char *init, struct err *e);
void local_root_free(struct local_root *root);
