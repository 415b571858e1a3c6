/*
 * server: slipway-launch's socket and the processes that it starts.
 *
 * One thread. What it started it reaps, but keeps no record of: how a sandbox ended is
 * in its status file, and slipwayd watches the pidfd that it was given.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "policy.h"
#include "slipway/cgroup.h"
#include "slipway/err.h"

struct server_opts {
	const char *socket; /* path to listen on, when no socket was passed on to us */
	struct policy policy;
	struct cgroup groups;
};

/* Until SIGTERM or SIGINT. What runs goes on. */
int server_run(const struct server_opts *o, struct err *e);

/* Who may ask: ourselves, and root. */
bool server_may_ask(uid_t peer, uid_t self);
/* What to make of a wish for a user: 0, or -1 with ERR_DENIED. *change tells whether
 * it takes a change. Nothing ever runs as root. */
int server_check_user(bool has_user, uid_t wanted, uid_t self, bool *change,
		      struct err *e);
