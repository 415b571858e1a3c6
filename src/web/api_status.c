#include "web_priv.h"

#include <string.h>

#include "api_view.h"
#include "log_tail.h"
#include "query.h"
#include "slipway/db_job.h"
#include "slipway/logread.h"
#include "slipway/mem.h"
#include "status_cache.h"

/*
 *	wait=0 → answer
 *	wait=s → subscribe → on_event → on_look → changed? answer
 *	                   → on_timeout → answer
 *	answer → 304, or the log's end is read → on_output → 200
 *
 * A final job's answer is kept and sent again as long as nothing changes.
 */

#define WAIT_MAX 60 /* s */
#define ATTEMPTS_SHOWN 20

struct status {
	struct web_task task;
	char id[JOB_ID_MAX + 1];
	char seen[VIEW_ETAG_MAX]; /* when the waiting began */
	char etag[VIEW_ETAG_MAX]; /* when the reading of the output began */
	bool looking, answering;
	struct bus_sub *sub;
	struct loop_timer *timer;
	struct log_tail *tail;
	struct step_outputs out;
};

static void
status_release(struct web_task *t)
{
	struct status *s = (struct status *)t;

	bus_unsubscribe(s->sub);
	loop_timer_free(s->timer);
	log_tail_free(s->tail);
	s->sub = NULL;
	s->timer = NULL;
	s->tail = NULL;
}

static void
status_destroy(struct web_task *t)
{
	step_outputs_free(&((struct status *)t)->out);
}

static void
etag_of(struct web *w, const struct job_view *v, char out[VIEW_ETAG_MAX])
{
	struct logread *reader = logread_new(w->d.loop, w->d.pool, w->conf->state_dir,
					     v->job.id, v->attempt.number);

	view_etag(v, logread_size(reader), out);
	logread_free(reader);
}

/* The last ones; the present one is newer than what the view was made of at most by
 * what is about to be shown in the next answer. */
static struct json_object *
attempts_of(struct web *w, const struct job *j)
{
	struct json_object *list = json_object_new_array();
	struct attempt *a = xmalloc(sizeof(*a));
	unsigned first = j->attempt > ATTEMPTS_SHOWN ? j->attempt - ATTEMPTS_SHOWN + 1
						     : 1;

	for (unsigned n = first; n <= j->attempt; n++)
		if (db_attempt_get(w->d.db, j->id, n, a, NULL) == 1)
			json_object_array_add(list, view_attempt(a));
	free(a);
	return list;
}

static void
reply_kept(struct http_req r, const struct status_answer *a)
{
	const char *known = http_req_header(r, "If-None-Match");

	http_set_header(r, "ETag", a->etag);
	if (known && query_etag_matches(known, a->etag)) {
		http_reply(r, 304, NULL, NULL, 0);
		return;
	}
	http_set_header(r, "Cache-Control", "no-cache");
	http_reply(r, 200, "application/json", a->body, a->len);
}

static bool
try_kept(struct web *w, struct http_req r, const char *id)
{
	cleanup_strbuf struct strbuf base = { 0 };
	const struct status_answer *a;

	web_base_url(w, r, &base);
	a = status_cache_get(w->statuses, id, strbuf_str(&base));
	if (!a || a->version != db_version(w->d.db))
		return false;
	reply_kept(r, a);
	return true;
}

/* Something was committed: the same, when it does not concern this job. */
static bool
try_kept_as(struct web *w, struct http_req r, const char *id, const char *etag)
{
	cleanup_strbuf struct strbuf base = { 0 };
	struct status_answer *a;

	web_base_url(w, r, &base);
	a = status_cache_get(w->statuses, id, strbuf_str(&base));
	if (!a || strcmp(a->etag, etag) != 0)
		return false;
	a->version = db_version(w->d.db);
	reply_kept(r, a);
	return true;
}

static void
keep(struct web *w, const char *base, const struct job_view *v, const char *etag,
     struct json_object *o)
{
	struct status_answer a = { .version = db_version(w->d.db) };

	if (!job_state_is_final(v->job.state))
		return;
	STR_COPY(a.etag, etag);
	a.body = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &a.len);
	status_cache_put(w->statuses, v->job.id, base, &a);
}

static void
status_reply(struct status *s, const struct jobspec *spec)
{
	struct web *w = s->task.web;
	struct http_req r = s->task.req;
	cleanup_strbuf struct strbuf base = { 0 };
	struct job_view v;
	struct view_in in = { .v = &v, .spec = spec, .out = &s->out };
	char etag[VIEW_ETAG_MAX];
	struct json_object *o;

	if (!web_view_load(w, r, s->id, &v))
		return;
	web_base_url(w, r, &base);
	in.base_url = strbuf_str(&base);
	o = view_job(&in);
	json_object_object_add(o, "attempts", attempts_of(w, &v.job));
	etag_of(w, &v, etag);
	if (strcmp(s->etag, etag) == 0)
		keep(w, in.base_url, &v, etag, o);
	http_set_header(r, "ETag", etag);
	http_set_header(r, "Cache-Control", "no-cache");
	web_reply_json(r, 200, o);
}

static void
on_output(void *arg)
{
	struct status *s = arg;
	struct jobspec *spec = web_spec_load(s->task.web, s->id, NULL);

	status_reply(s, spec);
	jobspec_free(spec);
	web_task_end(&s->task);
}

static void
status_answer(struct status *s)
{
	struct web *w = s->task.web;
	struct http_req r = s->task.req;
	const char *known = http_req_header(r, "If-None-Match");
	char etag[VIEW_ETAG_MAX];
	struct job_view v;

	if (s->answering)
		return;
	s->answering = true;
	if (!web_view_load(w, r, s->id, &v)) {
		web_task_end(&s->task);
		return;
	}
	etag_of(w, &v, etag);
	if (known && query_etag_matches(known, etag)) {
		http_set_header(r, "ETag", etag);
		http_reply(r, 304, NULL, NULL, 0);
		web_task_end(&s->task);
		return;
	}
	if (job_state_is_final(v.job.state) && try_kept_as(w, r, s->id, etag)) {
		web_task_end(&s->task);
		return;
	}
	STR_COPY(s->etag, etag);
	step_outputs_init(&s->out, JOB_STEPS_MAX);
	if (v.attempt.number && v.attempt.number == v.job.attempt)
		s->tail = log_tail_new(w, s->id, v.attempt.number, &s->out, on_output,
				       s);
	else
		on_output(s);
}

/* Waiting */

static void
on_timeout(void *arg)
{
	status_answer(arg);
}

static void
on_look(void *arg)
{
	struct status *s = arg;
	char etag[VIEW_ETAG_MAX];
	struct job_view v;

	s->looking = false;
	if (s->task.ended || s->answering)
		return;
	if (engine_view(s->task.web->d.engine, s->id, &v, NULL) == 1) {
		view_etag(&v, 0, etag);
		if (view_etag_same_state(s->seen, etag))
			return;
	}
	status_answer(s);
}

/* Who publishes may be in the midst of changing things: look when it is done. */
static void
on_event(void *arg, const struct bus_event *ev)
{
	struct status *s = arg;

	if (ev->what != BUS_JOB || s->looking || s->answering)
		return;
	s->looking = true;
	loop_defer(s->task.web->d.loop, on_look, s);
}

/* A job that is final has no next change worth waiting for, and a client that tells an
 * older state has missed one. */
static bool
worth_waiting(const struct status *s, const struct job_view *v)
{
	const char *known = http_req_header(s->task.req, "If-None-Match");

	if (job_state_is_final(v->job.state))
		return false;
	return !known || *known != '"' || view_etag_same_state(s->seen, known);
}

void
api_status(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "id", "wait", NULL };
	struct web *w = arg;
	uint64_t wait = 0;
	struct job_view v;
	struct status *s;
	const char *id;

	if (!web_query_only(r, allowed) || !(id = web_query_id(r)) ||
	    !web_query_uint(r, "wait", WAIT_MAX, &wait) || try_kept(w, r, id) ||
	    !web_view_load(w, r, id, &v))
		return;
	s = xcalloc(1, sizeof(*s));
	s->task.what = "status";
	s->task.release = status_release;
	s->task.destroy = status_destroy;
	STR_COPY(s->id, id);
	view_etag(&v, 0, s->seen);
	web_task_begin(&s->task, w, r);
	if (wait == 0 || !worth_waiting(s, &v)) {
		status_answer(s);
		return;
	}
	s->sub = bus_subscribe(w->d.bus, s->id, on_event, s);
	s->timer = loop_timer_new(w->d.loop, on_timeout, s);
	loop_timer_set(s->timer, (int64_t)wait * 1000);
}
