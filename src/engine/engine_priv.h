/*
 * engine_priv: what the files of engine/ share. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "entry.h"
#include "eta.h"
#include "sched.h"
#include "slipway/engine.h"
#include "slipway/runner.h"
#include "spool.h"

struct run;
struct maintain;
struct retention;

struct engine_runner {
	const struct runner_ops *ops;
	struct runner *runner;
	char name[64];
	unsigned running;
	bool gone; /* no longer configured: drains */
	const struct conf_runner *conf; /* of the current configuration, NULL when gone */
};

TAILQ_HEAD(run_list, run);

struct engine {
	struct engine_deps d;
	struct spools *spools;
	struct maintain *maintain;
	struct retention *retention;
	struct engine_runner *runners;
	size_t nrunners;
	unsigned generation; /* of what is known about them, see reload.c */
	struct entry *entries;
	struct sched sched;
	struct run_list runs;
	unsigned nruns;
	uint64_t last_seq;
	unsigned nqueueing; /* entries in that state */
	uint64_t queued_bytes; /* of the specs submitted since the start that wait */
	bool kicked, stopping, closed;
	struct engine_hold hold;
	struct eta eta;
	struct loop_timer *due;
	void (*idle_fn)(void *); /* engine_cancel_all: called when no run is left */
	void *idle_arg;
	int64_t space_checked;
	bool space_ok;
};

/* engine.c */
/* Put a committed queued job into the order; the one path for submits, retries and
 * recovery. */
void engine_enqueue(struct engine *en, struct entry *ent, const struct job *j);
/* Look for work at the end of this turn. */
void engine_kick(struct engine *en);
/* The only writer of a job's state: checks the move, writes record and indexes into the
 * open unit. Publish after its commit. */
void engine_set_state(struct engine *en, struct job *j, enum job_state to);
void engine_publish(struct engine *en, const char *id, unsigned attempt,
		    enum bus_what what);
/* A run ended and its final state, or its requeueing, is committed. */
void engine_run_ended(struct engine *en, struct entry *ent, const struct job *j);

/* runners.c */
int runners_open(struct engine *en, struct err *e);
void runners_close(struct engine *en);
/* The index of the runner of that name, else of the first. */
size_t runner_by_name(const struct engine *en, const char *name);
struct runner_env runner_env_of(struct engine *en);
void runner_append(struct engine *en, const struct conf_runner *rc,
		   const struct runner_ops *ops, struct runner *r);

/* admit.c */
int engine_admit(struct engine *en, size_t bytes, struct err *e);
/* As of a moment ago: asked for every submission. */
bool engine_has_space(struct engine *en);
bool engine_measure_space(struct engine *en);

/* recover.c */
int engine_recover(struct engine *en, struct err *e);
