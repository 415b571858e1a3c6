#include "engine_priv.h"
#include "retention.h"

#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/* The configured runners, and what a new configuration changes about them. Indexes stay
 * valid for the life of the engine: a removed runner only drains. */

static void
on_changed(void *arg)
{
	pick_refresh(arg);
}

static struct runner *
runner_open(struct engine *en, const struct conf_runner *rc, const struct runner_ops *ops,
	    struct err *e)
{
	const struct conf *c = en->d.conf;
	const struct runner_env env = {
		.loop = en->d.loop, .pool = en->d.pool, .state_dir = c->state_dir,
		.libexec_dir = c->libexec_dir, .instance = db_instance(en->d.db),
		.launch_socket = c->launch_socket, .on_changed = on_changed,
		.changed_arg = en,
	};
	struct runner *r = ops->open(rc, &env, e);

	if (!r)
		err_wrap(e, "runner %s", rc->name);
	return r;
}

static int
runner_append(struct engine *en, const struct conf_runner *rc, struct err *e)
{
	struct engine_runner er = { .conf = rc, .ops = runner_ops_find(rc->type) };

	if (!er.ops)
		return err_set(e, ERR_INVALID, "runner %s: unknown type %s", rc->name,
			       rc->type);
	STR_COPY(er.name, rc->name);
	er.runner = runner_open(en, rc, er.ops, e);
	if (!er.runner)
		return -1;
	en->runners = xreallocarray(en->runners, en->nrunners + 1, sizeof(er));
	en->runners[en->nrunners++] = er;
	return 0;
}

int
runners_open(struct engine *en, struct err *e)
{
	for (size_t i = 0; i < en->d.conf->nrunners; i++)
		if (runner_append(en, &en->d.conf->runners[i], e))
			return -1;
	return 0;
}

void
runners_close(struct engine *en)
{
	for (size_t i = 0; i < en->nrunners; i++)
		en->runners[i].ops->close(en->runners[i].runner);
	free(en->runners);
}

size_t
runner_by_name(const struct engine *en, const char *name)
{
	for (size_t i = 0; i < en->nrunners; i++)
		if (strcmp(en->runners[i].name, name) == 0)
			return i;
	return 0;
}

static const struct conf_runner *
conf_runner_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->nrunners; i++)
		if (strcmp(c->runners[i].name, name) == 0)
			return &c->runners[i];
	return NULL;
}

/* Sandboxes that run keep what they need of the handle that they were started with. */
static void
runner_reload(struct engine *en, struct engine_runner *er)
{
	struct err e = { 0 };
	struct runner *r;

	er->conf = conf_runner_find(en->d.conf, er->name);
	er->gone = !er->conf || strcmp(er->conf->type, er->ops->type) != 0;
	if (er->gone)
		return;
	r = runner_open(en, er->conf, er->ops, &e);
	if (!r) {
		log_error(LOG_ENGINE, "%s; it goes on as before", e.msg);
		return;
	}
	er->ops->close(er->runner);
	er->runner = r;
}

/* Sets name the runners that allow a job, so all queued jobs are sorted again. */
static void
queue_rebuild(struct engine *en)
{
	struct entry *ent, *next;
	struct err e = { 0 };
	struct job j;

	HASH_ITER(hh, en->entries, ent, next) {
		if (ent->state != ENTRY_QUEUED)
			continue;
		sched_remove(&en->sched, &ent->item);
		if (db_job_get(en->d.db, ent->id, &j, &e) == 1)
			engine_enqueue(en, ent, &j);
		else
			log_error(LOG_ENGINE, "job=%s cannot be read: %s", ent->id, e.msg);
	}
}

void
engine_reload(struct engine *en, const struct conf *conf)
{
	size_t had = en->nrunners;
	struct err e = { 0 };

	en->d.conf = conf;
	for (size_t i = 0; i < had; i++)
		runner_reload(en, &en->runners[i]);
	for (size_t i = 0; i < conf->nrunners; i++) {
		bool known = false;

		for (size_t k = 0; k < had; k++)
			known = known || strcmp(en->runners[k].name,
						conf->runners[i].name) == 0;
		if (!known && runner_append(en, &conf->runners[i], &e))
			log_error(LOG_ENGINE, "%s", e.msg);
	}
	queue_rebuild(en);
	retention_kick(en->retention);
	engine_kick(en);
}
