/*
 * mirror: bare repositories that keep what was fetched, one per URL.
 *
 * <mirrors>/<first 32 hex digits of the URL's SHA-256>.git, and beside it .lock, held
 * shared while objects are read and exclusively while they change. A marker file tells
 * the next one that a fetch was cut off, and that its temporary files lie about.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>

#include "slipway/err.h"
#include "slipway/giturl.h"

#define MIRROR_NAME_LEN 32

struct mirror {
	char path[PATH_MAX];
	int lock; /* -1: closed */
};

int mirror_name(const struct giturl *u, char out[MIRROR_NAME_LEN + 1], struct err *e);
int mirror_open(struct mirror *m, const char *dir, const struct giturl *u,
		struct err *e);
void mirror_close(struct mirror *m);
/* Waits. exclusive, or shared. */
int mirror_lock(struct mirror *m, bool exclusive, struct err *e);
bool mirror_exists(const struct mirror *m);
/* Under the exclusive lock: make it if missing, clean up after a fetch that was cut
 * off, and mark that one begins. *fresh: it is empty, also because it had become slow
 * to read and was made anew. */
int mirror_begin(struct mirror *m, bool *fresh, struct err *e);
void mirror_end(struct mirror *m);
/* Under the exclusive lock. */
int mirror_wipe(struct mirror *m, struct err *e);
/* The known_hosts for this URL, at <home>/.ssh; home holds PATH_MAX. */
int mirror_write_known_hosts(struct mirror *m, const char *text, char *home,
			     struct err *e);
