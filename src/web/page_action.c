#include "page.h"

#include <string.h>

#include "slipway/id.h"
#include "slipway/mem.h"

/*
 * POST /dashboard/jobs/<id>/cancel and .../retry: the buttons of a job's page, without
 * a script. A verb of the engine, then back to the page.
 */

#define ROOT "../../../"

struct action {
	struct web *web;
	struct http_req req;
	char id[JOB_ID_MAX + 1];
};

static struct action *
action_new(struct web *w, struct http_req r, const char *id)
{
	struct action *a = xcalloc(1, sizeof(*a));

	a->web = w;
	a->req = r;
	STR_COPY(a->id, id);
	return a;
}

static void
action_done(struct action *a, const struct err *e)
{
	cleanup_free char *back = xasprintf("../%s", a->id);

	if (e) {
		page_error(a->web, a->req, ROOT, e);
	} else {
		http_set_header(a->req, "Location", back);
		http_reply(a->req, 303, NULL, NULL, 0);
	}
	free(a);
}

/* Too late to cancel is no fault: the page tells how the job ended. */
static void
on_cancelled(void *arg, bool cancelled, const char *reason)
{
	action_done(arg, NULL);
}

static void
on_retried(void *arg, const struct err *err, const struct engine_submitted *s)
{
	action_done(arg, err);
}

static void
do_cancel(struct web *w, struct http_req r, const char *id)
{
	cleanup_free char *by = web_actor(r);

	engine_cancel(w->d.engine, id, by, on_cancelled, action_new(w, r, id));
}

static void
do_retry(struct web *w, struct http_req r, const char *id)
{
	engine_retry(w->d.engine, id, on_retried, action_new(w, r, id));
}

static const struct {
	const char *name;
	void (*run)(struct web *w, struct http_req r, const char *id);
} verbs[] = { { "cancel", do_cancel }, { "retry", do_retry } };

void
page_action(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	const char *rest = http_req_rest(r), *slash = strchr(rest, '/');
	cleanup_free char *id = xstrndup(rest, slash ? (size_t)(slash - rest) : 0);
	struct web *w = arg;
	struct err e = { 0 };
	struct job_view v;

	if (!web_query_only(r, allowed))
		return;
	/* A browser always tells where a form comes from. */
	if (!http_req_header(r, "Origin")) {
		err_set(&e, ERR_FORBIDDEN,
			"Buttons are taken from this server's own pages only.");
		page_error(w, r, ROOT, &e);
		return;
	}
	for (size_t i = 0; slash && i < ARRAY_LEN(verbs); i++) {
		if (strcmp(slash + 1, verbs[i].name) != 0)
			continue;
		if (id_is_valid(id) && engine_view(w->d.engine, id, &v, &e) == 1) {
			auth_note_job(r, id);
			verbs[i].run(w, r, id);
			return;
		}
	}
	err_set(&e, ERR_NOT_FOUND, "There is no such job (any more).");
	page_error(w, r, ROOT, &e);
}
