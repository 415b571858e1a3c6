/*
 * step: starts the main process of one step.
 *
 * The child gets its own process group, /dev/null as input, two pipes, default
 * signals, limits, a higher oom score than init, and no other descriptor.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "slipway/plan.h"

struct step_spec {
	const struct plan_step *step;
	char **env;
	uint64_t memory_max; /* RLIMIT_DATA, 0: none */
	uint32_t pids_max;   /* RLIMIT_NPROC, 0: none */
	int oom_fd;	     /* init's own oom_score_adj, or -1 */
};

struct step_proc {
	pid_t pid;
	int out, err; /* non-blocking reading ends, the caller's to close */
	char why[512]; /* empty, or why the child could not run the script */
};

/* Open init's oom_score_adj; has to come before PR_SET_DUMPABLE takes /proc/self
 * away. -1 when there is none. */
int step_open_oom(void);
/* 0: there is a process (one that ends with 127 when why is set); -1: there is none,
 * why tells the reason. */
int step_start(const struct step_spec *spec, struct step_proc *proc);
