#include "web_priv.h"

#include <string.h>

#include "api_view.h"
#include "query.h"
#include "slipway/db_job.h"
#include "slipway/mem.h"

/*
 *	collect rows, a bounded walk per turn → show them, a bounded number of bytes of
 *	specs per turn → reply
 *
 * Rows are copies: what is shown of a job is read anew when its turn comes.
 */

#define LIST_MAX 200
#define LIST_DEFAULT 50
#define VISITS_PER_TURN 1000
#define WALKS_MAX 20 /* then the page ends early, with a link to the next */
#define SPEC_BYTES_PER_TURN (256u << 10)

struct list {
	struct web_task task;
	struct loop_timer *again;
	struct job_query query;
	char *repo, *branch;
	struct strbuf base, out;
	struct job *jobs;
	size_t njobs, shown;
	unsigned limit, walks;
	uint64_t next;
};

static void
list_release(struct web_task *t)
{
	struct list *l = (struct list *)t;

	loop_timer_free(l->again);
	l->again = NULL;
}

static void
list_destroy(struct web_task *t)
{
	struct list *l = (struct list *)t;

	free(l->repo);
	free(l->branch);
	free(l->jobs);
	strbuf_free(&l->base);
	strbuf_free(&l->out);
}

static void
list_link_next(struct list *l)
{
	cleanup_strbuf struct strbuf url = { 0 };
	char number[32];

	strbuf_addf(&url, "<%s/jobs", strbuf_str(&l->base));
	if (l->query.state != JOB_STATES)
		query_append(&url, "status", job_state_name(l->query.state));
	if (l->repo)
		query_append(&url, "repo", l->repo);
	if (l->branch)
		query_append(&url, "branch", l->branch);
	if (l->query.since) {
		snprintf(number, sizeof(number), "%lld", (long long)l->query.since);
		query_append(&url, "since", number);
	}
	snprintf(number, sizeof(number), "%u", l->limit);
	query_append(&url, "limit", number);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)l->next);
	query_append(&url, "cursor", number);
	strbuf_adds(&url, ">; rel=\"next\"");
	http_set_header(l->task.req, "Link", strbuf_str(&url));
}

static void
list_reply(struct list *l)
{
	strbuf_addc(&l->out, ']');
	if (l->next)
		list_link_next(l);
	http_set_header(l->task.req, "Cache-Control", "no-cache");
	http_reply(l->task.req, 200, "application/json", l->out.data, l->out.len);
	web_task_end(&l->task);
}

static size_t
list_show(struct list *l, const struct job *j)
{
	struct web *w = l->task.web;
	struct view_in in = { .base_url = strbuf_str(&l->base) };
	size_t size = 0;
	struct jobspec *spec = web_spec_load(w, j->id, &size);
	struct json_object *o;
	struct job_view v;

	engine_view_of(w->d.engine, j, &v);
	in.v = &v;
	in.spec = spec;
	o = view_job(&in);
	if (l->out.len > 1)
		strbuf_addc(&l->out, ',');
	strbuf_adds(&l->out, json_object_to_json_string_ext(
				     o, JSON_C_TO_STRING_PLAIN |
						JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	jobspec_free(spec);
	return size;
}

static void
on_show(void *arg)
{
	struct list *l = arg;
	size_t bytes = 0;

	while (l->shown < l->njobs && bytes < SPEC_BYTES_PER_TURN)
		bytes += 1024 + list_show(l, &l->jobs[l->shown++]);
	if (l->shown < l->njobs)
		loop_timer_set(l->again, 0);
	else
		list_reply(l);
}

static bool
on_row(void *arg, const struct job *j)
{
	struct list *l = arg;

	l->jobs = xreallocarray(l->jobs, l->njobs + 1, sizeof(*l->jobs));
	l->jobs[l->njobs++] = *j;
	return true;
}

static void
list_collect(struct list *l)
{
	struct err e = { 0 };

	l->query.max_rows = l->limit - (unsigned)l->njobs;
	if (db_job_list(l->task.web->d.db, &l->query, on_row, l, &l->next, &e)) {
		http_reply_err(l->task.req, &e);
		web_task_end(&l->task);
		return;
	}
	l->query.before = l->next;
	l->walks++;
}

static void
on_again(void *arg)
{
	struct list *l = arg;

	if (l->shown == 0 && l->njobs < l->limit && l->walks < WALKS_MAX &&
	    (l->next || !l->walks)) {
		list_collect(l);
		if (!l->task.ended)
			loop_timer_set(l->again, 0);
		return;
	}
	on_show(l);
}

/* The first walk is done at once: most lists need no second. */
static void
list_begin(struct list *l, struct web *w, struct http_req r)
{
	l->task.what = "list";
	l->task.release = list_release;
	l->task.destroy = list_destroy;
	l->again = loop_timer_new(w->d.loop, on_again, l);
	l->query.max_visited = VISITS_PER_TURN;
	web_base_url(w, r, &l->base);
	strbuf_addc(&l->out, '[');
	web_task_begin(&l->task, w, r);
	list_collect(l);
	if (l->task.ended)
		return;
	if (l->next && l->njobs < l->limit)
		loop_timer_set(l->again, 0);
	else
		on_show(l);
}

static bool
parse_state(struct http_req r, enum job_state *state)
{
	const char *s = http_req_query(r, "status");

	*state = s ? job_state_parse(s) : JOB_STATES;
	if (!s || *state != JOB_STATES)
		return true;
	web_reply_field(r, "status",
			"status must be queued, running, success, failure, timeout "
			"or cancelled");
	return false;
}

static bool
parse_limit(struct http_req r, uint64_t *limit)
{
	const char *s = http_req_query(r, "limit");

	*limit = LIST_DEFAULT;
	if (!s || (query_uint(s, LIST_MAX, limit) && *limit > 0))
		return true;
	web_reply_field(r, "limit", "limit must be a number from 1 to 200");
	return false;
}

static bool
parse_text(struct http_req r, const char *key, size_t max, const char **out)
{
	*out = http_req_query(r, key);
	if (!*out || (**out && strlen(*out) <= max))
		return true;
	web_reply_field(r, key,
			"must not be empty, nor longer than such a name can be");
	return false;
}

void
api_list(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "status", "repo",   "branch", "since",
					       "limit",	 "cursor", NULL };
	const char *repo, *branch;
	uint64_t limit, cursor = 0, since = 0;
	enum job_state state;
	struct list *l;

	if (!web_query_only(r, allowed) || !parse_state(r, &state) ||
	    !parse_text(r, "repo", JOB_REPO_MAX, &repo) ||
	    !parse_text(r, "branch", JOB_REF_MAX, &branch) ||
	    !web_query_uint(r, "since", INT64_MAX, &since) || !parse_limit(r, &limit) ||
	    !web_query_uint(r, "cursor", INT64_MAX, &cursor))
		return;
	l = xcalloc(1, sizeof(*l));
	l->limit = (unsigned)limit;
	l->repo = repo ? xstrdup(repo) : NULL;
	l->branch = branch ? xstrdup(branch) : NULL;
	l->query.state = state;
	l->query.repo = l->repo;
	l->query.branch = l->branch;
	l->query.since = (int64_t)since;
	l->query.before = cursor;
	list_begin(l, arg, r);
}
