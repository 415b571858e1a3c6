/*
 * run: one attempt under way; what run*.c share. Loop thread only.
 *
 *	FETCH   directories, spool, plan (pool) → checkout
 *	START   "starting" committed → runner asked
 *	STEPS   the spool is tailed until the sandbox ended and the log was read to its end
 *	VERDICT outcome worked out → spool on disk (pool) → outcome committed
 *	CLEAN   slot freed, sandbox removed, the rest left to maintain
 *
 * run_advance() is the one exit of every callback. A failure goes to VERDICT from
 * anywhere, so clean-up is a phase that every path reaches.
 */
#pragma once

#include "engine_priv.h"
#include "plan_build.h"
#include "slipway/mask.h"

struct run {
	TAILQ_ENTRY(run) link;
	struct engine *en;
	struct entry *ent;
	size_t runner;
	struct job job;
	struct attempt att;
	enum job_phase phase;
	char *dir, *workspace;
	struct jobspec *spec;
	struct plan_conf pc;
	struct plan plan;
	struct mask *mask;
	struct spool *spool;
	struct checkout *checkout;
	struct sandbox *sandbox;
	struct loop_timer *deadline;
	struct sandbox_exit exit;
	int current_step; /* or -1 */
	bool failed;	  /* before or instead of an exit: failure says why */
	bool retriable;	  /* the failure may be transient */
	enum job_reason fail_reason;
	struct err failure;
	bool started; /* there is, or was, a sandbox to wait for */
	bool uncounted; /* it goes back to the queue as the same attempt */
	bool put_back; /* ... because nothing could begin it now */
	bool signalled, removed;
	unsigned holds; /* callbacks under way that will come back to this run */
	bool closed;
};

/* run.c */
void run_advance(struct run *run, const struct err *err);
void run_fail(struct run *run, enum job_reason reason, bool retriable,
	      const struct err *e);
void run_hold(struct run *run);
/* True when the run is gone or going: the callback returns at once. */
bool run_drop(struct run *run);
void run_publish(struct run *run);

/* run_prepare.c: FETCH */
void run_enter_fetch(struct run *run);

/* run_steps.c: the spool's frames become step records */
int run_open_spool(struct run *run, struct err *e);
void run_note(struct run *run, unsigned flags, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The attempt is over: what runs has failed, what is left was skipped. */
void run_close_steps(struct run *run);

/* run_verdict.c: VERDICT and CLEAN */
void run_enter_verdict(struct run *run);
void run_enter_clean(struct run *run);
