/*
 * jobread: reading one value of a submitted job out of parsed JSON.
 *
 * A reader knows the path it is at, for errors, and what the job has spent of its
 * limits so far. After an error the path stays where it was found. Readers of
 * objects go by a table of fields.
 */
#pragma once

#include <json-c/json.h>

#include "slipway/err.h"
#include "slipway/jobspec.h"

struct jobread {
	struct err *e;
	char path[sizeof(((struct err *)0)->field)];
	size_t len;
	size_t env_bytes, nsecrets;
};

struct jobread_field {
	const char *name;
	int (*parse)(struct jobread *, const struct jobread_field *, json_object *,
		     void *obj);
	size_t offset; /* in obj */
	int64_t min, max;
	const char *(*check)(const char *); /* what is wrong, or NULL */
};

/* ERR_INVALID at the current path; -1. */
int jobread_fail(struct jobread *r, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int jobread_fail_at(struct jobread *r, const char *name, const char *what);
/* One level down; the result goes to jobread_leave(). */
size_t jobread_enter(struct jobread *r, const char *name);
size_t jobread_enter_item(struct jobread *r, size_t i);
void jobread_leave(struct jobread *r, size_t mark);

int jobread_want(struct jobread *r, json_object *v, json_type type);
/* Owned by v; NULL on error. */
const char *jobread_text(struct jobread *r, json_object *v, size_t min, size_t max);
int jobread_int(struct jobread *r, const struct jobread_field *f, json_object *v,
		int64_t *n);
int jobread_object(struct jobread *r, const struct jobread_field *table, size_t n,
		   json_object *v, void *obj);
/* These allocate; what was read before an error is there for the caller to free. */
int jobread_strings(struct jobread *r, const struct jobread_field *f, json_object *v,
		    char ***out, size_t *n);
int jobread_env(struct jobread *r, json_object *v, struct env_var **env, size_t *n);
int jobread_secrets(struct jobread *r, json_object *v, struct secret_ref **refs,
		    size_t *n);
int jobread_check_clash(struct jobread *r, const struct env_var *env, size_t nenv,
			const struct secret_ref *refs, size_t nrefs);
