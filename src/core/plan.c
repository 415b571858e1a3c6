#include "slipway/plan.h"

#include <stdlib.h>
#include <string.h>

#include "slipway/wire.h"

#define NAME_MAX_LEN 1024
#define VALUE_MAX_LEN (1u << 20)
#define PATH_MAX_LEN 4096
#define SCRIPT_MAX_LEN (2u << 20)
#define MASK_MAX_LEN 8192
#define STEP_FLAGS (PLAN_STEP_CONTINUE | PLAN_STEP_ALWAYS)

/* The least bytes an item takes: counts are held against what is left to read. */
#define ENV_MIN_LEN 9
#define MASK_MIN_LEN 4
#define STEP_MIN_LEN 32

static void
plan_encode_env(struct wire_w *w, const struct plan_env *env, size_t n)
{
	wire_w_u32(w, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		wire_w_str(w, env[i].name);
		wire_w_str(w, env[i].value);
		wire_w_u8(w, env[i].file);
	}
}

static void
plan_encode_step(struct wire_w *w, const struct plan_step *s)
{
	wire_w_str(w, s->name);
	wire_w_str(w, s->script);
	wire_w_str(w, s->shell);
	wire_w_str(w, s->cwd);
	plan_encode_env(w, s->env, s->nenv);
	wire_w_u64(w, s->timeout_ms);
	wire_w_u32(w, s->flags);
}

static void
plan_wipe(void *data, size_t len)
{
	/* No explicit_bzero in every libc; the barrier keeps the stores. */
	if (len)
		memset(data, 0, len);
	__asm__ volatile("" : : "r"(data) : "memory");
}

bool
plan_encode(const struct plan *p, uint8_t **out, size_t *len)
{
	struct wire_w w = { 0 };

	wire_w_u32(&w, PLAN_MAGIC);
	wire_w_u16(&w, PLAN_VERSION);
	wire_w_u64(&w, p->job_timeout_ms);
	wire_w_u64(&w, p->grace_ms);
	wire_w_u64(&w, p->log_max);
	wire_w_u64(&w, p->memory_max);
	wire_w_u32(&w, p->pids_max);
	wire_w_u8(&w, p->clear_env);
	wire_w_str(&w, p->secrets_dir);
	plan_encode_env(&w, p->env, p->nenv);
	wire_w_u32(&w, (uint32_t)p->nmasks);
	for (size_t i = 0; i < p->nmasks; i++)
		wire_w_bytes(&w, p->masks[i].data, p->masks[i].len);
	wire_w_u32(&w, (uint32_t)p->nsteps);
	for (size_t i = 0; i < p->nsteps; i++)
		plan_encode_step(&w, &p->steps[i]);
	if (w.failed || w.len > PLAN_MAX) {
		plan_wipe(w.data, w.len);
		wire_w_free(&w);
		return false;
	}
	*out = w.data;
	*len = w.len;
	return true;
}

struct plan_reader {
	struct wire_r r;
	const char *why; /* the first thing that was wrong */
};

static bool
plan_good(struct plan_reader *pr, bool good, const char *why)
{
	if (pr->why)
		return false;
	if (pr->r.bad || !good) {
		pr->why = why;
		return false;
	}
	return true;
}

static bool
plan_name_ok(const char *s)
{
	if (!*s)
		return false;
	for (const char *p = s; *p; p++) {
		bool alpha = (*p >= 'A' && *p <= 'Z') ||
			     (*p >= 'a' && *p <= 'z') || *p == '_';

		if (!alpha && (p == s || *p < '0' || *p > '9'))
			return false;
	}
	return true;
}

static bool
plan_decode_env(struct plan_reader *pr, struct plan_env **env, size_t *nenv)
{
	uint32_t n = wire_r_count(&pr->r, PLAN_ENV_MAX, ENV_MIN_LEN);

	if (!plan_good(pr, true, "environment: bad count"))
		return false;
	if (!n)
		return true;
	*env = calloc(n, sizeof(**env));
	if (!plan_good(pr, *env != NULL, "out of memory"))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct plan_env *e = &(*env)[(*nenv)++];
		uint8_t file;

		e->name = wire_r_str(&pr->r, NAME_MAX_LEN);
		e->value = wire_r_str(&pr->r, VALUE_MAX_LEN);
		file = wire_r_u8(&pr->r);
		if (!plan_good(pr, file <= 1, "environment: bad entry") ||
		    !plan_good(pr, plan_name_ok(e->name), "environment: bad name"))
			return false;
		e->file = file;
	}
	return true;
}

static bool
plan_decode_masks(struct plan_reader *pr, struct plan *p)
{
	uint32_t n = wire_r_count(&pr->r, PLAN_MASKS_MAX, MASK_MIN_LEN);

	if (!plan_good(pr, true, "masks: bad count"))
		return false;
	if (!n)
		return true;
	p->masks = calloc(n, sizeof(*p->masks));
	if (!plan_good(pr, p->masks != NULL, "out of memory"))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct plan_mask *m = &p->masks[p->nmasks++];
		const uint8_t *data;
		size_t len;

		data = wire_r_bytes(&pr->r, MASK_MAX_LEN, &len);
		if (!plan_good(pr, true, "masks: bad secret"))
			return false;
		m->data = malloc(len + 1);
		if (!plan_good(pr, m->data != NULL, "out of memory"))
			return false;
		memcpy(m->data, data, len);
		m->len = len;
	}
	return true;
}

static bool
plan_decode_step(struct plan_reader *pr, struct plan_step *s)
{
	s->name = wire_r_str(&pr->r, NAME_MAX_LEN);
	s->script = wire_r_str(&pr->r, SCRIPT_MAX_LEN);
	s->shell = wire_r_str(&pr->r, PATH_MAX_LEN);
	s->cwd = wire_r_str(&pr->r, PATH_MAX_LEN);
	if (!plan_good(pr, true, "step: bad text") ||
	    !plan_good(pr, s->shell[0], "step: no shell") ||
	    !plan_good(pr, s->cwd[0] == '/', "step: cwd is not absolute") ||
	    !plan_decode_env(pr, &s->env, &s->nenv))
		return false;
	s->timeout_ms = wire_r_u64(&pr->r);
	s->flags = wire_r_u32(&pr->r);
	return plan_good(pr, !(s->flags & ~STEP_FLAGS), "step: unknown flags");
}

static bool
plan_decode_steps(struct plan_reader *pr, struct plan *p)
{
	uint32_t n = wire_r_count(&pr->r, PLAN_STEPS_MAX, STEP_MIN_LEN);

	if (!plan_good(pr, n > 0, "steps: bad count"))
		return false;
	p->steps = calloc(n, sizeof(*p->steps));
	if (!plan_good(pr, p->steps != NULL, "out of memory"))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (!plan_decode_step(pr, &p->steps[p->nsteps++]))
			return false;
	return true;
}

static bool
plan_decode_head(struct plan_reader *pr, struct plan *p)
{
	uint8_t clear_env;

	if (!plan_good(pr, wire_r_u32(&pr->r) == PLAN_MAGIC, "not a plan") ||
	    !plan_good(pr, wire_r_u16(&pr->r) == PLAN_VERSION, "unknown version"))
		return false;
	p->job_timeout_ms = wire_r_u64(&pr->r);
	p->grace_ms = wire_r_u64(&pr->r);
	p->log_max = wire_r_u64(&pr->r);
	p->memory_max = wire_r_u64(&pr->r);
	p->pids_max = wire_r_u32(&pr->r);
	clear_env = wire_r_u8(&pr->r);
	if (!plan_good(pr, clear_env <= 1, "bad limits"))
		return false;
	p->clear_env = clear_env;
	p->secrets_dir = wire_r_str(&pr->r, PATH_MAX_LEN);
	return plan_good(pr, true, "bad secrets directory") &&
	       plan_good(pr, !p->secrets_dir[0] || p->secrets_dir[0] == '/',
			 "secrets directory is not absolute");
}

bool
plan_decode(struct plan *p, const uint8_t *data, size_t len, const char **why)
{
	struct plan_reader pr = { 0 };

	*p = (struct plan){ 0 };
	if (len > PLAN_MAX) {
		*why = "too large";
		return false;
	}
	wire_r_init(&pr.r, data, len);
	if (plan_decode_head(&pr, p) && plan_decode_env(&pr, &p->env, &p->nenv) &&
	    plan_decode_masks(&pr, p) && plan_decode_steps(&pr, p) &&
	    plan_good(&pr, wire_r_done(&pr.r), "bytes left over"))
		return true;
	*why = pr.why;
	plan_clear(p);
	return false;
}

static void
plan_free_str(char *s)
{
	if (s)
		plan_wipe(s, strlen(s));
	free(s);
}

static void
plan_free_env(struct plan_env *env, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		plan_free_str(env[i].name);
		plan_free_str(env[i].value);
	}
	free(env);
}

void
plan_clear(struct plan *p)
{
	plan_free_str(p->secrets_dir);
	plan_free_env(p->env, p->nenv);
	for (size_t i = 0; i < p->nmasks; i++) {
		if (p->masks[i].data)
			plan_wipe(p->masks[i].data, p->masks[i].len);
		free(p->masks[i].data);
	}
	free(p->masks);
	for (size_t i = 0; i < p->nsteps; i++) {
		struct plan_step *s = &p->steps[i];

		plan_free_str(s->name);
		plan_free_str(s->script);
		plan_free_str(s->shell);
		plan_free_str(s->cwd);
		plan_free_env(s->env, s->nenv);
	}
	free(p->steps);
	*p = (struct plan){ 0 };
}
