/*
 * spawn: runs a program and reads what it prints.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "slipway/strbuf.h"

#define SPAWN_OUTPUT_MAX (64u << 10) /* what comes after that is dropped */

struct spawn_opts {
	const char *const *argv; /* ends with NULL; argv[0] is looked for in $PATH */
	int timeout_ms;		 /* then it is killed */
	bool with_errors; /* its standard error is read, too; else it is dropped */
	bool has_user;	  /* run it as: */
	uid_t uid;
	gid_t gid;
};

/* Its exit status; -1 when it did not start, was killed, or took too long. */
int spawn_read(const struct spawn_opts *o, struct strbuf *out);
/* Is there such a program in $PATH? malloc'ed path, or NULL. */
char *spawn_find(const char *name);
