#include "engine_priv.h"
#include "pause.h"
#include "pick.h"
#include "runs.h"

#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/mem.h"

/* What the world sees: committed records, with what the running attempt's log tells. */

static unsigned
engine_slots(const struct engine *en)
{
	unsigned slots = 0, max = (unsigned)en->d.conf->queue_max_concurrent;

	for (size_t i = 0; i < en->nrunners; i++)
		slots += en->runners[i].ops->capacity(en->runners[i].runner);
	return slots < max ? slots : max;
}

static void
view_fill(struct engine *en, struct job_view *v)
{
	struct entry *ent = entry_find(en, v->job.id);

	v->current_step = -1;
	v->eta_ms = -1;
	v->phase = PHASE_NONE;
	if (ent && ent->run && v->job.state == JOB_RUNNING) {
		run_view(ent->run, v);
	} else if (db_attempt_get(en->d.db, v->job.id, v->job.attempt, &v->attempt,
				  NULL) == 1) {
		v->phase = v->attempt.phase;
	}
	if (ent && v->job.state == JOB_QUEUED) {
		v->position = sched_position(&en->sched, &ent->item);
		pick_wait_reason(en, ent, v->wait_reason, sizeof(v->wait_reason));
		if (pick_is_moving(en, ent))
			v->eta_ms = eta_of(&en->eta, v->position, engine_slots(en));
	}
}

void
engine_view_of(struct engine *en, const struct job *j, struct job_view *out)
{
	memset(out, 0, sizeof(*out));
	out->job = *j;
	view_fill(en, out);
}

int
engine_view(struct engine *en, const char *id, struct job_view *out, struct err *e)
{
	int found;

	memset(out, 0, sizeof(*out));
	found = db_job_get(en->d.db, id, &out->job, e);
	if (found == 1)
		view_fill(en, out);
	return found;
}

void
engine_stats(struct engine *en, struct engine_stats *out)
{
	char why[160] = "";
	bool able = false;

	memset(out, 0, sizeof(*out));
	out->queued = en->sched.count;
	out->running = en->nruns;
	out->slots = engine_slots(en);
	out->hold = en->hold;
	for (size_t i = 0; i < en->nrunners; i++) {
		static const struct job_needs none = { .network = NETWORK_NONE };
		struct engine_runner *er = &en->runners[i];

		able = able || er->ops->can_run(er->runner, &none, why, sizeof(why));
	}
	if (en->stopping)
		STR_COPY(out->why_not, "the daemon is stopping");
	else if (en->hold.mode == ENGINE_DRAINING)
		pause_describe(&en->hold, out->why_not, sizeof(out->why_not));
	else if (!engine_has_space(en))
		STR_COPY(out->why_not, "the disk is nearly full");
	else if (!able)
		STR_COPY(out->why_not, *why ? why : "no runner is able to run jobs");
	out->accepting = out->why_not[0] == '\0';
	if (out->accepting)
		pause_describe(&en->hold, out->why_not, sizeof(out->why_not));
}

void
engine_dump(struct engine *en, struct strbuf *out)
{
	struct sched_set *set;
	struct run *run;
	char line[512];

	pause_describe(&en->hold, line, sizeof(line));
	if (*line)
		strbuf_addf(out, "queue: %s\n", line);
	strbuf_addf(out, "queue: %u jobs, %llu bytes; %u running\n", en->sched.count,
		    (unsigned long long)en->queued_bytes, en->nruns);
	LIST_FOREACH(set, &en->sched.sets, link)
		strbuf_addf(out, "set %s: %u ready, %u delayed\n", set->name,
			    set->tree.root ? set->tree.root->size : 0, set->delayed);
	for (size_t i = 0; i < en->nrunners; i++)
		strbuf_addf(out, "runner %s: %u of %u slots\n", en->runners[i].name,
			    en->runners[i].running,
			    en->runners[i].ops->capacity(en->runners[i].runner));
	for (run = TAILQ_FIRST(&en->runs); run; run = run_next(run)) {
		run_describe(run, line, sizeof(line));
		strbuf_addf(out, "run %s\n", line);
	}
}
