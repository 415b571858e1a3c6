/*
 * tree: slipway-launch's own part of the control group tree (version 2).
 *
 *     slipway-jobs.service/             delegated to us
 *       supervisor/                     slipway-launch itself
 *       slipway-<job>-<attempt>/        a sandbox
 *
 * A group whose controllers are on for its children takes no processes, so
 * slipway-launch leaves the unit's own group first. systemd from 254 on starts it in
 * supervisor/ at once (DelegateSubgroup=); older ones put it into the unit's group
 * again at each start, which the kernel refuses while jobs run. tree_make_room(), run
 * before (ExecStartPre=), then switches the controllers off; tree_open() switches them
 * on again and sets the limits that were remembered with each leaf.
 *
 * Start-up only; short file operations.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/cgroup.h"

/* mount and self as for cgroup_open(). False with the reason: no groups, then. */
bool tree_open(struct cgroup *g, const char *mount, const char *self, char *why,
	       size_t size);
/* Does nothing where nothing is in the way. */
void tree_make_room(const char *mount, const char *self);
