/*
 * launcher: slipway-launch as seen from the daemon: a connection that is made again
 * whenever it is lost, and the starts that wait for their answer on it.
 *
 * What was asked for and not answered when the connection ended, or in
 * the time it has, may have been started all the same: only the sandbox's own
 * evidence can tell. slipway-launch starts nothing after that time.
 *
 * Loop thread only; nothing blocks. Callbacks never come from inside a call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/cgroup.h"
#include "slipway/err.h"
#include "slipway/launch.h"
#include "slipway/loop.h"

struct launcher;
struct launcher_call;

struct launcher_events {
	/* It answers; group is where it makes leaves, "" for none. */
	void (*on_up)(void *arg, const char *group);
	/* It does not any more, or not yet (told once each time). */
	void (*on_down)(void *arg, const char *why);
	void *arg;
};

/* How a start went: err NULL and the process (whose pidfd is the callback's), or err:
 * ERR_CLOSED and ERR_TIMEOUT: nobody knows. All others: it was not started. */
typedef void launcher_fn(void *arg, const struct launched *l, const struct err *err);

struct launcher_group {
	const char *name;
	const struct cgroup_limits *limits;
};

/* Connects from the loop. patience_ms is the time that slipway-launch has for each
 * answer. */
struct launcher *launcher_new(struct loop *l, const char *socket, int64_t patience_ms,
			      const struct launcher_events *ev);
/* Starts under way are forgotten. NULL is fine. */
void launcher_free(struct launcher *l);
/* Asks for a process. The descriptors may be closed at once. NULL with ERR_CONNECT when
 * slipway-launch is not there. group NULL: none. */
struct launcher_call *launcher_start(struct launcher *l, const struct launch_opts *o,
				     const struct launcher_group *group,
				     launcher_fn *fn, void *arg, struct err *e);
/* Do not call back. What it starts runs. */
void launcher_forget(struct launcher_call *c);
/* Kill what is in the group and remove it, now or when slipway-launch is back. */
void launcher_remove_group(struct launcher *l, const char *name);
