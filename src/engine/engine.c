#include "engine_priv.h"
#include "maintain.h"
#include "pause.h"
#include "pick.h"
#include "retention.h"
#include "runs.h"

#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	engine_new → runners, spools, recovery → kick
 *	submit, retry [commit] → engine_enqueue → kick → pick → run_begin
 *	run ... → engine_run_ended → enqueue again, or forget → kick
 */

struct entry *
entry_find(struct engine *en, const char *id)
{
	struct entry *ent;

	HASH_FIND_STR(en->entries, id, ent);
	return ent;
}

struct entry *
entry_new(struct engine *en, const char *id, enum entry_state state)
{
	size_t len = strlen(id) + 1;
	struct entry *ent = xcalloc(1, sizeof(*ent) + len);

	ent->en = en;
	ent->state = state;
	if (state == ENTRY_QUEUEING)
		en->nqueueing++;
	SLIST_INIT(&ent->waiters);
	SLIST_INIT(&ent->cancels);
	memcpy(ent->id, id, len);
	HASH_ADD_STR(en->entries, id, ent);
	return ent;
}

void
entry_free(struct entry *ent)
{
	sched_remove(&ent->en->sched, &ent->item);
	HASH_DEL(ent->en->entries, ent);
	free(ent->pending_hash);
	free(ent);
}

void
engine_publish(struct engine *en, const char *id, unsigned attempt, enum bus_what what)
{
	const struct bus_event ev = { .what = what, .job = id, .attempt = attempt };

	bus_publish(en->d.bus, &ev);
}

void
engine_set_state(struct engine *en, struct job *j, enum job_state to)
{
	enum job_state from = j->state;
	int64_t now = clock_wall_ms();

	if (!job_move_is_legal(from, to))
		log_fatal(LOG_ENGINE, "job=%s illegal move %s to %s", j->id,
			  job_state_name(from), job_state_name(to));
	j->state = to;
	if (to == JOB_QUEUED)
		j->queued_at = now;
	else if (job_state_is_final(to))
		j->finished_at = now;
	db_job_update(en->d.db, j, from);
	log_info(LOG_ENGINE, "job=%s attempt=%u %s -> %s%s%s", j->id, j->attempt,
		 job_state_name(from), job_state_name(to), j->reason ? " reason=" : "",
		 job_reason_name(j->reason));
}

static void
on_kick(void *arg)
{
	struct engine *en = arg;

	en->kicked = false;
	if (!en->closed)
		engine_pick(en);
}

void
engine_kick(struct engine *en)
{
	if (en->kicked)
		return;
	en->kicked = true;
	loop_defer(en->d.loop, on_kick, en);
}

static void
on_due(void *arg)
{
	engine_kick(arg);
}

void
entry_put_in_order(struct entry *ent, const struct job *j)
{
	struct engine *en = ent->en;
	int64_t boost = en->d.conf->queue_boost_ms;
	struct sched_set *set;
	char name[1024];
	bool is_new;

	pick_set_name(en, j, name, sizeof(name));
	set = sched_set_get(&en->sched, name, &is_new);
	if (is_new)
		set->tag = pick_tag_new(en, j);
	ent->state = ENTRY_QUEUED;
	sched_add(&en->sched, set, &ent->item, j->queued_at - j->priority * boost,
		  j->seq, j->not_before);
}

void
engine_enqueue(struct engine *en, struct entry *ent, const struct job *j)
{
	entry_put_in_order(ent, j);
	engine_kick(en);
}

/* Runs call this when their final state, or their requeueing, is committed. */
void
engine_run_ended(struct engine *en, struct entry *ent, const struct job *j)
{
	ent->run = NULL;
	/* Who knows what it left of the disk. */
	en->space_checked = 0;
	if (j->state == JOB_QUEUED) {
		engine_enqueue(en, ent, j);
	} else {
		eta_note(&en->eta, j);
		entry_answer_cancels(ent, j->state == JOB_CANCELLED,
				     j->state == JOB_CANCELLED ? ""
							       : "already finished");
		entry_free(ent);
	}
	engine_publish(en, j->id, j->attempt, BUS_JOB);
	engine_kick(en);
	if (en->nruns == 0 && en->idle_fn)
		loop_defer(en->d.loop, en->idle_fn, en->idle_arg);
}

/* Life of the engine itself. */

struct engine *
engine_new(const struct engine_deps *d, struct err *e)
{
	struct engine *en = xcalloc(1, sizeof(*en));

	en->d = *d;
	TAILQ_INIT(&en->runs);
	sched_init(&en->sched, set_tag_free);
	en->due = loop_timer_new(d->loop, on_due, en);
	en->spools = spools_new(d->loop, e);
	if (!en->spools || runners_open(en, e))
		goto fail;
	en->maintain = maintain_new(en, e);
	if (!en->maintain || pause_load(en, e) || engine_recover(en, e))
		goto fail;
	eta_seed(&en->eta, en->d.db);
	en->retention = retention_new(en);
	engine_kick(en);
	return en;
fail:
	engine_free(en);
	return NULL;
}

void
engine_detach(struct engine *en)
{
	struct run *run, *next;

	en->stopping = true;
	for (run = TAILQ_FIRST(&en->runs); run; run = next) {
		next = run_next(run);
		run_detach(run);
	}
}

void
engine_free(struct engine *en)
{
	struct entry *ent, *next;

	if (!en)
		return;
	engine_detach(en);
	retention_free(en->retention);
	maintain_free(en->maintain);
	HASH_ITER(hh, en->entries, ent, next)
		entry_free(ent);
	sched_clear(&en->sched);
	runners_close(en);
	loop_timer_free(en->due);
	spools_free(en->spools);
	en->closed = true;
	/* A kick may still be deferred. */
	loop_defer(en->d.loop, free, en);
}

void
engine_stop_starting(struct engine *en)
{
	en->stopping = true;
}

static void
on_cancel_all_answer(void *arg, bool cancelled, const char *reason)
{
}

void
engine_cancel_all(struct engine *en, void (*done)(void *), void *arg)
{
	struct entry *ent, *next;

	en->stopping = true;
	en->idle_fn = done;
	en->idle_arg = arg;
	HASH_ITER(hh, en->entries, ent, next)
		if (ent->state == ENTRY_RUNNING)
			engine_cancel(en, ent->id, "shutdown", on_cancel_all_answer,
				      NULL);
	if (en->nruns == 0)
		loop_defer(en->d.loop, done, arg);
}
