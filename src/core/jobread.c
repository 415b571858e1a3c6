#include "jobread.h"

#include <stdarg.h>
#include <stdio.h>

#include "jobspec_check.h"
#include "slipway/mem.h"

/* Of the whole job: bounds of the plan that its runner gets. */
#define JOBREAD_ENV_BYTES_MAX (256u << 10)
#define JOBREAD_ENV_VARS_MAX 512 /* of the job, and of each step */
#define JOBREAD_SECRETS_MAX 128
#define JOBREAD_ITEM_MAX 1024

int
jobread_fail(struct jobread *r, const char *fmt, ...)
{
	char what[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_field(r->e, ERR_INVALID, r->path, "%s: %s", r->len ? r->path : "job",
			 what);
}

/* Longer paths are cut. */
static size_t
jobread_added(struct jobread *r, int n)
{
	size_t mark = r->len;

	r->len += (size_t)n;
	if (r->len >= sizeof(r->path))
		r->len = sizeof(r->path) - 1;
	return mark;
}

size_t
jobread_enter(struct jobread *r, const char *name)
{
	size_t mark = r->len;

	return jobread_added(r, snprintf(r->path + mark, sizeof(r->path) - mark, "%s%s",
					 mark ? "." : "", name));
}

size_t
jobread_enter_item(struct jobread *r, size_t i)
{
	size_t mark = r->len;

	return jobread_added(r, snprintf(r->path + mark, sizeof(r->path) - mark,
					 "[%zu]", i));
}

void
jobread_leave(struct jobread *r, size_t mark)
{
	r->len = mark;
	r->path[mark] = '\0';
}

int
jobread_fail_at(struct jobread *r, const char *name, const char *what)
{
	jobread_enter(r, name);
	return jobread_fail(r, "%s", what);
}

int
jobread_want(struct jobread *r, json_object *v, json_type type)
{
	static const char *const names[] = {
		[json_type_boolean] = "true or false",
		[json_type_int] = "a whole number",
		[json_type_object] = "an object",
		[json_type_array] = "a list",
		[json_type_string] = "a string",
	};

	if (json_object_get_type(v) == type)
		return 0;
	return jobread_fail(r, "must be %s", names[type]);
}

const char *
jobread_text(struct jobread *r, json_object *v, size_t min, size_t max)
{
	size_t len;

	if (jobread_want(r, v, json_type_string))
		return NULL;
	len = (size_t)json_object_get_string_len(v);
	if (!len && min) {
		jobread_fail(r, "must not be empty");
		return NULL;
	}
	if (len > max) {
		jobread_fail(r, "is longer than %zu bytes", max);
		return NULL;
	}
	return json_object_get_string(v);
}

int
jobread_int(struct jobread *r, const struct jobread_field *f, json_object *v,
	    int64_t *n)
{
	if (jobread_want(r, v, json_type_int))
		return -1;
	*n = json_object_get_int64(v);
	if (*n < f->min || *n > f->max)
		return jobread_fail(r, "must be %lld to %lld", (long long)f->min,
				    (long long)f->max);
	return 0;
}

int
jobread_object(struct jobread *r, const struct jobread_field *table, size_t n,
	       json_object *v, void *obj)
{
	if (jobread_want(r, v, json_type_object))
		return -1;
	for (struct lh_entry *m = json_object_get_object(v)->head; m; m = m->next) {
		const char *name = lh_entry_k(m);
		size_t mark = jobread_enter(r, name), i = 0;

		while (i < n && strcmp(table[i].name, name))
			i++;
		if (i == n)
			return jobread_fail(r, "unknown field");
		if (table[i].parse(r, &table[i], lh_entry_v(m), obj))
			return -1;
		jobread_leave(r, mark);
	}
	return 0;
}

static int
on_compare_env(const void *a, const void *b)
{
	return strcmp(((const struct env_var *)a)->name,
		      ((const struct env_var *)b)->name);
}

int
jobread_env(struct jobread *r, json_object *v, struct env_var **env, size_t *n)
{
	if (jobread_want(r, v, json_type_object))
		return -1;
	if (json_object_object_length(v) > JOBREAD_ENV_VARS_MAX)
		return jobread_fail(r, "has more than %d variables",
				    JOBREAD_ENV_VARS_MAX);
	*env = xcalloc((size_t)json_object_object_length(v), sizeof(**env));
	for (struct lh_entry *m = json_object_get_object(v)->head; m; m = m->next) {
		const char *name = lh_entry_k(m);
		size_t mark = jobread_enter(r, name);
		const char *wrong = jobspec_check_env_name(name), *value;

		if (wrong)
			return jobread_fail(r, "%s", wrong);
		value = jobread_text(r, lh_entry_v(m), 0, JOBSPEC_ENV_VALUE_MAX);
		if (!value)
			return -1;
		(*env)[*n].name = xstrdup(name);
		(*env)[(*n)++].value = xstrdup(value);
		r->env_bytes += strlen(name) + strlen(value) + 2;
		if (r->env_bytes > JOBREAD_ENV_BYTES_MAX)
			return jobread_fail(r, "the job's variables exceed %u KiB",
					    JOBREAD_ENV_BYTES_MAX >> 10);
		jobread_leave(r, mark);
	}
	qsort(*env, *n, sizeof(**env), on_compare_env);
	return 0;
}

static int
jobread_secret_name(struct jobread *r, const struct jobread_field *f, json_object *v,
		    void *obj)
{
	const char *s = jobread_text(r, v, 1, JOBSPEC_NAME_MAX);
	const char *wrong = s ? jobspec_check_secret_name(s) : NULL;

	if (!s)
		return -1;
	if (wrong)
		return jobread_fail(r, "%s", wrong);
	((struct secret_ref *)obj)->name = xstrdup(s);
	return 0;
}

static int
jobread_secret_file(struct jobread *r, const struct jobread_field *f, json_object *v,
		    void *obj)
{
	if (jobread_want(r, v, json_type_boolean))
		return -1;
	((struct secret_ref *)obj)->file = json_object_get_boolean(v);
	return 0;
}

static const struct jobread_field secret_fields[] = {
	{ .name = "name", .parse = jobread_secret_name },
	{ .name = "file", .parse = jobread_secret_file },
};

/* env is checked and set here; ref->name comes from a string or {name, file}. */
static int
jobread_secret(struct jobread *r, const char *env, json_object *v,
	       struct secret_ref *ref)
{
	const char *wrong = jobspec_check_env_name(env);
	int rc;

	if (wrong)
		return jobread_fail(r, "%s", wrong);
	if (++r->nsecrets > JOBREAD_SECRETS_MAX)
		return jobread_fail(r, "the job has more than %d secrets",
				    JOBREAD_SECRETS_MAX);
	ref->env = xstrdup(env);
	if (json_object_is_type(v, json_type_object))
		rc = jobread_object(r, secret_fields, ARRAY_LEN(secret_fields), v, ref);
	else
		rc = jobread_secret_name(r, NULL, v, ref);
	if (!rc && !ref->name)
		return jobread_fail_at(r, "name", "missing");
	return rc;
}

static int
on_compare_secrets(const void *a, const void *b)
{
	return strcmp(((const struct secret_ref *)a)->env,
		      ((const struct secret_ref *)b)->env);
}

static int
jobread_secret_list(struct jobread *r, json_object *v, struct secret_ref *refs,
		    size_t *n)
{
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		size_t mark = jobread_enter_item(r, i);
		json_object *item = json_object_array_get_idx(v, i);
		const char *name = jobread_text(r, item, 1, JOBSPEC_NAME_MAX);

		if (!name)
			return -1;
		(*n)++;
		if (jobread_secret(r, name, item, &refs[i]))
			return -1;
		jobread_leave(r, mark);
	}
	return 0;
}

static int
jobread_secret_map(struct jobread *r, json_object *v, struct secret_ref *refs,
		   size_t *n)
{
	for (struct lh_entry *m = json_object_get_object(v)->head; m; m = m->next) {
		size_t mark = jobread_enter(r, lh_entry_k(m));
		struct secret_ref *ref = &refs[(*n)++];

		if (jobread_secret(r, lh_entry_k(m), lh_entry_v(m), ref))
			return -1;
		jobread_leave(r, mark);
	}
	return 0;
}

int
jobread_secrets(struct jobread *r, json_object *v, struct secret_ref **refs, size_t *n)
{
	bool list = json_object_is_type(v, json_type_array);
	size_t count;

	if (!list && !json_object_is_type(v, json_type_object))
		return jobread_fail(r, "must be a list of names or an object");
	count = list ? json_object_array_length(v)
		     : (size_t)json_object_object_length(v);
	if (count > JOBREAD_SECRETS_MAX)
		return jobread_fail(r, "the job has more than %d secrets",
				    JOBREAD_SECRETS_MAX);
	*refs = xcalloc(count, sizeof(**refs));
	if (list ? jobread_secret_list(r, v, *refs, n)
		 : jobread_secret_map(r, v, *refs, n))
		return -1;
	qsort(*refs, *n, sizeof(**refs), on_compare_secrets);
	for (size_t i = 1; i < *n; i++)
		if (!strcmp((*refs)[i - 1].env, (*refs)[i].env))
			return jobread_fail(r, "%s is there twice", (*refs)[i].env);
	return 0;
}

/* Both would set the same variable; which one wins must not be a guess. */
int
jobread_check_clash(struct jobread *r, const struct env_var *env, size_t nenv,
		    const struct secret_ref *refs, size_t nrefs)
{
	for (size_t i = 0; i < nrefs; i++) {
		struct env_var key = { .name = refs[i].env };
		size_t mark;

		if (!nenv || !bsearch(&key, env, nenv, sizeof(key), on_compare_env))
			continue;
		mark = jobread_enter(r, "secrets");
		jobread_fail_at(r, refs[i].env, "is in env as well");
		jobread_leave(r, mark);
		return -1;
	}
	return 0;
}

int
jobread_strings(struct jobread *r, const struct jobread_field *f, json_object *v,
		char ***out, size_t *n)
{
	if (jobread_want(r, v, json_type_array))
		return -1;
	if (json_object_array_length(v) > (size_t)f->max)
		return jobread_fail(r, "has more than %d items", (int)f->max);
	*out = xcalloc(json_object_array_length(v), sizeof(**out));
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		size_t mark = jobread_enter_item(r, i);
		const char *s = jobread_text(r, json_object_array_get_idx(v, i), 1,
					     JOBREAD_ITEM_MAX);
		const char *wrong = s ? f->check(s) : NULL;

		if (!s)
			return -1;
		if (wrong)
			return jobread_fail(r, "%s", wrong);
		(*out)[(*n)++] = xstrdup(s);
		jobread_leave(r, mark);
	}
	return 0;
}
