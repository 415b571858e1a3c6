/*
 * Bytes are scanned for strictness, parsed, and then walked by tables: one row per
 * field names its reader, place, range and text rule. A member without a row is an
 * error, so a row is all it takes to add a field.
 */
#include "slipway/jobspec.h"

#include "jobread.h"
#include "jobspec_check.h"
#include "slipway/conf.h"
#include "slipway/jsonscan.h"
#include "slipway/mem.h"

#define SPEC_JSON_DEPTH 32
#define SPEC_CACHE_KEYS_MAX 32
#define SPEC_CWD_MAX 1024
#define SPEC_IMAGE_MAX 255
#define SPEC_CPUS_MAX 1024
#define SPEC_MEMORY_MIN (1ll << 20)
#define SPEC_MEMORY_MAX (1ll << 50)

#define PLACE(type, obj, f) ((type *)((char *)(obj) + (f)->offset))

static int
parse_text(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	const char *s = jobread_text(r, v, (size_t)f->min, (size_t)f->max), *wrong;

	if (!s)
		return -1;
	wrong = f->check ? f->check(s) : NULL;
	if (wrong)
		return jobread_fail(r, "%s", wrong);
	*PLACE(char *, obj, f) = xstrdup(s);
	return 0;
}

static int
parse_i64(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	return jobread_int(r, f, v, PLACE(int64_t, obj, f));
}

static int
parse_int(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	int64_t n;

	if (jobread_int(r, f, v, &n))
		return -1;
	*PLACE(int, obj, f) = (int)n;
	return 0;
}

static int
parse_u32(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	int64_t n;

	if (jobread_int(r, f, v, &n))
		return -1;
	*PLACE(uint32_t, obj, f) = (uint32_t)n;
	return 0;
}

static int
parse_bool(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	if (jobread_want(r, v, json_type_boolean))
		return -1;
	*PLACE(bool, obj, f) = json_object_get_boolean(v);
	return 0;
}

static int
parse_unsupported(struct jobread *r, const struct jobread_field *f, json_object *v,
		  void *obj)
{
	return jobread_fail(r, "not supported yet");
}

static int
parse_cache_keys(struct jobread *r, const struct jobread_field *f, json_object *v,
		 void *obj)
{
	struct jobspec *s = obj;

	return jobread_strings(r, f, v, &s->cache_keys, &s->ncache_keys);
}

static int
on_compare_strings(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
parse_labels(struct jobread *r, const struct jobread_field *f, json_object *v,
	     void *obj)
{
	struct jobspec *s = obj;
	size_t n = 0;

	if (jobread_strings(r, f, v, &s->labels, &s->nlabels))
		return -1;
	qsort(s->labels, s->nlabels, sizeof(*s->labels), on_compare_strings);
	for (size_t i = 0; i < s->nlabels; i++) {
		if (n && !strcmp(s->labels[n - 1], s->labels[i]))
			free(s->labels[i]);
		else
			s->labels[n++] = s->labels[i];
	}
	s->nlabels = n;
	return 0;
}

static int
parse_job_env(struct jobread *r, const struct jobread_field *f, json_object *v,
	      void *obj)
{
	struct jobspec *s = obj;

	return jobread_env(r, v, &s->env, &s->nenv);
}

static int
parse_job_secrets(struct jobread *r, const struct jobread_field *f, json_object *v,
		  void *obj)
{
	struct jobspec *s = obj;

	return jobread_secrets(r, v, &s->secrets, &s->nsecrets);
}

static int
parse_step_env(struct jobread *r, const struct jobread_field *f, json_object *v,
	       void *obj)
{
	struct spec_step *s = obj;

	return jobread_env(r, v, &s->env, &s->nenv);
}

static int
parse_step_secrets(struct jobread *r, const struct jobread_field *f, json_object *v,
		   void *obj)
{
	struct spec_step *s = obj;

	return jobread_secrets(r, v, &s->secrets, &s->nsecrets);
}

static int
parse_cwd(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	char out[SPEC_CWD_MAX + 1];
	const char *s = jobread_text(r, v, 1, SPEC_CWD_MAX);
	const char *wrong = s ? jobspec_check_cwd(s, out, sizeof(out)) : NULL;

	if (!s)
		return -1;
	if (wrong)
		return jobread_fail(r, "%s", wrong);
	((struct spec_step *)obj)->cwd = xstrdup(out);
	return 0;
}

static int
parse_when(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	const char *s = jobread_text(r, v, 1, 16);

	if (!s)
		return -1;
	((struct spec_step *)obj)->always = !strcmp(s, "always");
	if (strcmp(s, "always") && strcmp(s, "on_success"))
		return jobread_fail(r, "must be \"on_success\" or \"always\"");
	return 0;
}

static int
parse_cpus(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	double cpus = json_object_get_double(v);

	if (!json_object_is_type(v, json_type_double) &&
	    !json_object_is_type(v, json_type_int))
		return jobread_fail(r, "must be a number");
	if (!(cpus > 0) || cpus > SPEC_CPUS_MAX)
		return jobread_fail(r, "must be over 0, at most %d", SPEC_CPUS_MAX);
	((struct jobspec *)obj)->cpus = cpus;
	return 0;
}

static int
parse_memory(struct jobread *r, const struct jobread_field *f, json_object *v,
	     void *obj)
{
	int64_t bytes;
	const char *s;

	if (json_object_is_type(v, json_type_int)) {
		bytes = json_object_get_int64(v);
	} else {
		s = jobread_text(r, v, 1, 32);
		if (!s)
			return -1;
		if (conf_parse_size(s, &bytes, NULL))
			return jobread_fail(r, "must be bytes, or as in \"512MiB\"");
	}
	if (bytes < SPEC_MEMORY_MIN || bytes > SPEC_MEMORY_MAX)
		return jobread_fail(r, "must be 1MiB to 1024TiB");
	((struct jobspec *)obj)->memory = (uint64_t)bytes;
	return 0;
}

static int
parse_retry_on(struct jobread *r, const struct jobread_field *f, json_object *v,
	       void *obj)
{
	static const struct {
		const char *name;
		unsigned bit;
	} words[] = { { "failure", RETRY_ON_FAILURE },
		      { "timeout", RETRY_ON_TIMEOUT },
		      { "infra", RETRY_ON_INFRA } };
	struct jobspec *s = obj;

	if (jobread_want(r, v, json_type_array))
		return -1;
	s->has_retry_on = true;
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		size_t mark = jobread_enter_item(r, i), w = 0;
		const char *word = jobread_text(r, json_object_array_get_idx(v, i), 1,
						16);

		if (!word)
			return -1;
		while (w < ARRAY_LEN(words) && strcmp(words[w].name, word))
			w++;
		if (w == ARRAY_LEN(words))
			return jobread_fail(r, "must be \"failure\", \"timeout\" or "
					       "\"infra\"");
		if (s->retry_on & words[w].bit)
			return jobread_fail(r, "is there twice");
		s->retry_on |= words[w].bit;
		jobread_leave(r, mark);
	}
	return 0;
}

static int
parse_retry_lost(struct jobread *r, const struct jobread_field *f, json_object *v,
		 void *obj)
{
	((struct jobspec *)obj)->has_retry_lost = true;
	return parse_bool(r, f, v, obj);
}

static int
parse_network(struct jobread *r, const struct jobread_field *f, json_object *v,
	      void *obj)
{
	const char *s = jobread_text(r, v, 1, 16);

	if (!s)
		return -1;
	for (unsigned i = NETWORK_NONE; i <= NETWORK_HOST; i++) {
		if (!strcmp(jobspec_network_name((enum spec_network)i), s)) {
			((struct jobspec *)obj)->network = (enum spec_network)i;
			return 0;
		}
	}
	return jobread_fail(r, "must be \"none\", \"isolated\" or \"host\"");
}

#define AT(member) .offset = offsetof(struct jobspec, member)

static const struct jobread_field resource_fields[] = {
	{ "cpus", .parse = parse_cpus },
	{ "memory", .parse = parse_memory },
	{ "pids", .parse = parse_u32, AT(pids), .min = 1, .max = 1000000 },
	{ "gpus", .parse = parse_u32, AT(gpus), .min = 0, .max = 64 },
};

static int
parse_resources(struct jobread *r, const struct jobread_field *f, json_object *v,
		void *obj)
{
	return jobread_object(r, resource_fields, ARRAY_LEN(resource_fields), v, obj);
}

static const struct jobread_field retry_fields[] = {
	{ "on", .parse = parse_retry_on },
	{ "limit", .parse = parse_int, AT(retry_limit), .min = 0, .max = 10 },
	{ "lost", .parse = parse_retry_lost, AT(retry_lost) },
};

static int
parse_retry(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	return jobread_object(r, retry_fields, ARRAY_LEN(retry_fields), v, obj);
}

#define IN_STEP(member) .offset = offsetof(struct spec_step, member)

static const struct jobread_field step_fields[] = {
	{ "name", .parse = parse_text, IN_STEP(name), 1, JOBSPEC_NAME_MAX,
	  jobspec_check_name },
	{ "run", .parse = parse_text, IN_STEP(run), 1, JOBSPEC_RUN_MAX },
	{ "workingDir", .parse = parse_cwd },
	{ "env", .parse = parse_step_env },
	{ "continueOnError", .parse = parse_bool, IN_STEP(continue_on_error) },
	{ "timeout", .parse = parse_i64, IN_STEP(timeout_s), 0, JOBSPEC_TIMEOUT_MAX },
	{ "when", .parse = parse_when },
	{ "shell", .parse = parse_text, IN_STEP(shell), 1, 64, jobspec_check_shell },
	{ "secrets", .parse = parse_step_secrets },
	{ "image", .parse = parse_unsupported },
	{ "cache", .parse = parse_unsupported },
	{ "artifacts", .parse = parse_unsupported },
};

static int
parse_step(struct jobread *r, json_object *v, struct spec_step *s)
{
	s->timeout_s = -1;
	if (jobread_object(r, step_fields, ARRAY_LEN(step_fields), v, s))
		return -1;
	if (!s->name)
		return jobread_fail_at(r, "name", "missing");
	if (!s->run)
		return jobread_fail_at(r, "run", "missing");
	if (!s->cwd)
		s->cwd = xstrdup("/workspace/repo");
	if (!s->shell)
		s->shell = xstrdup("sh");
	return jobread_check_clash(r, s->env, s->nenv, s->secrets, s->nsecrets);
}

static int
parse_steps(struct jobread *r, const struct jobread_field *f, json_object *v, void *obj)
{
	struct jobspec *s = obj;
	size_t n;

	if (jobread_want(r, v, json_type_array))
		return -1;
	n = json_object_array_length(v);
	if (n < 1 || n > JOB_STEPS_MAX)
		return jobread_fail(r, "must be 1 to %d steps", JOB_STEPS_MAX);
	s->steps = xcalloc(n, sizeof(*s->steps));
	for (size_t i = 0; i < n; i++) {
		size_t mark = jobread_enter_item(r, i);

		s->nsteps++;
		if (parse_step(r, json_object_array_get_idx(v, i), &s->steps[i]))
			return -1;
		jobread_leave(r, mark);
	}
	return 0;
}

static const struct jobread_field job_fields[] = {
	{ "id", .parse = parse_text, AT(id), 1, JOB_ID_MAX, jobspec_check_id },
	{ "repo", .parse = parse_text, AT(repo), 1, JOB_REPO_MAX, jobspec_check_repo },
	{ "commit", .parse = parse_text, AT(commit), 1, JOB_REF_MAX,
	  jobspec_check_ref },
	{ "branch", .parse = parse_text, AT(branch), 1, JOB_REF_MAX,
	  jobspec_check_ref },
	{ "steps", .parse = parse_steps },
	{ "env", .parse = parse_job_env },
	{ "cacheKeys", .parse = parse_cache_keys, .max = SPEC_CACHE_KEYS_MAX,
	  .check = jobspec_check_cache_key },
	{ "timeout", .parse = parse_i64, AT(timeout_s), 0, JOBSPEC_TIMEOUT_MAX },
	{ "priority", .parse = parse_int, AT(priority), 0, JOB_PRIORITY_MAX },
	{ "image", .parse = parse_text, AT(image), 1, SPEC_IMAGE_MAX,
	  jobspec_check_image },
	{ "runner", .parse = parse_text, AT(runner), 1, 63, jobspec_check_runner },
	{ "labels", .parse = parse_labels, .max = JOBSPEC_LABELS_MAX,
	  .check = jobspec_check_label },
	{ "environment", .parse = parse_text, AT(environment), 1, JOBSPEC_NAME_MAX,
	  jobspec_check_label },
	{ "resources", .parse = parse_resources },
	{ "secrets", .parse = parse_job_secrets },
	{ "retry", .parse = parse_retry },
	{ "network", .parse = parse_network },
	{ "depth", .parse = parse_int, AT(depth), 0, 1 },
	{ "submodules", .parse = parse_bool, AT(submodules) },
	{ "cache", .parse = parse_unsupported },
	{ "artifacts", .parse = parse_unsupported },
	{ "snapshot", .parse = parse_unsupported },
	{ "services", .parse = parse_unsupported },
	{ "matrix", .parse = parse_unsupported },
	{ "needs", .parse = parse_unsupported },
	{ "fromStep", .parse = parse_unsupported },
	{ "dryRun", .parse = parse_unsupported },
};

static int
parse_job(struct jobread *r, json_object *v, struct jobspec *s)
{
	char needs[sizeof(((struct job *)0)->needs)];

	if (jobread_object(r, job_fields, ARRAY_LEN(job_fields), v, s))
		return -1;
	if (!s->repo)
		return jobread_fail_at(r, "repo", "missing");
	if (!s->commit)
		return jobread_fail_at(r, "commit", "missing");
	if (!s->steps)
		return jobread_fail_at(r, "steps", "missing");
	if (!jobspec_needs(s, NETWORK_ISOLATED, needs, sizeof(needs)))
		return jobread_fail_at(r, "labels", "are too long together");
	return jobread_check_clash(r, s->env, s->nenv, s->secrets, s->nsecrets);
}

static void
cleanup_json(json_object **o)
{
	json_object_put(*o);
}

static void
cleanup_tokener(json_tokener **t)
{
	if (*t)
		json_tokener_free(*t);
}

struct jobspec *
jobspec_parse(const char *body, size_t len, struct err *e)
{
	__attribute__((cleanup(cleanup_json))) json_object *o = NULL;
	__attribute__((cleanup(cleanup_tokener))) json_tokener *t = NULL;
	cleanup_jobspec struct jobspec *s = NULL;
	struct jobread r = { .e = e };

	if (len > JOBSPEC_BODY_MAX) {
		err_set(e, ERR_TOO_LARGE, "a job is at most %u bytes",
			JOBSPEC_BODY_MAX);
		return NULL;
	}
	if (jsonscan_check(body, len, SPEC_JSON_DEPTH, e))
		return NULL;
	t = json_tokener_new_ex(SPEC_JSON_DEPTH);
	if (!t) {
		err_set(e, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, body, (int)len);
	/* A bare number is only over when its end is seen. */
	if (json_tokener_get_error(t) != json_tokener_success) {
		err_set(e, ERR_INVALID, "a job is one JSON object");
		return NULL;
	}
	s = xcalloc(1, sizeof(*s));
	s->timeout_s = -1;
	s->priority = s->depth = s->retry_limit = -1;
	if (parse_job(&r, o, s))
		return NULL;
	return STEAL(s);
}
