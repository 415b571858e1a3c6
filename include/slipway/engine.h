/*
 * engine: the life of jobs. The only writer of job state. Loop thread only.
 *
 *     submit → store [commit] → queue → pick → run: phases → verdict → clean
 *
 * Verbs change things and answer through a callback after the commit (never from inside
 * the call); views show committed state plus what the running attempt's log tells. The
 * handle given to a callback's arg must survive until it is called: each verb calls
 * back exactly once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/bus.h"
#include "slipway/checkout.h"
#include "slipway/conf.h"
#include "slipway/db.h"
#include "slipway/engine_admin.h"
#include "slipway/err.h"
#include "slipway/job.h"
#include "slipway/jobspec.h"
#include "slipway/loop.h"
#include "slipway/pool.h"
#include "slipway/strbuf.h"

struct engine;

struct engine_deps {
	struct loop *loop;
	struct pool *pool;
	struct db *db;
	struct bus *bus;
	struct checkouts *checkouts;
	const struct conf *conf;
};

/* Opens runners, rebuilds the queue, re-adopts running attempts. */
struct engine *engine_new(const struct engine_deps *d, struct err *e);
/* Lets go of running jobs: their sandboxes live on, a later daemon adopts them. Nothing
 * of the engine calls back any more; pool_stop() may follow. */
void engine_detach(struct engine *en);
/* After engine_detach() and pool_stop(). */
void engine_free(struct engine *en);
/* conf must be valid until the next reload, which may come once done was called:
 * runners are opened anew meanwhile. */
void engine_reload(struct engine *en, const struct conf *conf, void (*done)(void *arg),
		   void *arg);
/* End everything (SIGINT of a development daemon): cancels all running jobs, then
 * calls done. Nothing new starts from now on. */
void engine_cancel_all(struct engine *en, void (*done)(void *), void *arg);
/* Nothing new starts; running jobs go on. */
void engine_stop_starting(struct engine *en);

struct engine_submitted {
	char id[JOB_ID_MAX + 1];
	bool existed; /* same id and body as before: nothing new was queued */
	long position;
};
typedef void engine_submit_fn(void *arg, const struct err *err,
			      const struct engine_submitted *s);
/* Takes the spec (not its memory). Refusals (ERR_CONFLICT, ERR_QUEUE_FULL, ERR_NO_SPACE,
 * ERR_DRAINING, ERR_INVALID) come through fn, too. */
void engine_submit(struct engine *en, const struct jobspec *spec, engine_submit_fn *fn,
		   void *arg);
/* Checks that need configuration (limits, URL policy, secrets' names); used by submit
 * and by validation. Warnings for people, one per line, go to *warnings if given. */
int engine_check(struct engine *en, const struct jobspec *spec, struct strbuf *warnings,
		 struct err *e);

/* reason is "" when cancelled, else why not ("already success", "no such job"). */
typedef void engine_cancel_fn(void *arg, bool cancelled, const char *reason);
/* Answers once the job's processes are gone, or it left the queue. by: who asks. */
void engine_cancel(struct engine *en, const char *id, const char *by,
		   engine_cancel_fn *fn, void *arg);
/* A final job is queued again, as its next attempt. ERR_NOT_FOUND, ERR_CONFLICT. */
void engine_retry(struct engine *en, const char *id, engine_submit_fn *fn, void *arg);

/* What the world sees of one job. */
struct job_view {
	struct job job;
	struct attempt attempt;	   /* the current or last one; number 0 when none yet */
	enum job_phase phase;	   /* live */
	int current_step;	   /* or -1 */
	bool live;		   /* a run exists in this daemon */
	long position;		   /* from 1, 0 when not queued */
	int64_t eta_ms;		   /* until it starts, about; -1 unknown */
	char wait_reason[256];	   /* "" when not queued */
	char sandbox[128];	   /* "" when there is none */
};
/* 1 found, 0 not, -1 error */
int engine_view(struct engine *en, const char *id, struct job_view *out, struct err *e);
/* Fill position, wait reason and live parts for a record that a list read. */
void engine_view_of(struct engine *en, const struct job *j, struct job_view *out);

struct engine_stats {
	unsigned queued, running, slots;
	bool accepting; /* jobs, and able to run them once it is not paused */
	char why_not[ENGINE_HOLD_TEXT_MAX];
	struct engine_hold hold;
};
void engine_stats(struct engine *en, struct engine_stats *out);
/* Runs, queue and runners, a line each (SIGUSR1). */
void engine_dump(struct engine *en, struct strbuf *out);
