#include "web_priv.h"

#include <string.h>

#include "body.h"
#include "slipway/mem.h"

/*
 *	pause, drain, resume → engine_set_mode → on_mode_set → the new state
 *	maintenance → engine_forget_old → on_forgotten → what went
 *	reload → on_reload, out of the handler: it takes apart what that stands on
 *	       → on_reloaded, with every runner opened anew → what waits for a restart
 *
 * As with verbs on jobs, each calls back exactly once, the client there or not.
 */

struct call {
	struct web *web;
	struct http_req req;
	bool dry;
	struct strbuf restart;
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
add_text(struct json_object *o, const char *key, const char *text)
{
	if (*text)
		json_object_object_add(o, key, json_object_new_string(text));
}

/* {state, by?, reason?, since?, queued, running, slots} */
static struct json_object *
state_object(struct web *w)
{
	struct json_object *o = json_object_new_object();
	struct engine_stats s;

	engine_stats(w->d.engine, &s);
	add_text(o, "state", engine_mode_name(s.hold.mode));
	add_text(o, "by", s.hold.by);
	add_text(o, "reason", s.hold.reason);
	if (s.hold.since)
		json_object_object_add(o, "since", json_object_new_int64(s.hold.since));
	json_object_object_add(o, "queued", json_object_new_int64(s.queued));
	json_object_object_add(o, "running", json_object_new_int64(s.running));
	json_object_object_add(o, "slots", json_object_new_int64(s.slots));
	return o;
}

void
api_admin_status(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	struct web *w = arg;
	/* Whoever asks stands elsewhere. */
	cleanup_free char *dir = realpath(w->conf->state_dir, NULL);
	struct json_object *o;

	if (!web_query_only(r, allowed))
		return;
	o = state_object(w);
	add_text(o, "stateDir", dir ? dir : w->conf->state_dir);
	add_text(o, "publicUrl", w->conf->public_url);
	json_object_object_add(o, "dev", json_object_new_boolean(w->conf->dev));
	http_set_header(r, "Cache-Control", "no-store");
	web_reply_json(r, 200, o);
}

/* Modes */

static void
on_mode_set(void *arg)
{
	struct call *c = arg;

	if (http_req_alive(c->req))
		web_reply_json(c->req, 200, state_object(c->web));
	free(c);
}

static void
mode_set(struct http_req r, struct web *w, enum engine_mode mode,
	 const char *const *fields)
{
	static const char *const allowed[] = { NULL };
	cleanup_free char *by = web_actor(r);
	struct json_object *body;
	const char *reason = NULL;
	struct err e = { 0 };

	if (!web_query_only(r, allowed))
		return;
	body = body_object(r, fields, &e);
	if (body)
		reason = body_text(body, "reason", ENGINE_REASON_MAX, &e);
	if (reason)
		engine_set_mode(w->d.engine, mode, by, reason, on_mode_set,
				call_new(w, r));
	else
		http_reply_err(r, &e);
	json_object_put(body);
}

void
api_admin_pause(struct http_req r, void *arg)
{
	static const char *const fields[] = { "reason", NULL };

	mode_set(r, arg, ENGINE_PAUSED, fields);
}

void
api_admin_drain(struct http_req r, void *arg)
{
	static const char *const fields[] = { "reason", NULL };

	mode_set(r, arg, ENGINE_DRAINING, fields);
}

void
api_admin_resume(struct http_req r, void *arg)
{
	static const char *const fields[] = { NULL };

	mode_set(r, arg, ENGINE_OPEN, fields);
}

/* Those that take no fields */

static bool
takes_nothing(struct http_req r, const char *const *queries)
{
	static const char *const fields[] = { NULL };
	struct err e = { 0 };
	struct json_object *body;

	if (!web_query_only(r, queries))
		return false;
	body = body_object(r, fields, &e);
	if (!body)
		http_reply_err(r, &e);
	json_object_put(body);
	return body != NULL;
}

void
api_worker(struct http_req r, void *arg)
{
	static const char *const queries[] = { NULL };
	struct web *w = arg;
	struct json_object *o;

	if (!takes_nothing(r, queries))
		return;
	engine_schedule(w->d.engine);
	o = json_object_new_object();
	add_text(o, "message", "Scheduling");
	web_reply_json(r, 202, o);
}

static struct json_object *
lines_array(const char *text)
{
	struct json_object *list = json_object_new_array();

	for (text += strspn(text, "\n"); *text; text += strspn(text, "\n")) {
		size_t len = strcspn(text, "\n");

		json_object_array_add(list, json_object_new_string_len(text, (int)len));
		text += len;
	}
	return list;
}

static void
on_reloaded(void *arg)
{
	struct call *c = arg;
	struct json_object *o;

	if (http_req_alive(c->req)) {
		o = json_object_new_object();
		json_object_object_add(o, "reloaded", json_object_new_boolean(true));
		json_object_object_add(o, "restartNeeded",
				       lines_array(strbuf_str(&c->restart)));
		web_reply_json(c->req, 200, o);
	}
	strbuf_free(&c->restart);
	free(c);
}

static void
on_reload(void *arg)
{
	struct call *c = arg;
	struct err e = { 0 };

	if (c->web->d.reload(c->web->d.arg, &c->restart, on_reloaded, c, &e) == 0)
		return;
	/* The request is fine, what it would put in force is not. */
	e.code = ERR_CONFLICT;
	http_reply_err(c->req, &e);
	strbuf_free(&c->restart);
	free(c);
}

void
api_admin_reload(struct http_req r, void *arg)
{
	static const char *const queries[] = { NULL };
	struct web *w = arg;

	if (takes_nothing(r, queries))
		loop_defer(w->d.loop, on_reload, call_new(w, r));
}

static void
on_forgotten(void *arg, const struct err *err, const struct engine_forgotten *f)
{
	struct call *c = arg;
	struct json_object *o, *jobs, *ids;

	if (err) {
		http_reply_err(c->req, err);
	} else if (http_req_alive(c->req)) {
		o = json_object_new_object();
		jobs = json_object_new_object();
		ids = json_object_new_array();
		for (unsigned i = 0; i < f->jobs && i < ENGINE_FORGOTTEN_IDS; i++)
			json_object_array_add(ids, json_object_new_string(f->ids[i]));
		json_object_object_add(o, "dryRun", json_object_new_boolean(c->dry));
		json_object_object_add(jobs, "deleted", json_object_new_int64(f->jobs));
		json_object_object_add(jobs, "ids", ids);
		json_object_object_add(o, "jobs", jobs);
		web_reply_json(c->req, 200, o);
	}
	free(c);
}

void
api_admin_maintenance(struct http_req r, void *arg)
{
	static const char *const queries[] = { "dryRun", NULL };
	struct web *w = arg;
	struct call *c;
	bool dry = false;

	if (!takes_nothing(r, queries) || !web_query_bool(r, "dryRun", &dry))
		return;
	c = call_new(w, r);
	c->dry = dry;
	engine_forget_old(w->d.engine, dry, on_forgotten, c);
}
