#include "web_priv.h"

#include <string.h>

#include "api_view.h"
#include "body.h"
#include "slipway/id.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	submit, validate: body → parse (in the pool when it is long) → on_parsed
 *	    submit → engine_submit → on_submitted → 202
 *	    validate → engine_check → 200
 *	cancel, retry: body → engine verb → its answer
 *
 * None of these is a web_task: a verb calls back exactly once, whether the client is
 * still there or not, and only then its call is freed.
 */

#define PARSE_INLINE_MAX (64u << 10)

struct call {
	struct web *web;
	struct http_req req;
	void (*parsed)(struct call *c);
	char *body;
	size_t len;
	struct jobspec *spec;
	struct err err;
};

static struct call *
call_new(struct web *w, struct http_req r)
{
	struct call *c = xcalloc(1, sizeof(*c));

	c->web = w;
	c->req = r;
	return c;
}

static void
call_free(struct call *c)
{
	jobspec_free(c->spec);
	free(c->body);
	free(c);
}

static void
on_parse_work(void *arg)
{
	struct call *c = arg;

	c->spec = jobspec_parse(c->body, c->len, &c->err);
}

static void
on_parsed(void *arg)
{
	struct call *c = arg;

	if (!c->spec) {
		http_reply_err(c->req, &c->err);
		call_free(c);
	} else if (!http_req_alive(c->req)) {
		call_free(c);
	} else {
		if (c->spec->id)
			auth_note_job(c->req, c->spec->id);
		c->parsed(c);
	}
}

static void
call_parse(struct web *w, struct http_req r, void (*parsed)(struct call *))
{
	struct call *c = call_new(w, r);
	const char *body = http_req_body(r, &c->len);

	c->parsed = parsed;
	if (c->len <= PARSE_INLINE_MAX) {
		c->spec = jobspec_parse(body ? body : "", c->len, &c->err);
		on_parsed(c);
		return;
	}
	c->body = xmemdup(body, c->len);
	if (pool_submit(w->d.pool, POOL_IO, on_parse_work, on_parsed, c, &c->err)) {
		http_reply_err(r, &c->err);
		call_free(c);
	}
}

/* {message, jobId, url, queuePosition} with Location */
static void
reply_queued(struct call *c, int status, const struct engine_submitted *s)
{
	cleanup_strbuf struct strbuf url = { 0 };
	cleanup_free char *path = xasprintf("/jobs/status?id=%s", s->id);
	struct json_object *o;

	if (!http_req_alive(c->req))
		return;
	auth_note_job(c->req, s->id);
	web_base_url(c->web, c->req, &url);
	strbuf_adds(&url, path);
	o = json_object_new_object();
	json_object_object_add(o, "message", json_object_new_string("Job queued"));
	json_object_object_add(o, "jobId", json_object_new_string(s->id));
	json_object_object_add(o, "url", json_object_new_string(strbuf_str(&url)));
	json_object_object_add(o, "queuePosition", json_object_new_int64(s->position));
	http_set_header(c->req, "Location", path);
	web_reply_json(c->req, status, o);
}

static void
on_submitted(void *arg, const struct err *err, const struct engine_submitted *s)
{
	struct call *c = arg;

	if (err)
		http_reply_err(c->req, err);
	else
		reply_queued(c, s->existed ? 200 : 202, s);
	call_free(c);
}

static void
submit_parsed(struct call *c)
{
	engine_submit(c->web->d.engine, c->spec, on_submitted, c);
}

void
api_submit(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };

	if (web_query_only(r, allowed))
		call_parse(arg, r, submit_parsed);
}

static void
validate_parsed(struct call *c)
{
	cleanup_strbuf struct strbuf warnings = { 0 };
	struct web *w = c->web;
	struct json_object *o;

	if (engine_check(w->d.engine, c->spec, &warnings, &c->err)) {
		http_reply_err(c->req, &c->err);
	} else {
		o = json_object_new_object();
		json_object_object_add(o, "valid", json_object_new_boolean(true));
		json_object_object_add(o, "plan",
				       view_plan(c->spec, w->conf,
						 strbuf_str(&warnings)));
		web_reply_json(c->req, 200, o);
	}
	call_free(c);
}

void
api_validate(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };

	if (web_query_only(r, allowed))
		call_parse(arg, r, validate_parsed);
}

/* Verbs on a job */

/* jobId, malloc'ed; *body is the rest, for the caller to look at and to put. */
static char *
body_job_id(struct http_req r, const char *const *allowed, struct json_object **body,
	    struct err *e)
{
	struct json_object *o = body_object(r, allowed, e), *id;
	char *out;

	*body = NULL;
	if (!o)
		return NULL;
	id = json_object_object_get(o, "jobId");
	if (!json_object_is_type(id, json_type_string) ||
	    json_object_get_string_len(id) == 0) {
		err_field(e, ERR_INVALID, "jobId", "jobId must be the id of a job");
		json_object_put(o);
		return NULL;
	}
	out = xstrdup(json_object_get_string(id));
	auth_note_job(r, out);
	*body = o;
	return out;
}

static void
reply_cancel(struct http_req r, bool cancelled, const char *reason)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "cancelled", json_object_new_boolean(cancelled));
	if (!cancelled)
		json_object_object_add(o, "reason", json_object_new_string(reason));
	web_reply_json(r, 200, o);
}

static void
on_cancelled(void *arg, bool cancelled, const char *reason)
{
	struct call *c = arg;

	reply_cancel(c->req, cancelled, reason);
	call_free(c);
}

void
api_cancel(struct http_req r, void *arg)
{
	static const char *const fields[] = { "jobId", NULL };
	static const char *const queries[] = { NULL };
	struct web *w = arg;
	struct json_object *body;
	struct err e = { 0 };
	cleanup_free char *id = NULL, *by = NULL;

	if (!web_query_only(r, queries))
		return;
	id = body_job_id(r, fields, &body, &e);
	if (!id) {
		http_reply_err(r, &e);
		return;
	}
	json_object_put(body);
	if (!id_is_valid(id)) {
		reply_cancel(r, false, "no such job");
		return;
	}
	by = web_actor(r);
	engine_cancel(w->d.engine, id, by, on_cancelled, call_new(w, r));
}

static void
on_retried(void *arg, const struct err *err, const struct engine_submitted *s)
{
	struct call *c = arg;

	if (err)
		http_reply_err(c->req, err);
	else
		reply_queued(c, 202, s);
	call_free(c);
}

static int
retry_check(struct json_object *body, struct err *e)
{
	struct json_object *resume = json_object_object_get(body, "resume");

	if (json_object_object_get_ex(body, "fromStep", NULL))
		return err_field(e, ERR_INVALID, "fromStep",
				 "retrying from a step is not supported yet");
	if (resume && !json_object_is_type(resume, json_type_boolean))
		return err_field(e, ERR_INVALID, "resume",
				 "resume must be true or false");
	if (json_object_get_boolean(resume))
		return err_field(e, ERR_INVALID, "resume",
				 "resuming is not supported yet");
	return 0;
}

void
api_retry(struct http_req r, void *arg)
{
	static const char *const fields[] = { "jobId", "fromStep", "resume", NULL };
	static const char *const queries[] = { NULL };
	struct web *w = arg;
	struct json_object *body;
	struct err e = { 0 };
	cleanup_free char *id = NULL;

	if (!web_query_only(r, queries))
		return;
	id = body_job_id(r, fields, &body, &e);
	if (id && retry_check(body, &e) == 0) {
		if (id_is_valid(id))
			engine_retry(w->d.engine, id, on_retried, call_new(w, r));
		else
			err_field(&e, ERR_NOT_FOUND, "jobId", "no such job");
	}
	json_object_put(body);
	if (e.code)
		http_reply_err(r, &e);
}
