#include "web_priv.h"

#include <string.h>

#include "query.h"
#include "slipway/db_job.h"
#include "slipway/logread.h"
#include "slipway/mem.h"
#include "stream.h"

/* GET /jobs/logs: what the client asks for, checked; stream.c does the rest. */

#define TAIL_MAX 100000

static bool
parse_form(struct http_req r, struct stream_opts *o)
{
	const char *format = http_req_query(r, "format");
	const char *accept = http_req_header(r, "Accept");
	bool text = false;

	if (!format)
		text = accept && query_accepts(accept, "text/plain") &&
		       !query_accepts(accept, "text/event-stream");
	else if (strcmp(format, "text") == 0)
		text = true;
	else if (strcmp(format, "sse") != 0) {
		web_reply_field(r, "format", "format must be text or sse");
		return false;
	}
	o->form = text ? &render_text : &render_sse;
	o->follow = !text;
	if (!text && http_req_query(r, "timestamps")) {
		web_reply_field(r, "timestamps", "timestamps go with format=text");
		return false;
	}
	return web_query_bool(r, "follow", &o->follow) &&
	       web_query_bool(r, "timestamps", &o->times);
}

/* A step's index, or its name. */
static bool
parse_step(struct http_req r, struct stream_opts *o)
{
	const char *s = http_req_query(r, "step");
	size_t nsteps = o->spec ? o->spec->nsteps : 0;
	uint64_t index;

	o->step = RENDER_ALL_STEPS;
	if (!s)
		return true;
	if (query_uint(s, JOB_STEPS_MAX, &index)) {
		o->step = index < nsteps ? (int)index : RENDER_ALL_STEPS;
	} else {
		for (size_t i = nsteps; i-- > 0;)
			if (strcmp(o->spec->steps[i].name, s) == 0)
				o->step = (int)i;
	}
	if (o->step == RENDER_ALL_STEPS)
		web_reply_field(r, "step", "the job has no such step");
	return o->step != RENDER_ALL_STEPS;
}

static bool
parse_attempt(struct http_req r, struct stream_opts *o)
{
	uint64_t n = 0;

	if (!web_query_uint(r, "attempt", UINT32_MAX, &n))
		return false;
	o->attempt = o->view->job.attempt;
	if (!http_req_query(r, "attempt"))
		return true;
	o->pinned = true;
	o->attempt = (unsigned)n;
	if (n == 0 || n > o->view->job.attempt)
		web_reply_field(r, "attempt", "the job has no such attempt");
	return n > 0 && n <= o->view->job.attempt;
}

static const char *
skip_blanks(const char *s)
{
	return s + strspn(s, " \t");
}

/* Last-Event-ID comes from clients that lost their stream, and says more than the URL
 * that they began with. A place in an attempt that is over means: the present one. */
static bool
parse_place(struct http_req r, struct stream_opts *o)
{
	const char *last = http_req_header(r, "Last-Event-ID");
	const char *offset = http_req_query(r, "offset");
	const char *place = last && *skip_blanks(last) ? last : offset;
	unsigned attempt;
	uint64_t at;

	o->offset = LOGREAD_START;
	if (!web_query_uint(r, "tail", TAIL_MAX, &o->tail))
		return false;
	if (offset && o->tail) {
		web_reply_field(r, "tail", "give either an offset or a tail");
		return false;
	}
	if (!place)
		return true;
	if (!query_place(place, &attempt, &at) || attempt > o->view->job.attempt) {
		web_reply_field(
			r, place == last ? "Last-Event-ID" : "offset",
			"must be <offset> or <attempt>-<offset>, as event ids are");
		return false;
	}
	o->tail = 0;
	if ((!attempt || attempt == o->attempt) && at > LOGREAD_START)
		o->offset = at;
	return true;
}

void
api_logs(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "id",	 "step",   "offset",  "tail",
					       "follow", "format", "attempt", "timestamps",
					       NULL };
	struct stream_opts o = { 0 };
	struct web *w = arg;
	struct jobspec *spec;
	struct job_view v;

	if (!web_query_only(r, allowed) || !(o.id = web_query_id(r)) ||
	    !parse_form(r, &o) || !web_view_load(w, r, o.id, &v))
		return;
	o.view = &v;
	o.spec = spec = web_spec_load(w, o.id, NULL);
	if (parse_step(r, &o) && parse_attempt(r, &o) && parse_place(r, &o))
		stream_begin(w, r, &o);
	jobspec_free(spec);
}
