/*
 * job: the plain records of a job and its attempts, and the states' legal moves.
 *
 * `struct job` is small and mutable, has no pointers and no fds, and is what the
 * store keeps beside the immutable spec (jobspec.h). Times are ms since the epoch, 0
 * when not yet. Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/id.h"
#include "slipway/strbuf.h"
#include "slipway/wire.h"

#define JOB_STEPS_MAX 200
#define JOB_REPO_MAX 1024
#define JOB_REF_MAX 255
#define JOB_PRIORITY_MAX 10

/* Each value names where such jobs are held in memory; all are in the store. */
enum job_state {
	JOB_QUEUED,	/* sched: one tree per requirement set, or its delay list */
	JOB_RUNNING,	/* engine: table of runs */
	JOB_SUCCESS,	/* store only, and below */
	JOB_FAILURE,
	JOB_TIMEOUT,
	JOB_CANCELLED,
	JOB_STATES
};

enum step_state {
	STEP_PENDING, STEP_RUNNING, STEP_SUCCESS, STEP_FAILURE, STEP_SKIPPED, STEP_STATES
};

enum job_reason {
	REASON_NONE,
	REASON_STEP_FAILED, REASON_STEP_TIMEOUT, REASON_JOB_TIMEOUT, REASON_CANCELLED,
	REASON_CLONE_FAILED, REASON_IMAGE_FAILED, REASON_RUNNER_LOST, REASON_OOM,
	REASON_DISK_FULL, REASON_INTERNAL, REASON_SECRET_MISSING,
	REASONS
};

/* Phases of an attempt; the committed one tells recovery where to go on. */
enum job_phase {
	PHASE_NONE,
	PHASE_FETCH,   /* mirror, checkout */
	PHASE_START,   /* committed before the runner is asked */
	PHASE_STEPS,
	PHASE_VERDICT, /* outcome committed, the sandbox not yet removed */
	PHASE_CLEAN,   /* final; sealing and cleaning in the background */
	PHASE_DONE,
	PHASES
};

struct job {
	char id[JOB_ID_MAX + 1];
	uint64_t seq; /* order of acceptance, unique */
	enum job_state state;
	enum job_reason reason;
	int priority;
	unsigned attempt; /* current one, from 1 */
	unsigned retries; /* automatic ones spent since the last submit or retry */
	bool cancel_wanted; /* the committed intent */
	char cancel_by[64];
	int64_t submitted_at, queued_at, not_before, started_at, finished_at;
	char repo[JOB_REPO_MAX + 1];
	char branch[JOB_REF_MAX + 1];
	char commit[JOB_REF_MAX + 1]; /* as asked for; the sha once FETCH knows it */
	char needs[512];	      /* requirement set, canonical (jobspec_needs) */
	unsigned warnings;
	char error[600];
	char spec_hash[65]; /* sha-256 hex of the canonical spec */
};

struct step_record {
	enum step_state state;
	int32_t exit_code;
	bool timed_out, has_exit;
	int64_t started_at, finished_at;
	uint64_t cpu_us, max_rss;
};

struct attempt {
	char job[JOB_ID_MAX + 1];
	unsigned number;
	enum job_state state; /* JOB_RUNNING until its end */
	enum job_reason reason;
	enum job_phase phase;
	bool intent_timeout; /* the daemon's backstop fired, committed first */
	bool sealed;
	char runner[64];
	char endpoint[160]; /* what its sandbox is called on the runner, see runner.h */
	char boot_id[40];   /* of the boot it started in */
	char sha[65];
	int64_t queued_at, started_at, finished_at;
	char error[600];
	uint64_t cpu_us, max_rss;
	unsigned nsteps;
	struct step_record steps[JOB_STEPS_MAX];
};

const char *job_state_name(enum job_state s);
/* JOB_STATES when there is none of that name. */
enum job_state job_state_parse(const char *name);
const char *step_state_name(enum step_state s);
const char *job_reason_name(enum job_reason r); /* "" for none */
const char *job_phase_name(enum job_phase p);
bool job_state_is_final(enum job_state s);
/* The table of legal moves (DESIGN: queued → running → final; queued → cancelled;
 * running or any final state → queued by a retry). */
bool job_move_is_legal(enum job_state from, enum job_state to);

/* Versioned binary forms, for the store. Decoding checks everything; false = corrupt. */
void job_encode(const struct job *j, struct wire_w *w);
bool job_decode(struct job *j, const void *data, size_t len);
void attempt_encode(const struct attempt *a, struct wire_w *w);
bool attempt_decode(struct attempt *a, const void *data, size_t len);
