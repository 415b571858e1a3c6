#include "page.h"

#include <string.h>

#include "page_steps.h"
#include "query.h"
#include "slipway/db_job.h"
#include "slipway/mem.h"

/*
 * The list of jobs.
 *
 *	query → rows (one bounded walk) → shown, a bounded number of bytes of specs per
 *	turn → reply
 *
 * Rows are copies: what is shown of a job is read anew when its turn comes.
 */

#define ROWS 50
#define VISITS 5000
#define SPEC_BYTES_PER_TURN (256u << 10)
#define SPEC_BYTES_MAX                                                                 \
	(32u << 10) /* longer ones are not parsed for their steps' names */

struct dashboard {
	struct web_task task;
	struct loop_timer *again;
	struct page page;
	struct job_query query;
	char *repo, *branch; /* or NULL */
	struct job *jobs;
	size_t njobs, shown;
	uint64_t next;
};

static void
dashboard_release(struct web_task *t)
{
	struct dashboard *d = (struct dashboard *)t;

	loop_timer_free(d->again);
	d->again = NULL;
}

static void
dashboard_destroy(struct web_task *t)
{
	struct dashboard *d = (struct dashboard *)t;

	free(d->repo);
	free(d->branch);
	free(d->jobs);
	strbuf_free(&d->page.html);
}

/* The list with other filters: NULL and JOB_STATES leave one out. */
static void
href_list(struct page *p, enum job_state state, const char *repo, const char *branch,
	  uint64_t cursor)
{
	cleanup_strbuf struct strbuf url = { 0 };
	char number[24];

	strbuf_adds(&url, "dashboard");
	if (state != JOB_STATES)
		query_append(&url, "status", job_state_name(state));
	if (repo)
		query_append(&url, "repo", repo);
	if (branch)
		query_append(&url, "branch", branch);
	if (cursor) {
		snprintf(number, sizeof(number), "%llu", (unsigned long long)cursor);
		query_append(&url, "cursor", number);
	}
	page_href(&p->html, &url);
}

/* Cells of a row */

static void
cell_state(struct page *p, const struct job_view *v, const struct jobspec *spec)
{
	const struct job *j = &v->job;

	strbuf_adds(&p->html, "<td class=\"c-state\">");
	page_badge(&p->html, j->state);
	if (j->state == JOB_QUEUED && v->position > 0)
		strbuf_addf(&p->html, "<small>no. %ld in the queue</small>",
			    v->position);
	else if (j->state == JOB_RUNNING && v->current_step >= 0 && spec)
		strbuf_addf(&p->html, "<small>step %d of %zu</small>",
			    v->current_step + 1, spec->nsteps);
	else if (j->state == JOB_RUNNING)
		strbuf_addf(&p->html, "<small>%s</small>", job_phase_words(v->phase));
	strbuf_adds(&p->html, "</td>");
}

static void
cell_title(struct page *p, const struct job_view *v, const struct jobspec *spec)
{
	const struct job *j = &v->job;

	strbuf_addf(&p->html,
		    "<td class=\"c-job\"><a class=\"row\" href=\"dashboard/jobs/%s\">",
		    j->id);
	page_title(&p->html, spec, v);
	strbuf_addf(&p->html,
		    "</a><small class=\"id-line\"><span class=\"id\">%s</span>", j->id);
	if (j->attempt > 1)
		strbuf_addf(&p->html, " · attempt %u", j->attempt);
	strbuf_adds(&p->html, "</small>");
	if (j->state == JOB_QUEUED ? *v->wait_reason : *j->error) {
		strbuf_addf(&p->html, "<small class=\"why s-%s\">",
			    job_state_name(j->state));
		html_text(&p->html, j->state == JOB_QUEUED ? v->wait_reason : j->error);
		strbuf_adds(&p->html, "</small>");
	}
	strbuf_adds(&p->html, "</td>");
}

static void
cell_source(struct dashboard *d, const struct job *j)
{
	struct page *p = &d->page;

	strbuf_adds(&p->html, "<td class=\"c-source\"><a class=\"plain\" title=\"");
	html_text(&p->html, j->repo);
	strbuf_addc(&p->html, '"');
	href_list(p, d->query.state, j->repo, NULL, 0);
	strbuf_addc(&p->html, '>');
	page_repo_name(&p->html, j->repo);
	strbuf_adds(&p->html, "</a><small>");
	if (*j->branch) {
		strbuf_adds(&p->html, "<a class=\"plain branch\"");
		href_list(p, d->query.state, j->repo, j->branch, 0);
		strbuf_addc(&p->html, '>');
		page_icon(&p->html, "branch");
		html_text(&p->html, j->branch);
		strbuf_adds(&p->html, "</a> ");
	}
	if (strcmp(j->branch, j->commit) != 0)
		page_commit(&p->html, j->commit);
	strbuf_adds(&p->html, "</small></td>");
}

static void
cells_rest(struct page *p, const struct job_view *v)
{
	const struct job *j = &v->job;
	bool began = v->attempt.number && v->attempt.number == j->attempt;

	strbuf_adds(&p->html, "<td class=\"c-runner\">");
	if (began)
		html_text(&p->html, v->attempt.runner);
	strbuf_adds(&p->html, "</td><td class=\"c-when\">");
	page_ago(p, j->queued_at);
	strbuf_adds(&p->html, "</td><td class=\"c-took\">");
	if (j->state == JOB_RUNNING || (j->finished_at && j->started_at))
		page_duration(p, j->started_at,
			      j->state == JOB_RUNNING ? 0 : j->finished_at);
	strbuf_adds(&p->html, "</td></tr>\n");
}

/* Bytes of its spec. */
static size_t
show_row(struct dashboard *d, const struct job *j)
{
	cleanup_strbuf struct strbuf json = { 0 };
	struct web *w = d->page.web;
	struct jobspec *spec = NULL;
	struct job_view v;

	engine_view_of(w->d.engine, j, &v);
	if (db_spec_get(w->d.db, j->id, &json, NULL) == 1 && json.len <= SPEC_BYTES_MAX)
		spec = jobspec_parse(json.data, json.len, NULL);
	strbuf_addf(&d->page.html, "<tr class=\"s-%s\">", job_state_name(j->state));
	cell_state(&d->page, &v, spec);
	cell_title(&d->page, &v, spec);
	cell_source(d, j);
	cells_rest(&d->page, &v);
	jobspec_free(spec);
	return json.len;
}

/* Around the rows */

static void
add_counts(struct page *p)
{
	struct engine_stats s;

	engine_stats(p->web->d.engine, &s);
	strbuf_adds(&p->html, "<div id=\"counts\" data-live>");
	if (*s.why_not) {
		strbuf_addf(&p->html, "<p class=\"alert\">%s",
			    s.accepting ? "" : "Not accepting jobs: ");
		html_text(&p->html, s.why_not);
		strbuf_adds(&p->html, "</p>");
	}
	strbuf_addf(
		&p->html,
		"<ul class=\"counts\"><li><strong>%u</strong> running</li>"
		"<li><strong>%u</strong> queued</li>"
		    "<li><strong>%u</strong> of %u slots free</li></ul>"
		"</div>\n",
		s.running, s.queued, s.slots > s.running ? s.slots - s.running : 0,
		s.slots);
}

static void
add_tab(struct dashboard *d, enum job_state state)
{
	struct page *p = &d->page;

	strbuf_adds(&p->html, "<a");
	href_list(p, state, d->repo, d->branch, 0);
	if (d->query.state == state)
		strbuf_adds(&p->html, " aria-current=\"page\"");
	strbuf_addc(&p->html, '>');
	if (state != JOB_STATES)
		page_icon(&p->html, job_state_name(state));
	strbuf_addf(&p->html, "%s</a>",
		    state == JOB_STATES ? "all" : job_state_name(state));
}

static void
add_field(struct page *p, const char *name, const char *label, const char *value)
{
	strbuf_addf(&p->html,
		    "<input type=\"search\" name=\"%s\" aria-label=\"%s\" "
		    "placeholder=\"%s\" autocomplete=\"off\" spellcheck=\"false\" "
		    "value=\"",
		    name, label, label);
	html_text(&p->html, value ? value : "");
	strbuf_adds(&p->html, "\">\n");
}

static void
add_filters(struct dashboard *d)
{
	struct page *p = &d->page;

	strbuf_adds(&p->html, "<div class=\"bars\"><nav class=\"tabs\" "
			      "aria-label=\"Filter by state\">");
	add_tab(d, JOB_STATES);
	for (enum job_state s = 0; s < JOB_STATES; s++)
		add_tab(d, s);
	strbuf_adds(&p->html, "</nav>\n<form class=\"filter\" action=\"dashboard\">");
	if (d->query.state != JOB_STATES)
		strbuf_addf(&p->html,
			    "<input type=\"hidden\" name=\"status\" value=\"%s\">",
			    job_state_name(d->query.state));
	add_field(p, "repo", "Repository", d->repo);
	add_field(p, "branch", "Branch", d->branch);
	strbuf_adds(&p->html, "<button>Filter</button>");
	if (d->repo || d->branch) {
		strbuf_adds(&p->html, "<a");
		href_list(p, d->query.state, NULL, NULL, 0);
		strbuf_adds(&p->html, ">Clear</a>");
	}
	strbuf_adds(&p->html, "</form></div>\n");
}

static void
add_empty(struct dashboard *d)
{
	struct page *p = &d->page;

	strbuf_adds(&p->html, "<section class=\"empty\">");
	if (d->query.state != JOB_STATES || d->repo || d->branch || d->query.before) {
		page_icon(&p->html, "search");
		strbuf_adds(&p->html, "<h2>No jobs match</h2><p><a href=\"dashboard\">"
				      "Show all jobs</a></p>");
	} else {
		page_icon(&p->html, "boat");
		strbuf_adds(&p->html,
			    "<h2>No jobs yet</h2><p>Submit the first one from a "
			    "checkout:</p><pre>slipway submit job.json</pre>");
	}
	strbuf_adds(&p->html, "</section>\n");
}

static void
add_paging(struct dashboard *d)
{
	struct page *p = &d->page;

	if (!d->next && !d->query.before)
		return;
	strbuf_adds(&p->html, "<nav class=\"paging\" aria-label=\"Pages\">");
	if (d->query.before) {
		strbuf_adds(&p->html, "<a rel=\"first\"");
		href_list(p, d->query.state, d->repo, d->branch, 0);
		strbuf_adds(&p->html, ">Newest jobs</a>");
	}
	if (d->next) {
		strbuf_adds(&p->html, "<a rel=\"next\"");
		href_list(p, d->query.state, d->repo, d->branch, d->next);
		strbuf_adds(&p->html, ">Older jobs</a>");
	}
	strbuf_adds(&p->html, "</nav>\n");
}

static void
dashboard_head(struct dashboard *d, struct web *w, struct http_req r)
{
	char version[PAGE_VERSION_MAX];
	const struct page_head head = { .title = "Jobs",
					.view = "jobs",
					.version = version };
	struct page *p = &d->page;

	page_version(w, NULL, version);
	page_begin(p, w, r, "", &head);
	strbuf_adds(&p->html, "<div class=\"title\"><h1>Jobs</h1>\n");
	add_counts(p);
	strbuf_adds(&p->html, "</div>\n");
	add_filters(d);
	strbuf_adds(&p->html, "<div id=\"jobs\" data-live>\n");
	if (d->njobs)
		strbuf_adds(&p->html,
			    "<table class=\"jobs\"><thead><tr><th>State</th>"
			    "<th>Job</th><th>Source</th><th>Runner</th>"
			    "<th>Queued</th><th>Duration</th></tr></thead><tbody>\n");
}

static void
dashboard_reply(struct dashboard *d)
{
	struct page *p = &d->page;

	if (d->njobs)
		strbuf_adds(&p->html, "</tbody></table>\n");
	else
		add_empty(d);
	add_paging(d);
	strbuf_adds(&p->html, "</div>\n");
	page_reply(p, 200);
	web_task_end(&d->task);
}

static void
on_show(void *arg)
{
	struct dashboard *d = arg;
	size_t bytes = 0;

	while (d->shown < d->njobs && bytes < SPEC_BYTES_PER_TURN)
		bytes += 1024 + show_row(d, &d->jobs[d->shown++]);
	if (d->shown < d->njobs)
		loop_timer_set(d->again, 0);
	else
		dashboard_reply(d);
}

static bool
on_row(void *arg, const struct job *j)
{
	struct dashboard *d = arg;

	d->jobs[d->njobs++] = *j;
	return true;
}

static void
dashboard_begin(struct dashboard *d, struct web *w, struct http_req r)
{
	struct err e = { 0 };

	d->task.what = "dashboard";
	d->task.release = dashboard_release;
	d->task.destroy = dashboard_destroy;
	d->again = loop_timer_new(w->d.loop, on_show, d);
	d->jobs = xcalloc(ROWS, sizeof(*d->jobs));
	d->query.repo = d->repo;
	d->query.branch = d->branch;
	d->query.max_rows = ROWS;
	d->query.max_visited = VISITS;
	web_task_begin(&d->task, w, r);
	if (db_job_list(w->d.db, &d->query, on_row, d, &d->next, &e)) {
		http_reply_err(r, &e);
		web_task_end(&d->task);
		return;
	}
	dashboard_head(d, w, r);
	on_show(d);
}

/* Forms send their fields also when they are empty. */
static char *
filter_of(struct http_req r, const char *key)
{
	const char *s = http_req_query(r, key);

	return s && *s ? xstrdup(s) : NULL;
}

void
page_dashboard(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "status", "repo", "branch", "cursor",
					       NULL };
	const char *status = http_req_query(r, "status");
	enum job_state state = JOB_STATES;
	struct dashboard *d;
	uint64_t before = 0;

	if (!web_query_only(r, allowed) ||
	    !web_query_uint(r, "cursor", INT64_MAX, &before))
		return;
	if (status && *status && (state = job_state_parse(status)) == JOB_STATES) {
		web_reply_field(r, "status", "no such status");
		return;
	}
	d = xcalloc(1, sizeof(*d));
	d->query.state = state;
	d->query.before = before;
	d->repo = filter_of(r, "repo");
	d->branch = filter_of(r, "branch");
	dashboard_begin(d, arg, r);
}
