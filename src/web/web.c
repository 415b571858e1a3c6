#include "web_priv.h"

#include <ctype.h>
#include <strings.h>

#include "query.h"
#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/id.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	request → http (route, Host, Origin, type, size) → handler → reply
 *	                                                → web_task → ... → reply
 */

static const struct http_route routes[] = {
	{ HTTP_GET, "/", 0, api_root },
	{ HTTP_GET, "/health", 0, api_health },
	{ HTTP_GET, "/health/ready", 0, api_health },
	{ HTTP_GET, "/jobs", 0, api_list },
	{ HTTP_GET, "/jobs/status", 0, api_status },
	{ HTTP_GET, "/jobs/logs", 0, api_logs },
	{ HTTP_GET, "/jobs/lines", 0, api_lines },
	{ HTTP_POST, "/jobs/submit", HTTP_ROUTE_CHANGES, api_submit },
	{ HTTP_POST, "/jobs/validate", HTTP_ROUTE_CHANGES, api_validate },
	{ HTTP_POST, "/jobs/cancel", HTTP_ROUTE_CHANGES, api_cancel },
	{ HTTP_POST, "/jobs/retry", HTTP_ROUTE_CHANGES, api_retry },
	{ HTTP_GET, "/dashboard", 0, page_dashboard },
	{ HTTP_GET, "/dashboard/changes", 0, page_changes },
	{ HTTP_GET, "/dashboard/jobs/", HTTP_ROUTE_PREFIX, page_job },
	{ HTTP_POST, "/dashboard/jobs/", HTTP_ROUTE_PREFIX | HTTP_ROUTE_CHANGES | HTTP_ROUTE_FORM,
	  page_action },
	{ HTTP_GET, "/login", 0, page_login },
	{ HTTP_GET, "/ui/", HTTP_ROUTE_PREFIX, page_ui },
	{ .path = NULL },
};

/* The host of a URL, lower case, without its port; NULL when it has none. */
static char *
url_host(const char *url)
{
	const char *host = strstr(url, "://");
	size_t len;
	char *out;

	if (!host)
		return NULL;
	host += 3;
	len = *host == '[' ? strcspn(host, "]/") + 1 : strcspn(host, ":/?#");
	if (len == 0 || len > strlen(host))
		return NULL;
	out = xstrndup(host, len);
	for (char *p = out; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}

static void
web_set_hosts(struct web *w)
{
	const struct conf_strings *more = &w->conf->http_hosts;
	cleanup_free char *own = NULL;
	const char **hosts = xcalloc(more->n + 1, sizeof(*hosts));
	size_t n = 0;

	if (w->conf->public_url)
		own = url_host(w->conf->public_url);
	for (size_t i = 0; i < more->n; i++)
		hosts[n++] = more->v[i];
	if (own)
		hosts[n++] = own;
	http_set_hosts(w->http, hosts, n);
	free(hosts);
}

static void
on_any_event(void *arg, const struct bus_event *ev)
{
	struct web *w = arg;

	w->changes += ev->what == BUS_JOB;
}

struct web *
web_new(const struct web_deps *d, struct err *e)
{
	struct web *w = xcalloc(1, sizeof(*w));
	const struct http_opts o = {
		.loop = d->loop,
		.routes = routes,
		.arg = w,
		.max_body = JOBSPEC_BODY_MAX,
		.max_connections = (unsigned)d->conf->http_max_connections,
	};

	w->d = *d;
	w->conf = d->conf;
	w->started = clock_mono_ms();
	LIST_INIT(&w->tasks);
	w->http = http_new(&o, e);
	if (!w->http) {
		free(w);
		return NULL;
	}
	web_set_hosts(w);
	/* Not from where another daemon's count may have ended. */
	w->changes = (uint64_t)clock_wall_ms();
	w->changes_sub = bus_subscribe(d->bus, NULL, on_any_event, w);
	return w;
}

void
web_free(struct web *w)
{
	struct web_task *t;

	if (!w)
		return;
	http_free(w->http);
	while ((t = LIST_FIRST(&w->tasks)))
		web_task_end(t);
	bus_unsubscribe(w->changes_sub);
	free(w);
}

static bool
listen_is_loopback(const char *addr)
{
	return strncmp(addr, "127.", 4) == 0 || strncmp(addr, "[::1]:", 6) == 0 ||
	       strncasecmp(addr, "localhost:", 10) == 0;
}

int
web_listen(struct web *w, uint16_t *port, struct err *e)
{
	const struct conf *c = w->conf;
	uint16_t bound;

	*port = 0;
	if (c->http_unix_socket && *c->http_unix_socket &&
	    http_listen_unix(w->http, c->http_unix_socket, e))
		return err_wrap(e, "http.unix_socket");
	for (size_t i = 0; i < c->http_listen.n; i++) {
		const char *addr = c->http_listen.v[i];

		if (!listen_is_loopback(addr))
			return err_field(
				e, ERR_INVALID, "http.listen",
				"%s is not a loopback address, and there is no "
				"authentication yet: listen on 127.0.0.1 behind "
				"a proxy that has it",
				addr);
		if (http_listen_tcp(w->http, addr, &bound, e))
			return err_wrap(e, "http.listen %s", addr);
		if (!*port)
			*port = bound;
	}
	return 0;
}

void
web_stop_listening(struct web *w)
{
	http_stop_listening(w->http);
}

void
web_reload(struct web *w, const struct conf *conf)
{
	w->conf = conf;
	web_set_hosts(w);
}

void
web_dump(const struct web *w, struct strbuf *out)
{
	const struct web_task *t;

	http_dump(w->http, out);
	LIST_FOREACH(t, &w->tasks, link)
		strbuf_addf(out, "request %s from %s\n", t->what,
			    http_req_alive(t->req) ? http_req_peer(t->req) : "?");
}

/* Tasks */

static void
on_task_unused(void *arg)
{
	struct web_task *t = arg;

	if (t->destroy)
		t->destroy(t);
	free(t);
}

static void
on_task_closed(void *arg)
{
	web_task_end(arg);
}

void
web_task_begin(struct web_task *t, struct web *w, struct http_req r)
{
	t->web = w;
	t->req = r;
	LIST_INSERT_HEAD(&w->tasks, t, link);
	http_req_on_close(r, on_task_closed, t);
}

void
web_task_end(struct web_task *t)
{
	if (t->ended)
		return;
	t->ended = true;
	LIST_REMOVE(t, link);
	t->release(t);
	loop_defer(t->web->d.loop, on_task_unused, t);
}

/* Helpers of the handlers */

void
web_base_url(const struct web *w, struct http_req r, struct strbuf *out)
{
	const char *url = w->conf->public_url;
	const char *host = http_req_header(r, "Host");

	if (url && *url) {
		strbuf_adds(out, url);
		while (out->len && out->data[out->len - 1] == '/')
			out->data[--out->len] = '\0';
		return;
	}
	strbuf_addf(out, "http://%s", host && query_host_ok(host) ? host : "localhost");
}

void
web_reply_json(struct http_req r, int status, struct json_object *o)
{
	size_t len;
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	http_reply(r, status, "application/json", text, len);
	json_object_put(o);
}

void
web_reply_field(struct http_req r, const char *field, const char *msg)
{
	struct err e = { 0 };

	err_field(&e, ERR_INVALID, field, "%s", msg);
	http_reply_err(r, &e);
}

bool
web_query_only(struct http_req r, const char *const *allowed)
{
	const char *key = http_req_unknown_query(r, allowed);

	if (key)
		web_reply_field(r, key, "unknown query parameter");
	return !key;
}

bool
web_query_uint(struct http_req r, const char *key, uint64_t max, uint64_t *out)
{
	const char *s = http_req_query(r, key);
	struct err e = { 0 };

	if (!s || query_uint(s, max, out))
		return true;
	err_field(&e, ERR_INVALID, key, "%s must be a number from 0 to %llu", key,
		  (unsigned long long)max);
	http_reply_err(r, &e);
	return false;
}

bool
web_query_bool(struct http_req r, const char *key, bool *out)
{
	const char *s = http_req_query(r, key);
	struct err e = { 0 };

	if (!s || query_bool(s, out))
		return true;
	err_field(&e, ERR_INVALID, key, "%s must be 0 or 1", key);
	http_reply_err(r, &e);
	return false;
}

const char *
web_query_id(struct http_req r)
{
	const char *id = http_req_query(r, "id");

	if (id && *id)
		return id;
	web_reply_field(r, "id", "the job's id is missing: ?id=...");
	return NULL;
}

struct jobspec *
web_spec_load(const struct web *w, const char *id, size_t *size)
{
	cleanup_strbuf struct strbuf json = { 0 };
	struct jobspec *spec = NULL;
	struct err e = { 0 };
	int found = db_spec_get(w->d.db, id, &json, &e);

	if (found == 1)
		spec = jobspec_parse(json.data, json.len, &e);
	else if (found == 0)
		err_set(&e, ERR_CORRUPT, "it is not in the store");
	if (!spec)
		log_warn(LOG_WEB, "job=%s its spec cannot be read: %s", id, e.msg);
	if (size)
		*size = json.len;
	return spec;
}

bool
web_view_load(struct web *w, struct http_req r, const char *id, struct job_view *v)
{
	struct err e = { 0 };
	int found = id_is_valid(id) ? engine_view(w->d.engine, id, v, &e) : 0;

	if (found == 1)
		return true;
	if (found == 0)
		err_field(&e, ERR_NOT_FOUND, "id", "no such job");
	else
		log_error(LOG_WEB, "job=%s cannot be shown: %s", id, e.msg);
	http_reply_err(r, &e);
	return false;
}
