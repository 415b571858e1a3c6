#include "slipway/jobspec.h"

#include <json-c/json.h>

#include "slipway/log.h"
#include "slipway/mem.h"

/* A missing member would make a different job of it: out of memory ends here. */
static json_object *
json_need(json_object *o)
{
	if (!o)
		log_fatal(LOG_ENGINE, "out of memory");
	return o;
}

static void
json_put(json_object *to, const char *key, json_object *value)
{
	if (json_object_object_add(to, key, json_need(value)))
		log_fatal(LOG_ENGINE, "out of memory");
}

static void
json_push(json_object *to, json_object *value)
{
	if (json_object_array_add(to, json_need(value)))
		log_fatal(LOG_ENGINE, "out of memory");
}

static void
json_put_text(json_object *to, const char *key, const char *value)
{
	if (value)
		json_put(to, key, json_object_new_string(value));
}

/* Numbers whose -1 means "not given". */
static void
json_put_given(json_object *to, const char *key, int64_t value)
{
	if (value >= 0)
		json_put(to, key, json_object_new_int64(value));
}

static void
json_put_strings(json_object *to, const char *key, char *const *v, size_t n)
{
	json_object *list;

	if (!n)
		return;
	list = json_need(json_object_new_array());
	for (size_t i = 0; i < n; i++)
		json_push(list, json_object_new_string(v[i]));
	json_put(to, key, list);
}

static void
json_put_env(json_object *to, const struct env_var *env, size_t n)
{
	json_object *o;

	if (!n)
		return;
	o = json_need(json_object_new_object());
	for (size_t i = 0; i < n; i++)
		json_put_text(o, env[i].name, env[i].value);
	json_put(to, "env", o);
}

static void
json_put_secrets(json_object *to, const struct secret_ref *refs, size_t n)
{
	json_object *o, *ref;

	if (!n)
		return;
	o = json_need(json_object_new_object());
	for (size_t i = 0; i < n; i++) {
		if (!refs[i].file) {
			json_put_text(o, refs[i].env, refs[i].name);
			continue;
		}
		ref = json_need(json_object_new_object());
		json_put_text(ref, "name", refs[i].name);
		json_put(ref, "file", json_object_new_boolean(true));
		json_put(o, refs[i].env, ref);
	}
	json_put(to, "secrets", o);
}

static json_object *
json_step(const struct spec_step *s)
{
	json_object *o = json_need(json_object_new_object());

	json_put_text(o, "name", s->name);
	json_put_text(o, "run", s->run);
	if (strcmp(s->cwd, "/workspace/repo"))
		json_put_text(o, "workingDir", s->cwd);
	json_put_env(o, s->env, s->nenv);
	if (s->continue_on_error)
		json_put(o, "continueOnError", json_object_new_boolean(true));
	json_put_given(o, "timeout", s->timeout_s);
	if (s->always)
		json_put_text(o, "when", "always");
	if (strcmp(s->shell, "sh"))
		json_put_text(o, "shell", s->shell);
	json_put_secrets(o, s->secrets, s->nsecrets);
	return o;
}

static void
json_put_resources(json_object *to, const struct jobspec *s)
{
	json_object *o;

	if (s->cpus <= 0 && !s->memory && !s->pids && !s->gpus)
		return;
	o = json_need(json_object_new_object());
	if (s->cpus > 0)
		json_put(o, "cpus", json_object_new_double(s->cpus));
	if (s->memory)
		json_put(o, "memory", json_object_new_int64((int64_t)s->memory));
	if (s->pids)
		json_put(o, "pids", json_object_new_int64(s->pids));
	if (s->gpus)
		json_put(o, "gpus", json_object_new_int64(s->gpus));
	json_put(to, "resources", o);
}

static void
json_put_retry(json_object *to, const struct jobspec *s)
{
	static const char *const names[] = { "failure", "timeout", "infra" };
	json_object *o, *on;

	if (!s->has_retry_on && s->retry_limit < 0 && !s->has_retry_lost)
		return;
	o = json_need(json_object_new_object());
	if (s->has_retry_on) {
		on = json_need(json_object_new_array());
		for (unsigned i = 0; i < ARRAY_LEN(names); i++)
			if (s->retry_on & (1u << i))
				json_push(on, json_object_new_string(names[i]));
		json_put(o, "on", on);
	}
	json_put_given(o, "limit", s->retry_limit);
	if (s->has_retry_lost)
		json_put(o, "lost", json_object_new_boolean(s->retry_lost));
	json_put(to, "retry", o);
}

void
jobspec_to_json(const struct jobspec *s, struct strbuf *out)
{
	json_object *o = json_need(json_object_new_object());
	json_object *steps = json_need(json_object_new_array());
	const char *text;
	size_t len;

	json_put_text(o, "id", s->id);
	json_put_text(o, "repo", s->repo);
	json_put_text(o, "commit", s->commit);
	json_put_text(o, "branch", s->branch);
	for (size_t i = 0; i < s->nsteps; i++)
		json_push(steps, json_step(&s->steps[i]));
	json_put(o, "steps", steps);
	json_put_env(o, s->env, s->nenv);
	json_put_strings(o, "cacheKeys", s->cache_keys, s->ncache_keys);
	json_put_given(o, "timeout", s->timeout_s);
	json_put_given(o, "priority", s->priority);
	json_put_text(o, "image", s->image);
	json_put_text(o, "runner", s->runner);
	json_put_strings(o, "labels", s->labels, s->nlabels);
	json_put_text(o, "environment", s->environment);
	json_put_resources(o, s);
	json_put_secrets(o, s->secrets, s->nsecrets);
	json_put_retry(o, s);
	if (s->network)
		json_put_text(o, "network", jobspec_network_name(s->network));
	if (s->depth == 0)
		json_put_given(o, "depth", 0);
	if (s->submodules)
		json_put(o, "submodules", json_object_new_boolean(true));
	text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (!text)
		log_fatal(LOG_ENGINE, "out of memory");
	strbuf_add(out, text, len);
	json_object_put(o);
}
