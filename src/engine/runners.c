#include "engine_priv.h"

#include "pick.h"
#include "slipway/db_job.h"
#include "slipway/mem.h"

/* The configured runners. Indexes stay valid for the life of the engine: a removed
 * runner only drains. */

static void
on_changed(void *arg)
{
	pick_refresh(arg);
}

struct runner_env
runner_env_of(struct engine *en)
{
	const struct conf *c = en->d.conf;

	return (struct runner_env){
		.loop = en->d.loop, .pool = en->d.pool, .state_dir = c->state_dir,
		.libexec_dir = c->libexec_dir, .instance = db_instance(en->d.db),
		.launch_socket = c->launch_socket, .on_changed = on_changed,
		.changed_arg = en,
	};
}

void
runner_append(struct engine *en, const struct conf_runner *rc,
	      const struct runner_ops *ops, struct runner *r)
{
	struct engine_runner er = { .conf = rc, .ops = ops, .runner = r };

	if (ops->begin) {
		const struct runner_env env = runner_env_of(en);

		ops->begin(r, &env);
	}
	STR_COPY(er.name, rc->name);
	en->runners = xreallocarray(en->runners, en->nrunners + 1, sizeof(er));
	en->runners[en->nrunners++] = er;
}

int
runners_open(struct engine *en, struct err *e)
{
	const struct conf *c = en->d.conf;
	const struct runner_env env = runner_env_of(en);

	for (size_t i = 0; i < c->nrunners; i++) {
		const struct conf_runner *rc = &c->runners[i];
		const struct runner_ops *ops = runner_ops_find(rc->type);
		struct runner *r;

		if (!ops)
			return err_set(e, ERR_INVALID, "runner %s: unknown type %s",
				       rc->name, rc->type);
		r = ops->open(rc, &env, e);
		if (!r)
			return err_wrap(e, "runner %s", rc->name);
		runner_append(en, rc, ops, r);
	}
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
