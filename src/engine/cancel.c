#include "engine_priv.h"
#include "maintain.h"
#include "runs.h"

#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	queued      → out of the order → unit → on_cancelled_queued → answer
 *	running     → run_cancel: intent → unit → signal → ... → engine_run_ended → answer
 *	submitting  → waits for its insertion, then as above
 *	final       → "already ..."
 */

struct cancel_refusal {
	engine_cancel_fn *fn;
	void *arg;
	char reason[128];
};

static void
on_cancel_refused(void *arg)
{
	struct cancel_refusal *r = arg;

	r->fn(r->arg, false, r->reason);
	free(r);
}

void
entry_answer_cancels(struct entry *ent, bool cancelled, const char *reason)
{
	struct cancel_waiter *w;

	while ((w = SLIST_FIRST(&ent->cancels))) {
		SLIST_REMOVE_HEAD(&ent->cancels, link);
		w->fn(w->arg, cancelled, reason);
		free(w);
	}
}

static void
on_cancelled_queued(void *arg, const struct err *err)
{
	struct entry *ent = arg;
	struct engine *en = ent->en;

	(void)err; /* a plain unit does not fail */
	entry_answer_cancels(ent, true, "");
	engine_publish(en, ent->id, 0, BUS_JOB);
	maintain_add(en->maintain, ent->id);
	entry_free(ent);
	engine_kick(en);
}

static int
cancel_queued(struct engine *en, struct entry *ent, const char *by, struct err *e)
{
	struct job j;

	if (db_job_get(en->d.db, ent->id, &j, e) != 1)
		return -1;
	sched_remove(&en->sched, &ent->item);
	en->queued_bytes -= ent->spec_bytes;
	ent->state = ENTRY_LEAVING;
	j.cancel_wanted = true;
	STR_COPY(j.cancel_by, by);
	j.reason = REASON_CANCELLED;
	snprintf(j.error, sizeof(j.error), "cancelled by %s while queued", j.cancel_by);
	db_begin(en->d.db, 0);
	engine_set_state(en, &j, JOB_CANCELLED);
	if (j.attempt > 1)
		db_job_set_pending(en->d.db, j.id, true);
	db_end(en->d.db, on_cancelled_queued, ent);
	return 0;
}

static void
cancel_refuse(struct engine *en, const char *id, engine_cancel_fn *fn, void *arg)
{
	struct cancel_refusal *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };
	struct job j;
	int found = db_job_get(en->d.db, id, &j, &e);

	r->fn = fn;
	r->arg = arg;
	if (found == 1)
		snprintf(r->reason, sizeof(r->reason), "already %s",
			 job_state_name(j.state));
	else
		STR_COPY(r->reason, found == 0 ? "no such job" : "its record is damaged");
	loop_defer(en->d.loop, on_cancel_refused, r);
}

/* A job whose insertion is under way is cancelled once it is in the queue. */
struct late_cancel {
	struct engine *en;
	engine_cancel_fn *fn;
	void *arg;
	char id[JOB_ID_MAX + 1], by[64];
};

static void
on_late_cancel(void *arg, const struct err *err, const struct engine_submitted *s)
{
	struct late_cancel *l = arg;

	if (err)
		cancel_refuse(l->en, l->id, l->fn, l->arg);
	else
		engine_cancel(l->en, l->id, l->by, l->fn, l->arg);
	free(l);
}

static void
cancel_late(struct engine *en, struct entry *ent, const char *by, engine_cancel_fn *fn,
	    void *arg)
{
	struct late_cancel *l = xcalloc(1, sizeof(*l));

	l->en = en;
	l->fn = fn;
	l->arg = arg;
	STR_COPY(l->id, ent->id);
	STR_COPY(l->by, by);
	entry_add_waiter(ent, on_late_cancel, l, true);
}

void
engine_cancel(struct engine *en, const char *id, const char *by, engine_cancel_fn *fn,
	      void *arg)
{
	struct entry *ent = entry_find(en, id);
	struct cancel_waiter *w;
	struct err e = { 0 };

	if (!ent) {
		cancel_refuse(en, id, fn, arg);
		return;
	}
	if (ent->state == ENTRY_QUEUEING) {
		cancel_late(en, ent, by, fn, arg);
		return;
	}
	if (ent->state == ENTRY_QUEUED && cancel_queued(en, ent, by, &e)) {
		log_error(LOG_ENGINE, "job=%s cannot be cancelled: %s", id, e.msg);
		cancel_refuse(en, id, fn, arg);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->fn = fn;
	w->arg = arg;
	SLIST_INSERT_HEAD(&ent->cancels, w, link);
	if (ent->state == ENTRY_RUNNING)
		run_cancel(ent->run, by);
}
