/*
 * policy: what slipway-launch is willing to start: the sandboxes that slipwayd makes,
 * and nothing else. So whoever takes over the daemon gets no more from here than a job
 * has: the programs are known, the sandbox must be closed, what is mounted in it is the
 * root that all share (see local_root.h), the system and one workspace, and that root's
 * slipway-init runs in it.
 *
 * Pure.
 */
#pragma once

#include "slipway/err.h"

struct policy {
	char *bwrap, *slirp, *init; /* absolute; NULL: not there */
	char *state_dir;	    /* has root and workspaces; "": anywhere */
};

/* 0, or -1 with ERR_DENIED. argv ends with NULL and has at least one item. */
int policy_check(const struct policy *p, const char *const *argv, struct err *e);
