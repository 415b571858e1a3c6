/*
 * local_etc: the /etc of all sandboxes, one directory of copies.
 *
 * Mounting costs, so the files a build may see are not mounted one by one: they lie in
 * <state_dir>/sandbox/root/etc, in the root of all sandboxes. Only what everybody on
 * the host can read is copied. Directories are not: each is an empty one here, and the
 * host's is bound over it. Running sandboxes see the changes, as they would in the
 * host's /etc.
 *
 * Blocks for the reading of small files. Prepared when a runner is opened, then
 * refreshed on the loop.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "slipway/err.h"

#define LOCAL_ETC_FILES 14
#define LOCAL_ETC_DIRS 4
#define LOCAL_ETC_FILE_MAX ((size_t)1 << 20)

/* What stays a mount of its own. */
extern const char *const local_etc_dirs[LOCAL_ETC_DIRS];

struct local_etc {
	char *path; /* absolute */
	char *temp; /* a new copy on its way to its name */
	struct local_etc_seen {
		ino_t ino;
		off_t size;
		struct timespec mtime, ctime;
	} seen[LOCAL_ETC_FILES]; /* the originals, when they were copied */
};

/* Makes the directory and fills it. root is "/" but for tests. */
int local_etc_prepare(struct local_etc *etc, const char *state_dir, const char *root,
		      struct err *e);
/* Copies again what has changed on the host, which is looked at each time. */
int local_etc_refresh(struct local_etc *etc, const char *root, struct err *e);
void local_etc_free(struct local_etc *etc);
