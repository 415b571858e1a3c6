/*
 * launch: starts a program, at the cost of a vfork.
 *
 * The child gets exactly what is listed: its descriptors, its environment, its limits;
 * everything else of the daemon's (locks, listeners, the database) is closed. Signals
 * are at their defaults and unblocked. Descriptors 0, 1 and 2 that are not listed are
 * /dev/null. The caller owns the pidfd and reaps: waitid(P_PIDFD, ..., WEXITED).
 *
 * Any thread; the calling thread is suspended until the child has executed or failed
 * (well under a millisecond), others run on. Failures of the child's set-up, of execve
 * too, are returned here, so that a pidfd always means that the program started.
 *
 * Changing the user makes the daemon itself undumpable (the child shares its memory
 * until it executes): no core files, and none of the user's processes can attach.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "slipway/err.h"

#define LAUNCH_FDS 16	 /* descriptors that can be passed */
#define LAUNCH_FD_MAX 63 /* highest number they can get */

struct launch_fd {
	int from; /* here; stays the caller's */
	int to;	  /* in the child, not CLOEXEC; each number once */
};

struct launch_rlimit {
	int resource; /* RLIMIT_... */
	rlim_t soft, hard;
};

struct launch_opts {
	const char *const *argv; /* ends with NULL */
	const char *path;	 /* absolute; NULL: argv[0] */
	const char *const *envp; /* ends with NULL; NULL: empty environment */
	const struct launch_fd *fds;
	size_t nfds;
	const struct launch_rlimit *rlimits;
	size_t nrlimits;
	const char *cwd; /* NULL: "/"; entered as the new user */
	bool has_user;	 /* needs root; supplementary groups are dropped */
	uid_t uid;
	gid_t gid;
	bool setsid;
	bool no_new_privs;
	int oom_score_adj;   /* added protection of the daemon; 0: inherit */
	int cgroup_procs_fd; /* an open cgroup.procs to join first; 0: none */
};

struct launched {
	pid_t pid;
	int pidfd; /* CLOEXEC */
};

/* ERR_NOT_FOUND when there is no such program, else ERR_SYSTEM, ERR_INVALID. */
int launch(const struct launch_opts *o, struct launched *out, struct err *e);
