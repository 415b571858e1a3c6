#include "engine_priv.h"
#include "maintain.h"
#include "runs.h"

#include <errno.h>

#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 * Start-up: memory is rebuilt from the store, then what runs is reconciled by the
 * runners' own evidence.
 *
 *	queued   → the order, through the same path as a live submit
 *	running  → never reached "starting": queued again, uncounted
 *	           asked for a cancel before that: cancelled
 *	           else adopted; another boot means that its sandbox vanished
 *	pending  → maintain
 */

struct recovery {
	struct engine *en;
	struct id {
		char id[JOB_ID_MAX + 1];
	} *running;
	size_t nrunning;
};

static bool
on_queued(void *arg, const struct job *j)
{
	struct recovery *rec = arg;

	engine_enqueue(rec->en, entry_new(rec->en, j->id, ENTRY_QUEUED), j);
	return true;
}

static bool
on_running(void *arg, const struct job *j)
{
	struct recovery *rec = arg;

	rec->running = xreallocarray(rec->running, rec->nrunning + 1,
				     sizeof(*rec->running));
	STR_COPY(rec->running[rec->nrunning].id, j->id);
	rec->nrunning++;
	return true;
}

static bool
on_pending(void *arg, const char *id)
{
	struct recovery *rec = arg;

	maintain_add(rec->en->maintain, id);
	return true;
}

/* Change a job that has no run: queued again, or cancelled. */
static void
recover_settle(struct engine *en, struct job *j)
{
	log_info(LOG_ENGINE, "job=%s attempt=%u never started its sandbox", j->id,
		 j->attempt);
	db_begin(en->d.db, 0);
	if (j->cancel_wanted) {
		j->reason = REASON_CANCELLED;
		snprintf(j->error, sizeof(j->error), "cancelled by %s", j->cancel_by);
		engine_set_state(en, j, JOB_CANCELLED);
		db_job_set_pending(en->d.db, j->id, true);
		db_end(en->d.db, NULL, NULL);
		maintain_add(en->maintain, j->id);
		return;
	}
	j->started_at = 0;
	engine_set_state(en, j, JOB_QUEUED);
	db_end(en->d.db, entry_on_queued, entry_new(en, j->id, ENTRY_QUEUEING));
}

static void
recover_running(struct engine *en, const char *id)
{
	struct attempt *a = xcalloc(1, sizeof(*a));
	struct err e = { 0 };
	struct job j;
	int found;

	if (db_job_get(en->d.db, id, &j, &e) != 1) {
		log_error(LOG_ENGINE, "job=%s cannot be read: %s", id, e.msg);
		free(a);
		return;
	}
	found = db_attempt_get(en->d.db, id, j.attempt, a, &e);
	if (found < 0)
		log_error(LOG_ENGINE, "job=%s attempt=%u: %s", id, j.attempt, e.msg);
	if (found != 1 || a->phase < PHASE_START) {
		recover_settle(en, &j);
	} else {
		log_info(LOG_ENGINE, "job=%s attempt=%u adopted", id, j.attempt);
		run_adopt(en, entry_new(en, id, ENTRY_RUNNING), &j, a,
			  runner_by_name(en, a->runner));
	}
	free(a);
}

int
engine_recover(struct engine *en, struct err *e)
{
	struct recovery rec = { .en = en };
	struct db *db = en->d.db;
	int r;

	r = db_job_last_seq(db, &en->last_seq, e);
	if (r == 0)
		r = db_job_each_in_state(db, JOB_QUEUED, on_queued, &rec, e);
	if (r == 0)
		r = db_job_each_in_state(db, JOB_RUNNING, on_running, &rec, e);
	if (r == 0)
		r = db_job_each_pending(db, on_pending, &rec, e);
	for (size_t i = 0; r == 0 && i < rec.nrunning; i++)
		recover_running(en, rec.running[i].id);
	if (r == 0)
		log_info(LOG_ENGINE, "%u queued, %u running", en->sched.count, en->nruns);
	free(rec.running);
	return r;
}
