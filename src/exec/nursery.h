/*
 * nursery: the processes from which slipway-worker's children are forked, one per unix
 * user, started at the first use. See slipway/worker_task.h for why and how.
 *
 * Any thread; calls take turns. A nursery that died is replaced at the next call.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "slipway/err.h"
#include "slipway/worker_task.h"

struct nursery;

struct nursery_user {
	bool has_user; /* false: the daemon's own */
	uid_t uid;
	gid_t gid;
};

/* program: the path of slipway-worker, copied. */
struct nursery *nursery_new(const char *program);
/* Ends the processes and with them every child. NULL is fine. */
void nursery_free(struct nursery *n);
/* A child with these as its descriptors 0 and 1; the caller owns the pidfd, which is
 * for signals and polling (the child is the nursery's). */
int nursery_spawn(struct nursery *n, const struct nursery_user *user,
		  const struct worker_spawn *limits, const int fds[2], int *pidfd,
		  struct err *e);
