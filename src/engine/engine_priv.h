/*
 * engine_priv: what the files of engine/ share. Loop thread only.
 *
 * An entry stands for every job that is not final, or not yet known to be: it says
 * where the job is held now. Records of queued jobs are in the store only; a run holds
 * the records of the job and attempt that it works on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uthash.h>

#include "sched.h"
#include "slipway/engine.h"
#include "slipway/runner.h"
#include "spool.h"

struct run;
struct maintain;
struct retention;

enum entry_state {
	ENTRY_QUEUEING, /* its insertion, or a retry, is being committed */
	ENTRY_QUEUED,	  /* in sched */
	ENTRY_RUNNING,	  /* has a run */
	ENTRY_LEAVING,  /* the cancel of the queued job is being committed */
};

struct submit_waiter {
	SLIST_ENTRY(submit_waiter) link;
	engine_submit_fn *fn;
	void *arg;
	bool existed;
};
SLIST_HEAD(submit_waiters, submit_waiter);

struct cancel_waiter {
	SLIST_ENTRY(cancel_waiter) link;
	engine_cancel_fn *fn;
	void *arg;
};
SLIST_HEAD(cancel_waiters, cancel_waiter);

struct entry {
	UT_hash_handle hh;
	struct engine *en;
	struct sched_item item;
	struct run *run;
	struct submit_waiters waiters; /* while QUEUEING */
	struct cancel_waiters cancels; /* while LEAVING or RUNNING */
	enum entry_state state;
	uint32_t spec_bytes;
	char *pending_hash; /* of the spec, while it is being inserted */
	char id[];
};

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
	struct entry *entries;
	struct sched sched;
	struct run_list runs;
	unsigned nruns;
	uint64_t last_seq;
	unsigned nqueueing; /* entries in that state */
	uint64_t queued_bytes; /* of the specs submitted since the start that wait */
	bool kicked, stopping, closed;
	struct loop_timer *due;
	void (*idle_fn)(void *); /* engine_cancel_all: called when no run is left */
	void *idle_arg;
	int64_t space_checked;
	bool space_ok;
};

/* engine.c */
struct entry *entry_find(struct engine *en, const char *id);
struct entry *entry_new(struct engine *en, const char *id, enum entry_state state);
void entry_free(struct entry *en);
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
void entry_answer_cancels(struct entry *ent, bool cancelled, const char *reason);
void entry_add_waiter(struct entry *ent, engine_submit_fn *fn, void *arg, bool existed);
/* db_end() callback for an entry whose job was just made queued: into the order, and
 * answers its waiters. */
void entry_on_queued(void *arg, const struct err *err);
/* A run ended and its final state, or its requeueing, is committed. */
void engine_run_ended(struct engine *en, struct entry *ent, const struct job *j);

/* pick.c: which job goes where */
void engine_pick(struct engine *en);
/* What a set needs, and which runners may serve it. */
struct set_tag {
	struct job_needs needs;
	bool is_readable; /* the needs */
	bool *allowed, *ok; /* by runner: by its rules; and can it, too? */
	char why[256]; /* when none */
};
void set_tag_free(void *tag);
/* The name of the set that j belongs to: its needs and the runners that allow it. */
void pick_set_name(struct engine *en, const struct job *j, char *out, size_t size);
struct set_tag *pick_tag_new(struct engine *en, const struct job *j);
/* What runners can do has changed. */
void pick_refresh(struct engine *en);
void pick_wait_reason(struct engine *en, const struct entry *ent, char *out, size_t size);

/* runners.c */
int runners_open(struct engine *en, struct err *e);
void runners_close(struct engine *en);
/* The index of the runner of that name, else of the first. */
size_t runner_by_name(const struct engine *en, const char *name);

/* admit.c */
int engine_admit(struct engine *en, size_t bytes, struct err *e);
/* As of a moment ago: asked for every submission. */
bool engine_has_space(struct engine *en);
bool engine_measure_space(struct engine *en);

/* run.c */
/* Start the queued job j (its record, committed) on runner index r. */
void run_begin(struct engine *en, struct entry *ent, const struct job *j, size_t r);
/* Recovery: adopt the attempt; its record says how far it got. */
void run_adopt(struct engine *en, struct entry *ent, const struct job *j,
	       const struct attempt *a, size_t r);
void run_cancel(struct run *run, const char *by);
void run_view(const struct run *run, struct job_view *out);
void run_describe(const struct run *run, char *out, size_t size);
/* Drop the handle, leave the sandbox alone. */
void run_detach(struct run *run);
struct run *run_next(struct run *run); /* NULL after the last */

/* recover.c */
int engine_recover(struct engine *en, struct err *e);

/* maintain.c: sealing, cleaning, retention, in the background */
struct maintain *maintain_new(struct engine *en, struct err *e);
void maintain_free(struct maintain *m);
/* Seal and clean what the ended attempts of this job left behind. */
void maintain_add(struct maintain *m, const char *id);
/* Move a directory to the trash; blocking, pool threads. A missing one is fine. */
int maintain_discard(const char *state_dir, const char *path, struct err *e);
