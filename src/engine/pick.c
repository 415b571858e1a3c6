#include "pause.h"
#include "pick.h"

#include <fnmatch.h>

#include "engine_priv.h"
#include "reload.h"
#include "runs.h"
#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/* Which queued job goes where: the best head among the sets that a runner with a free
 * slot may serve, until slots or jobs run out. */

void
set_tag_free(void *tag)
{
	struct set_tag *t = tag;

	if (!t)
		return;
	free(t->allowed);
	free(t->ok);
	free(t);
}

static bool
glob_any(const struct conf_strings *globs, const char *s)
{
	if (globs->n == 0)
		return true;
	for (size_t i = 0; i < globs->n; i++)
		if (fnmatch(globs->v[i], s, 0) == 0)
			return true;
	return false;
}

static bool
runner_allows(const struct engine_runner *er, const struct job *j)
{
	return !er->gone && glob_any(&er->conf->allow_repos, j->repo) &&
	       glob_any(&er->conf->allow_branches, j->branch);
}

void
pick_set_name(struct engine *en, const struct job *j, char *out, size_t size)
{
	int n = snprintf(out, size, "%u|%s|", en->generation, j->needs);

	for (size_t i = 0; i < en->nrunners && n > 0 && (size_t)n < size; i++)
		if (runner_allows(&en->runners[i], j))
			n += snprintf(out + n, size - (size_t)n, "%zu,", i);
}

bool
pick_is_current(const struct engine *en, const struct sched_set *set)
{
	const struct set_tag *t = set->tag;

	return t->generation == en->generation;
}

static void
tag_refresh(struct engine *en, struct set_tag *t)
{
	char why[160];

	for (size_t i = 0; i < en->nrunners; i++) {
		struct engine_runner *er = &en->runners[i];

		if (er->gone)
			continue;
		STR_COPY(why, "its rules do not allow this repository or branch");
		t->ok[i] = t->allowed[i] &&
			   er->ops->can_run(er->runner, &t->needs, why, sizeof(why));
		if (!t->ok[i] && en->nrunners == 1)
			STR_COPY(t->why, why);
		else if (!t->ok[i])
			snprintf(t->why, sizeof(t->why), "runner %s: %s", er->name, why);
	}
}

struct set_tag *
pick_tag_new(struct engine *en, const struct job *j)
{
	struct set_tag *t = xcalloc(1, sizeof(*t));

	t->generation = en->generation;
	t->allowed = xcalloc(en->nrunners + 1, sizeof(*t->allowed));
	t->ok = xcalloc(en->nrunners + 1, sizeof(*t->ok));
	STR_COPY(t->why, "no runner is configured");
	t->is_readable = job_needs_parse(&t->needs, j->needs);
	if (!t->is_readable) {
		STR_COPY(t->why, "its requirements cannot be read");
		return t;
	}
	for (size_t i = 0; i < en->nrunners; i++)
		t->allowed[i] = runner_allows(&en->runners[i], j);
	tag_refresh(en, t);
	return t;
}

void
pick_refresh(struct engine *en)
{
	struct sched_set *set;

	LIST_FOREACH(set, &en->sched.sets, link) {
		struct set_tag *t = set->tag;

		/* Older ones know fewer runners, and are on their way out. */
		if (t->is_readable && pick_is_current(en, set))
			tag_refresh(en, t);
	}
	engine_kick(en);
}

/* A runner with a free slot for this set: the least loaded. -1 when there is none. */
static int
runner_for_set(struct engine *en, const struct set_tag *t)
{
	unsigned best_free = 0;
	int best = -1;

	for (size_t i = 0; i < en->nrunners; i++) {
		struct engine_runner *er = &en->runners[i];
		unsigned cap = er->ops->capacity(er->runner);

		if (!t->ok[i] || er->gone || er->running >= cap)
			continue;
		if (cap - er->running > best_free) {
			best_free = cap - er->running;
			best = (int)i;
		}
	}
	return best;
}

static struct sched_item *
best_item(struct engine *en, int *runner)
{
	struct sched_item *best = NULL, *head;
	struct sched_set *set;
	int r;

	LIST_FOREACH(set, &en->sched.sets, link) {
		head = pick_is_current(en, set) ? sched_head(set) : NULL;
		if (!head || (best && (head->key > best->key ||
				       (head->key == best->key && head->seq > best->seq))))
			continue;
		r = runner_for_set(en, set->tag);
		if (r < 0)
			continue;
		best = head;
		*runner = r;
	}
	return best;
}

static void
entry_start(struct engine *en, struct entry *ent, size_t runner)
{
	struct err e = { 0 };
	struct job j;

	sched_remove(&en->sched, &ent->item);
	en->queued_bytes -= ent->spec_bytes;
	ent->spec_bytes = 0;
	if (db_job_get(en->d.db, ent->id, &j, &e) != 1) {
		log_error(LOG_SCHED, "job=%s cannot be read, left alone: %s", ent->id,
			  e.msg);
		entry_free(ent);
		return;
	}
	run_begin(en, ent, &j, runner);
}

void
engine_pick(struct engine *en)
{
	int64_t now = clock_wall_ms(), due = sched_release(&en->sched, now);
	struct sched_item *it;
	int runner = -1;

	if (due > 0)
		loop_timer_set(en->due, due - now);
	if (!reload_slice(en))
		loop_timer_set(en->due, 0);
	if (en->stopping || en->hold.mode != ENGINE_OPEN)
		return;
	while (en->nruns < (unsigned)en->d.conf->queue_max_concurrent &&
	       (it = best_item(en, &runner)))
		entry_start(en, entry_of(it), (size_t)runner);
}

static void
wait_reason_queued(struct engine *en, const struct entry *ent, char *out, size_t size)
{
	const struct set_tag *t = ent->item.set->tag;
	long position = sched_position(&en->sched, &ent->item);
	bool servable = false;

	if (!pick_is_current(en, ent->item.set)) {
		str_copy(out, size, "the configuration has changed");
		return;
	}
	for (size_t i = 0; i < en->nrunners; i++)
		servable = servable || t->ok[i];
	if (!servable)
		str_copy(out, size, t->why);
	else if (en->hold.mode != ENGINE_OPEN)
		pause_describe(&en->hold, out, size);
	else if (position > 1)
		snprintf(out, size, "%ld job%s ahead", position - 1,
			 position == 2 ? "" : "s");
	else if (en->nruns >= (unsigned)en->d.conf->queue_max_concurrent)
		snprintf(out, size, "all %u slots are busy", en->nruns);
	else if (runner_for_set(en, t) < 0)
		str_copy(out, size, "all slots of its runners are busy");
	else
		str_copy(out, size, "starting");
}

bool
pick_is_moving(const struct engine *en, const struct entry *ent)
{
	const struct set_tag *t;

	if (ent->state != ENTRY_QUEUED || ent->item.delayed || en->stopping ||
	    en->hold.mode != ENGINE_OPEN)
		return false;
	t = ent->item.set->tag;
	for (size_t i = 0; i < en->nrunners; i++)
		if (t->ok[i])
			return true;
	return false;
}

void
pick_wait_reason(struct engine *en, const struct entry *ent, char *out, size_t size)
{
	int64_t left;

	out[0] = '\0';
	if (ent->state != ENTRY_QUEUED)
		return;
	if (ent->item.delayed) {
		left = ent->item.due - clock_wall_ms();
		snprintf(out, size, "next attempt in %lld s",
			 (long long)(left > 0 ? (left + 999) / 1000 : 0));
	} else if (en->stopping) {
		str_copy(out, size, "the daemon is stopping");
	} else {
		wait_reason_queued(en, ent, out, size);
	}
}
