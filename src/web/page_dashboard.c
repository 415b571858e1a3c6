#include "web_priv.h"

#include <string.h>

#include "html.h"
#include "query.h"
#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/mem.h"
#include "slipway/version.h"

/* The dashboard: the newest jobs as a plain page that needs no script. */

#define ROWS 50
#define VISITS 5000

static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
	"connect-src 'self'; base-uri 'none'; form-action 'self'; "
	"frame-ancestors 'none'";

static const char css[] =
	":root{color-scheme:light dark;--line:#8884;--dim:#666;--ok:#1a7f37;"
	"--bad:#cf222e;--busy:#9a6700;--link:#0969da}\n"
	"@media (prefers-color-scheme:dark){:root{--dim:#999;--ok:#3fb950;"
	"--bad:#ff7b72;--busy:#d29922;--link:#58a6ff}}\n"
	"body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:75rem;"
	"padding:1rem}\n"
	"a{color:var(--link)}\n"
	"header{display:flex;flex-wrap:wrap;gap:.5rem 1.5rem;align-items:baseline}\n"
	"h1{font-size:1.4rem;margin:0}\n"
	"header p,footer{color:var(--dim);margin:0}\n"
	"nav{margin:1rem 0;display:flex;flex-wrap:wrap;gap:.25rem 1rem}\n"
	"nav a[aria-current]{font-weight:bold;text-decoration:none;color:inherit}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;padding:.35rem .75rem .35rem 0;vertical-align:top;"
	"border-bottom:1px solid var(--line);overflow-wrap:anywhere}\n"
	"th{color:var(--dim);font-weight:normal;white-space:nowrap}\n"
	"small{color:var(--dim);display:block}\n"
	"code{font:13px ui-monospace,monospace}\n"
	".success{color:var(--ok)}.failure,.timeout{color:var(--bad)}"
	".running{color:var(--busy)}.queued,.cancelled{color:var(--dim)}\n"
	"td:first-child{font-weight:600}\n"
	"td:first-child,td:nth-child(n+4){white-space:nowrap}\n"
	"@media (max-width:45rem){thead{display:none}\n"
	"tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}\n"
	"td{display:block;border:0;padding:.1rem 0}\n"
	"td:nth-child(n+4){display:inline-block;margin-right:1rem}\n"
	"td:empty{display:none}td:nth-child(n+4) small{display:inline;"
	"margin-left:.5rem}}\n";

void
page_css(struct http_req r, void *arg)
{
	http_set_header(r, "Cache-Control", "max-age=3600");
	http_reply(r, 200, "text/css; charset=utf-8", css, sizeof(css) - 1);
}

struct page {
	struct web *web;
	struct strbuf html;
	int64_t now;
	unsigned rows;
};

static void
cell_state(struct page *p, const struct job *j, const struct job_view *v)
{
	const char *why = j->state == JOB_QUEUED ? v->wait_reason : j->error;

	strbuf_addf(&p->html, "<tr><td class=\"%s\">%s</td><td>",
		    job_state_name(j->state), job_state_name(j->state));
	strbuf_addf(&p->html, "<a href=\"/jobs/logs?id=%s&amp;format=text%s\">%s</a>",
		    j->id, job_state_is_final(j->state) ? "" : "&amp;follow=1", j->id);
	if (*why) {
		strbuf_adds(&p->html, "<small>");
		html_text(&p->html, why);
		strbuf_adds(&p->html, "</small>");
	}
	strbuf_adds(&p->html, "</td>");
}

static void
cell_source(struct page *p, const struct job *j)
{
	bool same = !strcmp(j->branch, j->commit);
	char commit[13] = "";

	/* A sha is known by its beginning, a name is shown whole. */
	if (strlen(j->commit) >= 40 &&
	    strspn(j->commit, "0123456789abcdef") == strlen(j->commit))
		snprintf(commit, sizeof(commit), "%.12s", j->commit);
	strbuf_adds(&p->html, "<td>");
	html_text(&p->html, j->repo);
	strbuf_adds(&p->html, "<small>");
	html_text(&p->html, same ? "" : j->branch);
	strbuf_adds(&p->html, " <code>");
	html_text(&p->html, *commit ? commit : j->commit);
	strbuf_adds(&p->html, "</code></small></td>");
}

static bool
on_row(void *arg, const struct job *j)
{
	struct page *p = arg;
	struct job_view v;

	engine_view_of(p->web->d.engine, j, &v);
	cell_state(p, j, &v);
	cell_source(p, j);
	strbuf_adds(&p->html, "<td>");
	html_time(&p->html, j->queued_at);
	strbuf_adds(&p->html, "</td><td>");
	if (j->started_at && j->finished_at >= j->started_at)
		html_duration(&p->html, j->finished_at - j->started_at);
	else if (j->state == JOB_RUNNING && p->now >= j->started_at)
		html_duration(&p->html, p->now - j->started_at);
	if (j->attempt > 1)
		strbuf_addf(&p->html, "<small>attempt %u</small>", j->attempt);
	strbuf_addf(&p->html,
		    "</td><td><a href=\"/jobs/status?id=%s\">JSON</a></td></tr>\n",
		    j->id);
	p->rows++;
	return true;
}

static void
page_nav(struct page *p, enum job_state current)
{
	strbuf_adds(&p->html, "<nav><a href=\"/dashboard\"");
	strbuf_addf(&p->html, "%s>all</a>",
		    current == JOB_STATES ? " aria-current=\"page\"" : "");
	for (enum job_state s = 0; s < JOB_STATES; s++)
		strbuf_addf(&p->html, "<a href=\"/dashboard?status=%s\"%s>%s</a>",
			    job_state_name(s),
			    s == current ? " aria-current=\"page\"" : "",
			    job_state_name(s));
	strbuf_adds(&p->html, "</nav>\n");
}

static void
page_head(struct page *p, enum job_state current)
{
	struct engine_stats s;

	engine_stats(p->web->d.engine, &s);
	strbuf_adds(
		&p->html,
		"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<meta name=\"viewport\" content=\"width=device-width,"
		"initial-scale=1\">\n<title>Jobs - slipway</title>\n"
		"<link rel=\"stylesheet\" href=\"/dashboard.css?v=" SLIPWAY_VERSION
		"\">"
		"</head><body>\n"
		"<header><h1>slipway</h1>");
	strbuf_addf(&p->html, "<p>%u queued, %u of %u slots in use%s", s.queued,
		    s.running, s.slots, !s.accepting  ? "; not accepting jobs: "
		    : *s.why_not ? "; "
				 : "");
	html_text(&p->html, s.why_not);
	strbuf_adds(&p->html, "</p></header>\n");
	page_nav(p, current);
	strbuf_adds(&p->html, "<main><table><thead><tr><th>State</th><th>Job</th>"
			      "<th>Repository</th><th>Queued (UTC)</th>"
			      "<th>Duration</th><th></th></tr></thead><tbody>\n");
}

static void
page_foot(struct page *p, enum job_state current, uint64_t next)
{
	strbuf_adds(&p->html, "</tbody></table>\n");
	if (!p->rows)
		strbuf_adds(&p->html, "<p>No jobs here yet.</p>\n");
	if (next) {
		strbuf_addf(&p->html,
			    "<p><a rel=\"next\" href=\"/dashboard?cursor=%llu",
			    (unsigned long long)next);
		if (current != JOB_STATES)
			strbuf_addf(&p->html, "&amp;status=%s",
				    job_state_name(current));
		strbuf_adds(&p->html, "\">Older jobs</a></p>\n");
	}
	strbuf_adds(&p->html, "</main><footer>slipway " SLIPWAY_VERSION
			      "</footer></body></html>\n");
}

void
page_dashboard(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "status", "cursor", NULL };
	struct page p = { .web = arg, .now = clock_wall_ms() };
	struct job_query q = { .state = JOB_STATES,
			       .max_rows = ROWS,
			       .max_visited = VISITS };
	const char *state = http_req_query(r, "status");
	struct err e = { 0 };
	uint64_t next = 0;

	if (!web_query_only(r, allowed) ||
	    !web_query_uint(r, "cursor", INT64_MAX, &q.before))
		return;
	if (state && (q.state = job_state_parse(state)) == JOB_STATES) {
		web_reply_field(r, "status", "no such status");
		return;
	}
	page_head(&p, q.state);
	if (db_job_list(p.web->d.db, &q, on_row, &p, &next, &e)) {
		http_reply_err(r, &e);
	} else {
		page_foot(&p, q.state, next);
		http_set_header(r, "Content-Security-Policy", policy);
		http_set_header(r, "Referrer-Policy", "same-origin");
		http_set_header(r, "Cache-Control", "no-cache");
		http_reply(r, 200, "text/html; charset=utf-8", p.html.data, p.html.len);
	}
	strbuf_free(&p.html);
}
