#include "web_priv.h"

#include <string.h>

#include "lines_view.h"
#include "query.h"
#include "slipway/logread.h"
#include "slipway/mem.h"

/*
 *	wait=s, and the log is no longer than `after` → on_event, on_timeout → read
 *	else                                          → read → on_lines → reply
 */

#define WAIT_MAX 60 /* s */
#define COUNT_DEFAULT 500

struct lines_req {
	struct web_task task;
	char id[JOB_ID_MAX + 1];
	unsigned attempt;
	struct line_window want;
	bool over; /* the log was complete when reading began */
	bool reading;
	struct bus_sub *sub;
	struct loop_timer *timer;
	struct lineindex *index;
};

static void
lines_release(struct web_task *t)
{
	struct lines_req *q = (struct lines_req *)t;

	bus_unsubscribe(q->sub);
	loop_timer_free(q->timer);
	lineindex_free(q->index);
	q->sub = NULL;
	q->timer = NULL;
	q->index = NULL;
}

/* [first line of each step that began, else null] */
static void
add_steps(struct strbuf *out, const struct line_window *w)
{
	unsigned n = JOB_STEPS_MAX;

	while (n > 0 && !w->first[n - 1])
		n--;
	strbuf_addc(out, '[');
	for (unsigned i = 0; i < n; i++) {
		strbuf_adds(out, i ? "," : "");
		if (w->first[i])
			strbuf_addf(out, "%llu", (unsigned long long)w->first[i]);
		else
			strbuf_adds(out, "null");
	}
	strbuf_addc(out, ']');
}

/* found: the line that has the text; next: where to look on, null when there is no
 * more. */
static void
add_found(struct strbuf *out, const struct line_window *w)
{
	if (w->found)
		strbuf_addf(out, ",\"found\":%llu", (unsigned long long)w->found);
	else
		strbuf_adds(out, ",\"found\":null");
	if (!w->found && w->from)
		strbuf_addf(out, ",\"next\":%llu", (unsigned long long)w->from);
	else
		strbuf_adds(out, ",\"next\":null");
}

static void
lines_reply(struct lines_req *q, const struct line_window *w, const char *lines)
{
	cleanup_strbuf struct strbuf out = { 0 };

	/* Ids hold nothing that JSON would want escaped. */
	strbuf_addf(&out,
		    "{\"id\":\"%s\",\"attempt\":%u,\"total\":%llu,\"complete\":%s,"
		    "\"end\":%llu,\"steps\":",
		    q->id, q->attempt, (unsigned long long)w->total,
		    q->over ? "true" : "false", (unsigned long long)w->end);
	add_steps(&out, w);
	if (*w->find)
		add_found(&out, w);
	strbuf_addf(&out, ",\"lines\":%s}", lines);
	http_set_header(q->task.req, "Cache-Control", "no-cache");
	http_reply(q->task.req, 200, "application/json", out.data, out.len);
}

static void
on_lines(void *arg, const struct err *err, const struct line_window *w,
	 const struct strbuf *out)
{
	struct lines_req *q = arg;
	struct line_window none = { 0 };

	if (!err)
		lines_reply(q, w, *w->find ? "[]" : strbuf_str(out));
	else if (err->code == ERR_NOT_FOUND && !q->over)
		lines_reply(q, &none, "[]"); /* nothing printed yet */
	else
		http_reply_err(q->task.req, err);
	web_task_end(&q->task);
}

static bool
log_is_over(const struct lines_req *q, const struct job_view *v)
{
	return q->attempt < v->job.attempt || job_state_is_final(v->job.state);
}

static void
lines_read(struct lines_req *q)
{
	struct web *w = q->task.web;
	struct job_view v;

	if (q->reading)
		return;
	q->reading = true;
	if (!web_view_load(w, q->task.req, q->id, &v)) {
		web_task_end(&q->task);
		return;
	}
	q->over = log_is_over(q, &v);
	q->index = lineindex_new(w->d.loop, w->d.pool, w->conf->state_dir, q->id,
				 q->attempt);
	lineindex_get(q->index, &q->want, lines_json, on_lines, q);
}

static void
on_timeout(void *arg)
{
	lines_read(arg);
}

/* Who publishes may be in the midst of changing things: read when it is done. */
static void
on_event(void *arg, const struct bus_event *ev)
{
	struct lines_req *q = arg;

	if (ev->what != BUS_SEAL && !q->reading)
		loop_timer_set(q->timer, 0);
}

static bool
has_grown(struct lines_req *q, uint64_t after)
{
	struct web *w = q->task.web;
	struct logread *reader = logread_new(w->d.loop, w->d.pool, w->conf->state_dir,
					     q->id, q->attempt);
	bool grown = logread_size(reader) > after;

	logread_free(reader);
	return grown;
}

static bool
parse_window(struct http_req r, struct line_window *want)
{
	const char *find = http_req_query(r, "find");
	uint64_t from = 1, count = COUNT_DEFAULT, tail = 0;

	if (!web_query_uint(r, "from", INT64_MAX, &from) ||
	    !web_query_uint(r, "count", LINES_MAX, &count) ||
	    !web_query_uint(r, "tail", LINES_MAX, &tail))
		return false;
	if (http_req_query(r, "tail") &&
	    (http_req_query(r, "from") || http_req_query(r, "count"))) {
		web_reply_field(r, "tail", "give either from and count, or a tail");
		return false;
	}
	if (find && (!*find || strlen(find) > LINES_FIND_MAX)) {
		web_reply_field(r, "find", "find must be a text of 1 to 200 bytes");
		return false;
	}
	want->from = from ? from : 1;
	want->tail = http_req_query(r, "tail") != NULL;
	want->count = (unsigned)(want->tail ? tail : count);
	STR_COPY(want->find, find ? find : "");
	return true;
}

static bool
parse_attempt(struct http_req r, const struct job *j, unsigned *attempt)
{
	uint64_t n = j->attempt;

	if (!web_query_uint(r, "attempt", UINT32_MAX, &n))
		return false;
	*attempt = (unsigned)n;
	if (n == 0 || n > j->attempt)
		web_reply_field(r, "attempt", "the job has no such attempt");
	return n > 0 && n <= j->attempt;
}

void
api_lines(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "id",	"attempt", "from",
					       "count", "tail",	   "find",
					       "after", "wait",	   NULL };
	uint64_t wait = 0, after = 0;
	struct line_window want = { 0 };
	struct web *w = arg;
	struct lines_req *q;
	struct job_view v;
	unsigned attempt;
	const char *id;

	if (!web_query_only(r, allowed) || !(id = web_query_id(r)) ||
	    !parse_window(r, &want) || !web_query_uint(r, "wait", WAIT_MAX, &wait) ||
	    !web_query_uint(r, "after", INT64_MAX, &after) ||
	    !web_view_load(w, r, id, &v) || !parse_attempt(r, &v.job, &attempt))
		return;
	q = xcalloc(1, sizeof(*q));
	q->task.what = "lines";
	q->task.release = lines_release;
	STR_COPY(q->id, id);
	q->attempt = attempt;
	q->want = want;
	web_task_begin(&q->task, w, r);
	if (wait == 0 || log_is_over(q, &v) || has_grown(q, after)) {
		lines_read(q);
		return;
	}
	q->sub = bus_subscribe(w->d.bus, q->id, on_event, q);
	q->timer = loop_timer_new(w->d.loop, on_timeout, q);
	loop_timer_set(q->timer, (int64_t)wait * 1000);
}
