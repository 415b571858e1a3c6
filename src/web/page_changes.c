#include "page.h"

#include <string.h>

#include "api_view.h"
#include "slipway/mem.h"

/*
 * What a page asks to learn that it is out of date: GET /dashboard/changes.
 *
 *	seen is not the present version → answer
 *	else → subscribe → on_event → a moment, in which more may happen → answer
 *	                 → on_timeout → answer
 *
 * The version of all jobs is a count of what happened to them, that of one job follows
 * from its state.
 */

#define WAIT_MAX 60 /* s */
#define GATHER_MS 250

struct changes {
	struct web_task task;
	char id[JOB_ID_MAX + 1]; /* "": all jobs */
	char seen[PAGE_VERSION_MAX];
	bool gathering;
	struct bus_sub *sub;
	struct loop_timer *timer, *gather;
};

static void
changes_release(struct web_task *t)
{
	struct changes *c = (struct changes *)t;

	bus_unsubscribe(c->sub);
	loop_timer_free(c->timer);
	loop_timer_free(c->gather);
	c->sub = NULL;
	c->timer = c->gather = NULL;
}

void
page_version(struct web *w, const char *id, char out[PAGE_VERSION_MAX])
{
	struct job_view v;

	if (!id)
		snprintf(out, PAGE_VERSION_MAX, "%llu", (unsigned long long)w->changes);
	else if (engine_view(w->d.engine, id, &v, NULL) == 1)
		view_etag(&v, 0, out);
	else
		snprintf(out, PAGE_VERSION_MAX, "gone");
	/* An ETag's quotes are of no use here. */
	for (char *p = out; *p; p++)
		if (*p == '"')
			memmove(p, p + 1, strlen(p));
}

static void
changes_reply(struct changes *c)
{
	char version[PAGE_VERSION_MAX];
	struct json_object *o = json_object_new_object();

	page_version(c->task.web, *c->id ? c->id : NULL, version);
	json_object_object_add(o, "version", json_object_new_string(version));
	http_set_header(c->task.req, "Cache-Control", "no-store");
	web_reply_json(c->task.req, 200, o);
	web_task_end(&c->task);
}

static void
on_timeout(void *arg)
{
	changes_reply(arg);
}

static void
on_gathered(void *arg)
{
	struct changes *c = arg;
	char version[PAGE_VERSION_MAX];

	c->gathering = false;
	page_version(c->task.web, *c->id ? c->id : NULL, version);
	if (strcmp(version, c->seen) != 0)
		changes_reply(c);
}

static void
on_event(void *arg, const struct bus_event *ev)
{
	struct changes *c = arg;

	if (ev->what != BUS_JOB || c->gathering)
		return;
	c->gathering = true;
	loop_timer_set(c->gather, GATHER_MS);
}

void
page_changes(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "id", "seen", "wait", NULL };
	const char *id = http_req_query(r, "id"), *seen = http_req_query(r, "seen");
	struct web *w = arg;
	uint64_t wait = 0;
	char version[PAGE_VERSION_MAX];
	struct changes *c;
	struct job_view v;

	if (!web_query_only(r, allowed) ||
	    !web_query_uint(r, "wait", WAIT_MAX, &wait) ||
	    (id && !web_view_load(w, r, id, &v)))
		return;
	c = xcalloc(1, sizeof(*c));
	c->task.what = "changes";
	c->task.release = changes_release;
	STR_COPY(c->id, id ? id : "");
	STR_COPY(c->seen, seen ? seen : "");
	web_task_begin(&c->task, w, r);
	page_version(w, id, version);
	if (wait == 0 || strcmp(version, c->seen) != 0) {
		changes_reply(c);
		return;
	}
	c->sub = bus_subscribe(w->d.bus, id ? c->id : NULL, on_event, c);
	c->gather = loop_timer_new(w->d.loop, on_gathered, c);
	c->timer = loop_timer_new(w->d.loop, on_timeout, c);
	loop_timer_set(c->timer, (int64_t)wait * 1000);
}
