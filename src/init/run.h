/*
 * run: what the modules of `slipway-init run` share: the job being run.
 *
 * supervise.c turns events into calls of sequence.c, which moves the job on; stepenv.c
 * makes each step's environment. One thread; supervise_run() owns it all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "slipway/frame.h"
#include "slipway/mask.h"
#include "slipway/plan.h"

#include "environ.h"
#include "envfile.h"
#include "output.h"
#include "spoolw.h"

enum run_kill {
	RUN_KILL_NONE,
	RUN_KILL_TERM, /* TERM is sent, KILL follows at kill_at */
	RUN_KILL_DONE, /* KILL is sent */
};

/* The step between its step-start and its step-end. */
struct run_step {
	bool open;
	bool exited;	 /* the main process is reaped, end is filled */
	bool group_gone; /* and nothing of its process group is left */
	uint16_t index;
	pid_t pid; /* also the process group; -1: none was started */
	enum run_kill kill;
	uint64_t deadline;   /* 0: none */
	uint64_t kill_at;    /* while RUN_KILL_TERM */
	uint64_t drain_from; /* since when only its pipes are waited for */
	uint64_t oom_kills;  /* of the cgroup, before the step */
	struct step_end end;
	struct envfile envfile;
};

struct run {
	const struct plan *plan;
	struct spoolw spool;
	struct mask *mask;
	struct output_sink sink;
	struct output **outputs; /* pipes still open, also of steps that ended */
	size_t noutputs, outputs_cap;
	struct environ_list added; /* by $SLIPWAY_ENV of the steps so far */
	const char *secrets_dir;
	struct run_step step;
	size_t next; /* first step that neither ran nor was skipped */
	enum init_exit verdict;
	bool stopped; /* only "always" steps start from here on */
	bool bounded; /* and each of them has a deadline, whatever the plan says */
	bool aborted; /* nothing starts any more */
	uint64_t job_deadline; /* 0: none, or over */
	int oom_fd;
};

/* A note about a step (or FRAME_NO_STEP), masked. flags as of FRAME_NOTE. */
void run_note(struct run *run, uint16_t step, uint8_t flags, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* init itself cannot go on: an error note; kills the open step, starts no other. */
void run_fail(struct run *run, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* A worse verdict replaces a lesser one; of equals the first stays. */
void run_set_verdict(struct run *run, enum init_exit verdict);
void run_add_output(struct run *run, int fd, uint8_t type, uint16_t step);
/* Frees the outputs that have ended; the others keep their order. */
void run_drop_ended(struct run *run);
