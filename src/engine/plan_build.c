#include "plan_build.h"

#include "slipway/mem.h"

void
plan_conf_init(struct plan_conf *pc, const struct conf *conf)
{
	pc->secrets_dir = xstrdup(conf->secrets_dir ? conf->secrets_dir : "");
	pc->public_url = xstrdup(conf->public_url ? conf->public_url : "");
	pc->step_timeout_ms = conf->defaults_step_timeout_ms;
	pc->job_timeout_ms = conf->defaults_job_timeout_ms;
	pc->grace_ms = conf->limits_grace_ms;
	pc->log_max = conf->log_max_size;
}

void
plan_conf_clear(struct plan_conf *pc)
{
	free(pc->secrets_dir);
	free(pc->public_url);
}

static void
env_add(struct plan_env **env, size_t *n, const char *name, const char *value)
{
	*env = xreallocarray(*env, *n + 1, sizeof(**env));
	(*env)[*n] = (struct plan_env){ .name = xstrdup(name), .value = xstrdup(value) };
	(*n)++;
}

static void
mask_add(struct plan *p, const struct secret *s)
{
	p->masks = xreallocarray(p->masks, p->nmasks + 1, sizeof(*p->masks));
	p->masks[p->nmasks++] = (struct plan_mask){
		.data = xmemdup(s->data, s->len), .len = s->len
	};
}

static int
secrets_add(struct plan *p, struct plan_env **env, size_t *nenv,
	    const struct secret_ref *refs, size_t n, const char *dir, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_secret struct secret s = { 0 };

		if (!*dir)
			return err_set(e, ERR_NOT_FOUND,
				       "secret \"%s\": secrets.dir is not configured",
				       refs[i].name);
		if (secret_load(&s, dir, refs[i].name, e))
			return err_wrap(e, "secret \"%s\"", refs[i].name);
		if (memchr(s.data, 0, s.len))
			return err_set(e, ERR_NOT_FOUND,
				       "secret \"%s\" holds a NUL byte", refs[i].name);
		if (p->nmasks == PLAN_MASKS_MAX)
			return err_set(e, ERR_INVALID, "more than %d secrets in a job",
				       PLAN_MASKS_MAX);
		env_add(env, nenv, refs[i].env, s.data);
		(*env)[*nenv - 1].file = refs[i].file;
		mask_add(p, &s);
	}
	return 0;
}

static void
env_add_daemon(struct plan *p, const struct plan_conf *pc, const struct jobspec *spec,
	       const char *job, unsigned attempt)
{
	cleanup_free char *url = xasprintf("%s/dashboard/jobs/%s", pc->public_url, job);
	cleanup_free char *number = xasprintf("%u", attempt);
	const struct {
		const char *name, *value;
	} vars[] = {
		{ "CI", "true" },
		{ "SLIPWAY", "true" },
		{ "SLIPWAY_JOB_ID", job },
		{ "SLIPWAY_ATTEMPT", number },
		{ "SLIPWAY_REPO", spec->repo },
		{ "SLIPWAY_COMMIT", "" },
		{ "SLIPWAY_BRANCH", spec->branch ? spec->branch : "" },
		{ "SLIPWAY_JOB_URL", *pc->public_url ? url : "" },
		{ "HOME", JOB_HOME },
		{ "LANG", "C.UTF-8" },
	};

	for (size_t i = 0; i < ARRAY_LEN(vars); i++)
		env_add(&p->env, &p->nenv, vars[i].name, vars[i].value);
}

static int
step_add(struct plan *p, const struct spec_step *s, const struct plan_conf *pc,
	 struct err *e)
{
	struct plan_step *ps = &p->steps[p->nsteps++];

	ps->name = xstrdup(s->name);
	ps->script = xstrdup(s->run);
	ps->shell = xstrdup(s->shell);
	ps->cwd = xstrdup(s->cwd);
	ps->timeout_ms = s->timeout_s < 0 ? (uint64_t)pc->step_timeout_ms
					  : (uint64_t)s->timeout_s * 1000;
	ps->flags = (s->continue_on_error ? PLAN_STEP_CONTINUE : 0) |
		    (s->always ? PLAN_STEP_ALWAYS : 0);
	for (size_t i = 0; i < s->nenv; i++)
		env_add(&ps->env, &ps->nenv, s->env[i].name, s->env[i].value);
	return secrets_add(p, &ps->env, &ps->nenv, s->secrets, s->nsecrets,
			   pc->secrets_dir, e);
}

static int
plan_fill(struct plan *p, const struct plan_conf *pc, const struct jobspec *spec,
	  struct err *e)
{
	for (size_t i = 0; i < spec->nenv; i++)
		env_add(&p->env, &p->nenv, spec->env[i].name, spec->env[i].value);
	if (secrets_add(p, &p->env, &p->nenv, spec->secrets, spec->nsecrets,
			pc->secrets_dir, e))
		return -1;
	p->steps = xcalloc(spec->nsteps, sizeof(*p->steps));
	for (size_t i = 0; i < spec->nsteps; i++)
		if (step_add(p, &spec->steps[i], pc, e))
			return -1;
	return 0;
}

static uint64_t
job_timeout_ms(const struct plan_conf *pc, const struct jobspec *spec)
{
	return spec->timeout_s > 0 ? (uint64_t)spec->timeout_s * 1000
				   : (uint64_t)pc->job_timeout_ms;
}

int
plan_build(const struct plan_conf *pc, const struct jobspec *spec, const char *job,
	   unsigned attempt, struct plan *out, struct err *e)
{
	struct plan p = {
		.job_timeout_ms = job_timeout_ms(pc, spec),
		.grace_ms = (uint64_t)pc->grace_ms,
		.log_max = (uint64_t)pc->log_max,
		.memory_max = spec->memory,
		.pids_max = spec->pids,
		.clear_env = true,
	};

	p.secrets_dir = xstrdup(JOB_SECRETS);
	env_add_daemon(&p, pc, spec, job, attempt);
	if (plan_fill(&p, pc, spec, e)) {
		plan_clear(&p);
		return -1;
	}
	*out = p;
	return 0;
}

void
plan_set_env(struct plan *p, const char *name, const char *value)
{
	for (size_t i = 0; i < p->nenv; i++) {
		if (strcmp(p->env[i].name, name) != 0)
			continue;
		free(p->env[i].value);
		p->env[i].value = xstrdup(value);
		return;
	}
}

/* Always steps may still run after the job's own time is over. */
#define ALWAYS_STEP_MS 300000
#define SLACK_MS 30000

int64_t
plan_backstop_ms(const struct plan_conf *pc, const struct jobspec *spec)
{
	int64_t ms = (int64_t)job_timeout_ms(pc, spec) + 2 * pc->grace_ms + SLACK_MS;

	for (size_t i = 0; i < spec->nsteps; i++) {
		const struct spec_step *s = &spec->steps[i];

		if (!s->always)
			continue;
		ms += pc->grace_ms;
		if (s->timeout_s < 0)
			ms += pc->step_timeout_ms;
		else
			ms += s->timeout_s ? s->timeout_s * 1000 : ALWAYS_STEP_MS;
	}
	return ms;
}
