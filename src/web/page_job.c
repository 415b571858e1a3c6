#include "page.h"

#include <string.h>

#include "lines_view.h"
#include "page_steps.h"
#include "query.h"
#include "slipway/db_job.h"
#include "slipway/mem.h"

/*
 * GET /dashboard/jobs/<id>: a job, one of its attempts, and a window of its log.
 *
 *	query → window of the log (pool: read and made into rows) → on_lines → page
 *
 * With part=head the log's lines are left out: what the script wants when something
 * changed.
 */

#define ROOT "../../"
#define WINDOW 500
#define REFRESH 5 /* s, while the job lives and no script runs */

struct job_page {
	struct web_task task;
	char id[JOB_ID_MAX + 1];
	unsigned attempt; /* 0: the present one */
	bool head_only;
	struct line_window want;
	struct lineindex *index;
};

static void
job_page_release(struct web_task *t)
{
	struct job_page *j = (struct job_page *)t;

	lineindex_free(j->index);
	j->index = NULL;
}

/* What is shown, when the log has been read. */
struct shown {
	struct page *p;
	struct shown_attempt s;
	const struct line_window *w;
	const char *rows;
	struct strbuf url; /* of this page, from itself: "ID?attempt=1" */
	bool over;	   /* the log grows no more */
};

/* The head of the page */

static void
add_action(struct shown *x, const char *verb, const char *label, const char *class)
{
	strbuf_addf(&x->p->html,
		    "<form method=\"post\" action=\"%s/%s\" data-verb=\"%s\">"
		    "<button class=\"%s\" id=\"%s\">%s</button></form>\n",
		    x->s.v->job.id, verb, verb, class, verb, label);
}

static void
add_title(struct shown *x)
{
	struct page *p = x->p;
	const struct job *j = &x->s.v->job;

	strbuf_adds(&p->html, "<div class=\"title\"><div>");
	page_badge(&p->html, x->s.state);
	strbuf_adds(&p->html, "<h1>");
	page_title(&p->html, x->s.spec, x->s.v);
	strbuf_addf(&p->html,
		    "</h1><code class=\"id\">%s</code></div>"
		    "<div class=\"actions\">\n",
		    j->id);
	if (!job_state_is_final(j->state) && !j->cancel_wanted)
		add_action(x, "cancel", "Cancel", "danger");
	else if (!job_state_is_final(j->state))
		strbuf_adds(&p->html, "<button disabled>Cancelling…</button>");
	else
		add_action(x, "retry", "Retry",
			   j->state == JOB_SUCCESS ? "plain" : "main");
	strbuf_adds(&p->html, "</div></div>\n");
	page_fate(p, &x->s);
}

static void
fact(struct page *p, const char *name)
{
	strbuf_addf(&p->html, "<div><dt>%s</dt><dd>", name);
}

static void
fact_end(struct page *p)
{
	strbuf_adds(&p->html, "</dd></div>\n");
}

static void
add_source(struct page *p, const struct job *j, const struct attempt *a)
{
	bool web = strncmp(j->repo, "https://", 8) == 0;

	fact(p, "Repository");
	strbuf_adds(&p->html, web ? "<a rel=\"noreferrer\" href=\"" : "<span title=\"");
	html_text(&p->html, j->repo);
	strbuf_adds(&p->html, "\">");
	page_repo_name(&p->html, j->repo);
	strbuf_adds(&p->html, web ? "</a>" : "</span>");
	fact_end(p);
	if (*j->branch) {
		fact(p, "Branch");
		page_icon(&p->html, "branch");
		html_text(&p->html, j->branch);
		fact_end(p);
	}
	fact(p, "Commit");
	page_icon(&p->html, "commit");
	page_commit(&p->html, a && *a->sha ? a->sha : j->commit);
	fact_end(p);
}

static void
add_times(struct page *p, const struct shown_attempt *s)
{
	int64_t queued = s->a ? s->a->queued_at : s->v->job.queued_at;

	fact(p, "Queued");
	page_ago(p, queued ? queued : s->v->job.queued_at);
	fact_end(p);
	if (!s->a || !s->a->started_at)
		return;
	fact(p, "Waited");
	page_duration(p, queued, s->a->started_at);
	fact_end(p);
	fact(p, s->state == JOB_RUNNING ? "Running for" : "Took");
	page_duration(p, s->a->started_at,
		      s->state == JOB_RUNNING ? 0 : s->a->finished_at);
	fact_end(p);
}

static void
add_usage(struct page *p, const struct attempt *a)
{
	if (a->cpu_us) {
		fact(p, "CPU time");
		html_duration(&p->html, (int64_t)(a->cpu_us / 1000));
		fact_end(p);
	}
	if (a->max_rss) {
		fact(p, "Memory");
		html_bytes(&p->html, a->max_rss);
		fact_end(p);
	}
}

static void
add_facts(struct shown *x)
{
	const struct attempt *a = x->s.a;
	const struct job *j = &x->s.v->job;
	struct page *p = x->p;

	strbuf_adds(&p->html, "<dl class=\"facts\">\n");
	add_source(p, j, a);
	if (a && *a->runner) {
		fact(p, "Runner");
		page_icon(&p->html, "runner");
		html_text(&p->html, a->runner);
		fact_end(p);
	}
	add_times(p, &x->s);
	if (a && a->finished_at)
		add_usage(p, a);
	if (j->warnings && x->s.number == j->attempt) {
		fact(p, "Warnings");
		strbuf_addf(&p->html, "%u", j->warnings);
		fact_end(p);
	}
	fact(p, "Priority");
	strbuf_addf(&p->html, "%d", j->priority);
	fact_end(p);
	strbuf_adds(&p->html, "</dl>\n");
}

#define ATTEMPTS_SHOWN 20

static void
add_attempts(struct shown *x)
{
	const struct job *j = &x->s.v->job;
	struct page *p = x->p;
	unsigned first = j->attempt > ATTEMPTS_SHOWN ? j->attempt - ATTEMPTS_SHOWN + 1
						     : 1;

	if (j->attempt <= 1)
		return;
	strbuf_adds(&p->html, "<nav class=\"tabs\" aria-label=\"Attempts\">");
	for (unsigned n = j->attempt; n >= first; n--) {
		strbuf_addf(&p->html, "<a href=\"%s", j->id);
		if (n != j->attempt)
			strbuf_addf(&p->html, "?attempt=%u", n);
		strbuf_addf(&p->html, "\"%s>attempt %u</a>",
			    n == x->s.number ? " aria-current=\"page\"" : "", n);
	}
	strbuf_adds(&p->html, "</nav>\n");
}

/* The log */

static void
add_window_link(struct shown *x, const char *rel, const char *label, uint64_t from)
{
	cleanup_strbuf struct strbuf url = { 0 };
	char number[24];

	strbuf_adds(&url, strbuf_str(&x->url));
	snprintf(number, sizeof(number), "%llu", (unsigned long long)from);
	query_append(&url, "from", number);
	strbuf_adds(&url, "#log");
	strbuf_addf(&x->p->html, "<a rel=\"%s\"", rel);
	page_href(&x->p->html, &url);
	strbuf_addf(&x->p->html, ">%s</a>", label);
}

static void
add_windows(struct shown *x)
{
	const struct line_window *w = x->w;
	uint64_t after = w->from + w->n;

	strbuf_adds(&x->p->html,
		    "<nav class=\"windows\" aria-label=\"Parts of the log\">");
	if (w->n && w->from > 1)
		add_window_link(x, "prev", "Earlier lines",
				w->from > WINDOW ? w->from - WINDOW : 1);
	if (w->n && after <= w->total)
		add_window_link(x, "next", "Later lines", after);
	strbuf_adds(&x->p->html, "</nav>\n");
}

/* Its buttons are shown by the script, which they need. */
static void
add_bar(struct shown *x)
{
	struct page *p = x->p;
	const char *id = x->s.v->job.id;

	strbuf_adds(&p->html, "<div class=\"bar\"><h2>Log</h2><span id=\"lines\">");
	page_number(&p->html, x->w->total);
	strbuf_addf(&p->html, " line%s</span>", x->w->total == 1 ? "" : "s");
	strbuf_adds(
		&p->html,
		"<form class=\"find\" role=\"search\" hidden>"
		"<input type=\"search\" name=\"find\" maxlength=\"200\" "
		"placeholder=\"Find in log\" aria-label=\"Find in log\" "
		"autocomplete=\"off\" spellcheck=\"false\">"
		"<output></output></form>"
		"<button type=\"button\" id=\"times\" aria-pressed=\"false\" hidden>"
		"Times</button>"
		"<button type=\"button\" id=\"follow\" aria-pressed=\"false\" hidden>"
		"Follow</button>");
	strbuf_addf(&p->html,
		    "<a class=\"button\" href=\"" ROOT "jobs/logs?id=%s&amp;attempt=%u"
		    "&amp;format=text\" download=\"%s-%u.log\">Download</a></div>\n",
		    id, x->s.number, id, x->s.number);
}

static void
add_log(struct shown *x)
{
	struct page *p = x->p;
	const struct line_window *w = x->w;

	strbuf_addf(&p->html,
		    "<section class=\"log times\" id=\"log\" aria-label=\"Log\" "
		    "data-job=\"%s\" data-attempt=\"%u\" data-total=\"%llu\" "
		    "data-end=\"%llu\" data-complete=\"%d\" data-digits=\"%d\">\n",
		    x->s.v->job.id, x->s.number, (unsigned long long)w->total,
		    (unsigned long long)w->end, x->over,
		    snprintf(NULL, 0, "%llu", (unsigned long long)w->total));
	add_bar(x);
	strbuf_adds(&p->html, "<div class=\"view\" id=\"view\" tabindex=\"0\" "
			      "role=\"region\" aria-label=\"Lines of the log\">\n");
	strbuf_adds(&p->html, x->rows);
	strbuf_addf(&p->html, "</div>\n<p class=\"none\"%s>%s</p>\n",
		    w->total ? " hidden" : "",
		    x->over ? "There is no log." : "Nothing printed yet.");
	add_windows(x);
	strbuf_adds(&p->html, "</section>\n");
}

/* The page */

static void
shown_page(struct shown *x, struct web *w, struct http_req r, bool head_only)
{
	cleanup_strbuf struct strbuf title = { 0 };
	char version[PAGE_VERSION_MAX];
	struct page_head head = { .view = "job", .version = version };
	const struct job *j = &x->s.v->job;

	page_version(w, j->id, version);
	strbuf_addf(&title, "%s: %s", job_state_name(x->s.state), j->id);
	head.title = strbuf_str(&title);
	head.refresh = job_state_is_final(j->state) ? 0 : REFRESH;
	page_begin(x->p, w, r, ROOT, &head);
	strbuf_addf(&x->p->html,
		    "<section id=\"job\" data-live data-job=\"%s\" data-attempt=\"%u\" "
		    "data-state=\"%s\" data-of=\"%u\">\n",
		    j->id, x->s.number, job_state_name(x->s.state), j->attempt);
	add_title(x);
	add_attempts(x);
	add_facts(x);
	strbuf_adds(&x->p->html, "</section>\n<div class=\"work\">\n"
				 "<section id=\"steps\" data-live aria-label=\"Steps\">"
				 "<h2>Steps</h2>\n");
	page_steps(x->p, &x->s, x->w->first, &x->url);
	strbuf_adds(&x->p->html, "</section>\n");
	if (!head_only)
		add_log(x);
	strbuf_adds(&x->p->html, "</div>\n");
	page_reply(x->p, 200);
}

/* The attempt that is asked for; false: there is none of that number. */
static bool
find_attempt(struct web *w, const struct job_view *v, unsigned number,
	     struct attempt *old, struct shown_attempt *s)
{
	const struct job *j = &v->job;

	s->v = v;
	s->number = number ? number : j->attempt;
	s->state = j->state;
	s->reason = j->reason;
	s->error = j->error;
	if (s->number == j->attempt) {
		s->a = v->attempt.number == s->number ? &v->attempt : NULL;
		return true;
	}
	if (s->number > j->attempt ||
	    db_attempt_get(w->d.db, j->id, s->number, old, NULL) != 1)
		return false;
	s->a = old;
	s->state = old->state;
	s->reason = old->reason;
	s->error = old->error;
	return true;
}

static void
reply_unknown(struct web *w, struct http_req r, const char *what)
{
	struct err e = { 0 };

	err_set(&e, ERR_NOT_FOUND, "%s", what);
	page_error(w, r, ROOT, &e);
}

static void
job_page_show(struct job_page *q, const struct line_window *w, const char *rows)
{
	struct web *web = q->task.web;
	struct http_req r = q->task.req;
	struct attempt *old = xcalloc(1, sizeof(*old));
	struct page p = { 0 };
	struct shown x = { .p = &p, .w = w, .rows = rows };
	struct jobspec *spec = NULL;
	struct job_view v;

	if (engine_view(web->d.engine, q->id, &v, NULL) != 1) {
		reply_unknown(web, r, "There is no job of this name (any more).");
	} else if (!find_attempt(web, &v, q->attempt, old, &x.s)) {
		reply_unknown(web, r, "The job has no such attempt.");
	} else {
		x.s.spec = spec = web_spec_load(web, q->id, NULL);
		x.over = job_state_is_final(v.job.state) || x.s.number < v.job.attempt;
		strbuf_adds(&x.url, q->id);
		if (x.s.number < v.job.attempt)
			strbuf_addf(&x.url, "?attempt=%u", x.s.number);
		shown_page(&x, web, r, q->head_only);
	}
	jobspec_free(spec);
	strbuf_free(&x.url);
	free(old);
	web_task_end(&q->task);
}

/* A log that cannot be read is no reason not to show the job. */
static void
on_lines(void *arg, const struct err *err, const struct line_window *w,
	 const struct strbuf *out)
{
	const struct line_window none = { .from = 1 };

	job_page_show(arg, err ? &none : w, err ? "" : strbuf_str(out));
}

static void
job_page_begin(struct job_page *q, struct web *w, struct http_req r, unsigned attempt)
{
	q->task.what = "job page";
	q->task.release = job_page_release;
	q->index = lineindex_new(w->d.loop, w->d.pool, w->conf->state_dir, q->id,
				 attempt);
	web_task_begin(&q->task, w, r);
	lineindex_get(q->index, &q->want, lines_html, on_lines, q);
}

void
page_job(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "attempt", "from", "part", NULL };
	const char *id = http_req_rest(r), *part = http_req_query(r, "part");
	uint64_t attempt = 0, from = 0;
	struct web *w = arg;
	struct job_page *q;
	struct job_view v;

	if (!web_query_only(r, allowed) ||
	    !web_query_uint(r, "attempt", UINT32_MAX, &attempt) ||
	    !web_query_uint(r, "from", INT64_MAX, &from))
		return;
	if (!id_is_valid(id) || engine_view(w->d.engine, id, &v, NULL) != 1) {
		reply_unknown(w, r, "There is no job of this name (any more).");
		return;
	}
	q = xcalloc(1, sizeof(*q));
	STR_COPY(q->id, id);
	q->attempt = (unsigned)attempt;
	q->head_only = part && strcmp(part, "head") == 0;
	q->want.from = from ? from : 1;
	q->want.tail = from == 0;
	q->want.count = q->head_only ? 0 : WINDOW;
	job_page_begin(q, w, r, q->attempt ? q->attempt : v.job.attempt);
}
