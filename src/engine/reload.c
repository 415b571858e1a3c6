#include "reload.h"

#include "engine_priv.h"
#include "pick.h"
#include "retention.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	engine_reload → runners that are gone drain
 *	  → on_open_work (pool: every runner is opened anew, and probes the machine)
 *	  → on_open_done: handles change places, new runners are appended
 *	  → reload_slice ...: queued jobs go from sets of the old generation to new
 *	    ones, a bounded number per turn. Nothing is started from a set of an old
 *	    one: what it knows of runners and their rules does not hold any more
 */

#define SLICE 256

struct opening {
	const struct conf_runner *conf;
	const struct runner_ops *ops;
	struct runner *runner; /* NULL: err says why */
	struct err err;
};

struct reload {
	struct engine *en;
	struct runner_env env;
	struct opening *v;
	size_t n;
	void (*done)(void *arg);
	void *arg;
};

static const struct conf_runner *
conf_runner_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->nrunners; i++)
		if (strcmp(c->runners[i].name, name) == 0)
			return &c->runners[i];
	return NULL;
}

static struct engine_runner *
runner_find(struct engine *en, const char *name)
{
	for (size_t i = 0; i < en->nrunners; i++)
		if (strcmp(en->runners[i].name, name) == 0)
			return &en->runners[i];
	return NULL;
}

/* What holds before any runner is opened. */
static void
runner_reconfigure(struct engine_runner *er, const struct conf *conf)
{
	er->conf = conf_runner_find(conf, er->name);
	er->gone = !er->conf || strcmp(er->conf->type, er->ops->type) != 0;
}

static void
on_open_work(void *arg)
{
	struct reload *r = arg;

	for (size_t i = 0; i < r->n; i++) {
		struct opening *o = &r->v[i];

		if (o->ops)
			o->runner = o->ops->open(o->conf, &r->env, &o->err);
	}
}

/* Sandboxes that run keep what they need of the handle that they were started with. */
static void
runner_take(struct engine *en, struct opening *o, const struct runner_env *env)
{
	struct engine_runner *er = runner_find(en, o->conf->name);

	if (!o->runner) {
		log_error(LOG_ENGINE, "runner %s: %s%s", o->conf->name, o->err.msg,
			  er ? "; it goes on as before" : "");
	} else if (!er) {
		runner_append(en, o->conf, o->ops, STEAL(o->runner));
	} else {
		er->ops->close(er->runner);
		er->runner = STEAL(o->runner);
		if (er->ops->begin)
			er->ops->begin(er->runner, env);
	}
}

static void
on_open_done(void *arg)
{
	struct reload *r = arg;
	struct engine *en = r->en;

	for (size_t i = 0; i < r->n; i++)
		runner_take(en, &r->v[i], &r->env);
	en->generation++;
	engine_kick(en);
	r->done(r->arg);
	free(r->v);
	free(r);
}

void
engine_reload(struct engine *en, const struct conf *conf, void (*done)(void *arg),
	      void *arg)
{
	struct reload *r = xcalloc(1, sizeof(*r));

	en->d.conf = conf;
	for (size_t i = 0; i < en->nrunners; i++)
		runner_reconfigure(&en->runners[i], conf);
	r->en = en;
	r->done = done;
	r->arg = arg;
	r->env = runner_env_of(en);
	r->v = xcalloc(conf->nrunners + 1, sizeof(*r->v));
	for (size_t i = 0; i < conf->nrunners; i++) {
		const struct engine_runner *er = runner_find(en,
							     conf->runners[i].name);

		/* Of another type than the one that drains: only a restart helps. */
		if (er && er->gone)
			continue;
		r->v[r->n++] = (struct opening){
			.conf = &conf->runners[i],
			.ops = runner_ops_find(conf->runners[i].type),
		};
	}
	if (pool_submit(en->d.pool, POOL_TRANSFER, on_open_work, on_open_done, r,
			NULL)) {
		on_open_work(r);
		loop_defer(en->d.loop, on_open_done, r);
	}
	retention_kick(en->retention);
	engine_kick(en);
}

static struct sched_set *
find_old_set(struct engine *en)
{
	struct sched_set *set;

	LIST_FOREACH(set, &en->sched.sets, link)
		if (!pick_is_current(en, set) && sched_head(set))
			return set;
	return NULL;
}

static void
entry_move(struct engine *en, struct entry *ent)
{
	struct err e = { 0 };
	struct job j;

	sched_remove(&en->sched, &ent->item);
	if (db_job_get(en->d.db, ent->id, &j, &e) == 1)
		entry_put_in_order(ent, &j);
	else
		log_error(LOG_ENGINE, "job=%s cannot be read: %s", ent->id, e.msg);
}

/* Jobs with a delay are moved once it is over. */
bool
reload_slice(struct engine *en)
{
	struct sched_set *set;

	for (unsigned n = 0; n < SLICE; n++) {
		set = find_old_set(en);
		if (!set)
			return true;
		entry_move(en, entry_of(sched_head(set)));
	}
	return false;
}
