#include "api_view.h"

#include <string.h>

#include "slipway/mem.h"
#include "slipway/utf8.h"

static void
add_text(struct json_object *o, const char *key, const char *text)
{
	cleanup_strbuf struct strbuf valid = { 0 };

	strbuf_add_utf8(&valid, text, strlen(text));
	json_object_object_add(o, key, json_object_new_string(strbuf_str(&valid)));
}

static void
add_text_if(struct json_object *o, const char *key, const char *text)
{
	if (text && *text)
		add_text(o, key, text);
}

static void
add_int(struct json_object *o, const char *key, int64_t v)
{
	json_object_object_add(o, key, json_object_new_int64(v));
}

static void
add_time(struct json_object *o, const char *key, int64_t ms)
{
	if (ms > 0)
		add_int(o, key, ms);
}

static void
add_duration(struct json_object *o, int64_t from, int64_t to)
{
	if (from > 0 && to >= from)
		add_int(o, "duration", to - from);
}

static void
add_usage(struct json_object *o, const struct attempt *a)
{
	struct json_object *usage;

	if (!a->finished_at || (!a->cpu_us && !a->max_rss))
		return;
	usage = json_object_new_object();
	add_int(usage, "cpuTime", (int64_t)(a->cpu_us / 1000));
	add_int(usage, "memoryPeak", (int64_t)a->max_rss);
	json_object_object_add(o, "resourceUsage", usage);
}

/* The record of the attempt that the job is at, NULL before it has begun. */
static const struct attempt *
current_attempt(const struct job_view *v)
{
	return v->attempt.number && v->attempt.number == v->job.attempt ? &v->attempt
									: NULL;
}

static struct json_object *
view_step(const struct view_in *in, const struct attempt *a, size_t i)
{
	static const struct step_record none;
	const struct step_record *s = a && i < a->nsteps ? &a->steps[i] : &none;
	enum step_state state = s->state;
	struct json_object *o = json_object_new_object();
	const struct strbuf *output = NULL;

	if (state == STEP_PENDING && job_state_is_final(in->v->job.state))
		state = STEP_SKIPPED;
	add_text(o, "name", in->spec ? in->spec->steps[i].name : "");
	add_text(o, "status", step_state_name(state));
	if (in->out && state != STEP_PENDING && state != STEP_SKIPPED)
		output = step_outputs_get(in->out, i);
	if (output)
		json_object_object_add(o, "output",
				       json_object_new_string_len(strbuf_str(output),
								  (int)output->len));
	if (s->has_exit)
		add_int(o, "exitCode", s->exit_code);
	if (in->spec && in->spec->steps[i].continue_on_error)
		json_object_object_add(o, "continueOnError",
				       json_object_new_boolean(true));
	add_duration(o, s->started_at, s->finished_at);
	add_time(o, "startedAt", s->started_at);
	add_time(o, "finishedAt", s->finished_at);
	return o;
}

static struct json_object *
view_steps(const struct view_in *in)
{
	const struct attempt *a = current_attempt(in->v);
	struct json_object *steps = json_object_new_array();
	size_t n = in->spec ? in->spec->nsteps : a ? a->nsteps : 0;

	for (size_t i = 0; i < n; i++)
		json_object_array_add(steps, view_step(in, a, i));
	return steps;
}

static void
add_url(struct json_object *o, const char *key, const struct view_in *in,
	const char *path)
{
	cleanup_free char *url = xasprintf("%s%s?id=%s", in->base_url, path,
					   in->v->job.id);

	add_text(o, key, url);
}

static void
add_waiting(struct json_object *o, const struct job_view *v)
{
	if (v->job.state != JOB_QUEUED)
		return;
	add_text_if(o, "waitReason", v->wait_reason);
	if (v->position > 0)
		add_int(o, "queuePosition", v->position);
	if (v->eta_ms >= 0)
		add_int(o, "etaMs", v->eta_ms);
}

struct json_object *
view_job(const struct view_in *in)
{
	const struct job_view *v = in->v;
	const struct job *j = &v->job;
	const struct attempt *a = current_attempt(v);
	struct json_object *o = json_object_new_object();

	add_text(o, "id", j->id);
	add_text(o, "status", job_state_name(j->state));
	if (j->state == JOB_RUNNING && v->current_step >= 0)
		add_int(o, "currentStep", v->current_step);
	add_time(o, "queuedAt", j->queued_at);
	add_time(o, "startedAt", j->started_at);
	add_time(o, "finishedAt", j->finished_at);
	add_duration(o, j->started_at, j->finished_at);
	add_text_if(o, "reason", job_reason_name(j->reason));
	add_text_if(o, "error", j->error);
	add_waiting(o, v);
	add_int(o, "attempt", j->attempt);
	if (j->state == JOB_RUNNING)
		add_text_if(o, "phase", job_phase_name(v->phase));
	if (a) {
		add_text_if(o, "runner", a->runner);
		add_text_if(o, "sandboxId", *v->sandbox ? v->sandbox : a->endpoint);
	}
	add_text(o, "repo", j->repo);
	add_text(o, "commit", j->commit);
	add_text_if(o, "branch", j->branch);
	add_int(o, "priority", j->priority);
	add_int(o, "warnings", j->warnings);
	add_text(o, "trigger", "api");
	add_url(o, "url", in, "/jobs/status");
	add_url(o, "logUrl", in, "/jobs/logs");
	json_object_object_add(o, "steps", view_steps(in));
	if (a)
		add_usage(o, a);
	return o;
}

struct json_object *
view_attempt(const struct attempt *a)
{
	struct json_object *o = json_object_new_object();

	add_int(o, "number", a->number);
	add_text(o, "status", job_state_name(a->state));
	add_text_if(o, "reason", job_reason_name(a->reason));
	add_text_if(o, "error", a->error);
	add_text_if(o, "runner", a->runner);
	add_text_if(o, "sandboxId", a->endpoint);
	add_text_if(o, "commit", a->sha);
	add_time(o, "queuedAt", a->queued_at);
	add_time(o, "startedAt", a->started_at);
	add_time(o, "finishedAt", a->finished_at);
	add_duration(o, a->started_at, a->finished_at);
	add_usage(o, a);
	return o;
}

/* The plan of a validation */

static struct json_object *
plan_names(const struct env_var *env, size_t n)
{
	struct json_object *names = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(names, json_object_new_string(env[i].name));
	return names;
}

static void
add_secrets(struct json_object *o, const struct secret_ref *refs, size_t n)
{
	struct json_object *names;

	if (!n)
		return;
	names = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		json_object_array_add(names, json_object_new_string(refs[i].name));
	json_object_object_add(o, "secrets", names);
}

static struct json_object *
plan_step(const struct spec_step *s, const struct conf *c, int64_t job_timeout)
{
	struct json_object *o = json_object_new_object();
	int64_t timeout = s->timeout_s < 0 ? c->defaults_step_timeout_ms / 1000
					   : s->timeout_s;

	add_text(o, "name", s->name);
	add_text(o, "run", s->run);
	add_text_if(o, "workingDir", s->cwd ? s->cwd : "/workspace/repo");
	add_text(o, "shell", s->shell ? s->shell : "sh");
	/* A step lives no longer than its job. */
	if (timeout == 0 || (job_timeout > 0 && timeout > job_timeout))
		timeout = job_timeout;
	add_int(o, "timeout", timeout);
	json_object_object_add(o, "continueOnError",
			       json_object_new_boolean(s->continue_on_error));
	if (s->always)
		add_text(o, "when", "always");
	if (s->nenv)
		json_object_object_add(o, "env", plan_names(s->env, s->nenv));
	add_secrets(o, s->secrets, s->nsecrets);
	return o;
}

static struct json_object *
plan_needs(const struct jobspec *s, const char *network)
{
	struct json_object *o = json_object_new_object();
	struct json_object *labels = json_object_new_array();

	for (size_t i = 0; i < s->nlabels; i++)
		json_object_array_add(labels, json_object_new_string(s->labels[i]));
	json_object_object_add(o, "labels", labels);
	add_text_if(o, "runner", s->runner);
	add_text_if(o, "image", s->image);
	add_text(o, "network", network);
	if (s->gpus)
		add_int(o, "gpus", s->gpus);
	return o;
}

static struct json_object *
plan_warnings(const char *text)
{
	struct json_object *list = json_object_new_array();

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (len > 0)
			json_object_array_add(list,
					      json_object_new_string_len(text,
									 (int)len));
		text += len + (text[len] == '\n');
	}
	return list;
}

struct json_object *
view_plan(const struct jobspec *s, const struct conf *c, const char *warnings)
{
	struct json_object *o = json_object_new_object();
	struct json_object *steps = json_object_new_array();
	const char *network = s->network == NETWORK_DEFAULT
				      ? c->defaults_network
				      : jobspec_network_name(s->network);
	int64_t timeout = s->timeout_s > 0 ? s->timeout_s
					   : c->defaults_job_timeout_ms / 1000;

	add_text_if(o, "id", s->id);
	add_text(o, "repo", s->repo);
	add_text(o, "commit", s->commit);
	add_text_if(o, "branch", s->branch);
	add_text_if(o, "environment", s->environment);
	for (size_t i = 0; i < s->nsteps; i++)
		json_object_array_add(steps, plan_step(&s->steps[i], c, timeout));
	json_object_object_add(o, "steps", steps);
	add_int(o, "timeout", timeout);
	add_int(o, "priority",
		s->priority < 0 ? c->queue_default_priority : s->priority);
	add_text(o, "network", network);
	json_object_object_add(o, "needs", plan_needs(s, network));
	if (s->nenv)
		json_object_object_add(o, "env", plan_names(s->env, s->nenv));
	add_secrets(o, s->secrets, s->nsecrets);
	json_object_object_add(o, "warnings", plan_warnings(warnings));
	return o;
}

/* ETags */

static uint64_t
hash_bytes(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h;
}

static uint64_t
hash_text(uint64_t h, const char *s)
{
	return hash_bytes(h, s, strlen(s) + 1);
}

void
view_etag(const struct job_view *v, uint64_t log_size, char out[VIEW_ETAG_MAX])
{
	const struct job *j = &v->job;
	const int64_t numbers[] = {
		j->queued_at,	       j->started_at,
		j->finished_at,	       j->warnings,
		v->position,	       v->attempt.number,
		v->attempt.started_at, v->attempt.finished_at,
		(int64_t)log_size,
	};
	uint64_t h = hash_bytes(0xcbf29ce484222325, numbers, sizeof(numbers));

	for (unsigned i = 0; i < v->attempt.nsteps && i < JOB_STEPS_MAX; i++) {
		const struct step_record *s = &v->attempt.steps[i];
		const int64_t step[] = { s->state, s->exit_code, s->finished_at };

		h = hash_bytes(h, step, sizeof(step));
	}
	h = hash_text(h, j->error);
	h = hash_text(h, j->commit);
	h = hash_text(h, v->sandbox);
	h = hash_text(h, v->wait_reason);
	snprintf(out, VIEW_ETAG_MAX, "\"%u-%d-%d-%d.%016llx\"", j->attempt,
		 (int)j->state, (int)v->phase, v->current_step, (unsigned long long)h);
}

bool
view_etag_same_state(const char *a, const char *b)
{
	size_t n = strcspn(a, ".");

	return strncmp(a, b, n) == 0 && b[n] == '.';
}
