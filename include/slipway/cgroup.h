/*
 * cgroup: one leaf of the control group tree (version 2) per sandbox.
 *
 * Groups with controllers in their subtree_control take no processes, and a service
 * manager that restarts the daemon beside running jobs puts it where it was. So the
 * leaves are made beside the daemon's own group, never below it, and only when the
 * group around both was delegated to the daemon (systemd: Delegate=yes together with
 * DelegateSubgroup=). Where that is not so limits fall to rlimits. With slipway-launch
 * it is its group that this is about, and it that makes and removes the leaves.
 *
 * Few short file operations on a memory file system; loop thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"

#define CGROUP_PATH 512

struct cgroup {
	char parent[CGROUP_PATH]; /* where leaves are made; "" = cannot be used */
	bool has_cpu;
};

struct cgroup_limits {
	uint64_t memory; /* bytes, 0: none */
	uint32_t pids;	 /* 0: none */
	double cpus;	 /* 0: none */
};

/* Pure: the path of the "0::" line of /proc/<pid>/cgroup; false when there is none. */
bool cgroup_parse_self(const char *text, char *out, size_t size);
/* False with the reason when there is no delegated group. mount is /sys/fs/cgroup and
 * self the text of /proc/self/cgroup, but for tests. */
bool cgroup_open(struct cgroup *g, const char *mount, const char *self, char *why,
		 size_t size);
/* May we make groups in it? */
bool cgroup_is_delegated(const char *dir);
/* Is the hierarchy at /sys/fs/cgroup, or below "unified" there? */
const char *cgroup_mount(void);

/* A new leaf with these limits. Returns its open cgroup.procs, or -1. A leaf that an
 * earlier, interrupted start left is taken over. */
int cgroup_leaf_create(const struct cgroup *g, const char *name,
		       const struct cgroup_limits *l, struct err *e);
/* Did memory run out in it? False, too, when there is no such leaf. */
bool cgroup_leaf_had_oom(const struct cgroup *g, const char *name);
/* Kill all in it and remove it. False: not empty yet, try again. */
bool cgroup_leaf_remove(const struct cgroup *g, const char *name);
/* Set the limits of all leaves again, after the controllers were off for a moment. */
void cgroup_leaves_restore(const struct cgroup *g);
