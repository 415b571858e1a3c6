#include "web_priv.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <string.h>

#include "cors.h"
#include "feed.h"
#include "query.h"
#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/id.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/netaddr.h"
#include "slipway/slab.h"
#include "status_cache.h"

/*
 *	request → http (route, Host, Origin, type, size) → auth → handler → reply
 *	                                                        → web_task → ... → reply
 */

/* Who may is part of the row; a test holds every one against it. What each asks and
 * answers is described in api_openapi_routes.c. */
const struct web_route web_routes[] = {
	{ HTTP_GET, "/", 0, api_root, WEB_READ },
	{ HTTP_GET, "/health", 0, api_health, WEB_OPEN },
	{ HTTP_GET, "/health/ready", 0, api_health, WEB_OPEN },
	{ HTTP_GET, "/health/stream", 0, api_health_stream, WEB_OPEN },
	{ HTTP_GET, "/openapi.json", 0, api_openapi, WEB_READ },
	{ HTTP_GET, "/jobs", 0, api_list, WEB_READ },
	{ HTTP_GET, "/jobs/status", 0, api_status, WEB_READ },
	{ HTTP_GET, "/jobs/logs", 0, api_logs, WEB_READ },
	{ HTTP_GET, "/jobs/lines", 0, api_lines, WEB_READ },
	{ HTTP_POST, "/jobs/submit", HTTP_ROUTE_CHANGES, api_submit, WEB_SUBMIT },
	{ HTTP_POST, "/jobs/validate", HTTP_ROUTE_CHANGES | WEB_ROUTE_DRY, api_validate,
	  WEB_SUBMIT },
	{ HTTP_POST, "/jobs/cancel", HTTP_ROUTE_CHANGES, api_cancel, WEB_SUBMIT },
	{ HTTP_POST, "/jobs/retry", HTTP_ROUTE_CHANGES, api_retry, WEB_SUBMIT },
	{ HTTP_POST, "/worker", HTTP_ROUTE_CHANGES, api_worker, WEB_ADMIN },
	{ HTTP_GET, "/admin/status", 0, api_admin_status, WEB_ADMIN },
	{ HTTP_POST, "/admin/pause", HTTP_ROUTE_CHANGES, api_admin_pause, WEB_ADMIN },
	{ HTTP_POST, "/admin/drain", HTTP_ROUTE_CHANGES, api_admin_drain, WEB_ADMIN },
	{ HTTP_POST, "/admin/resume", HTTP_ROUTE_CHANGES, api_admin_resume, WEB_ADMIN },
	{ HTTP_POST, "/admin/reload", HTTP_ROUTE_CHANGES, api_admin_reload, WEB_ADMIN },
	{ HTTP_POST, "/admin/maintenance", HTTP_ROUTE_CHANGES, api_admin_maintenance,
	  WEB_ADMIN },
	{ HTTP_GET, "/admin/tokens", 0, api_tokens, WEB_ADMIN },
	{ HTTP_POST, "/admin/tokens", HTTP_ROUTE_CHANGES, api_token_create, WEB_ADMIN },
	{ HTTP_POST, "/admin/tokens/revoke", HTTP_ROUTE_CHANGES, api_token_revoke,
	  WEB_ADMIN },
	{ HTTP_GET, "/admin/audit", 0, api_audit, WEB_ADMIN },
	{ HTTP_GET, "/login", 0, page_login, WEB_OPEN },
	{ HTTP_POST, "/login", HTTP_ROUTE_CHANGES | HTTP_ROUTE_FORM, page_login_try,
	  WEB_OPEN },
	{ HTTP_POST, "/logout", HTTP_ROUTE_CHANGES | HTTP_ROUTE_FORM, page_logout,
	  WEB_OPEN },
	{ HTTP_GET, "/dashboard", 0, page_dashboard, WEB_READ },
	{ HTTP_GET, "/dashboard/changes", 0, page_changes, WEB_READ },
	{ HTTP_GET, "/dashboard/jobs/", HTTP_ROUTE_PREFIX, page_job, WEB_READ },
	{ HTTP_POST, "/dashboard/jobs/",
	  HTTP_ROUTE_PREFIX | HTTP_ROUTE_CHANGES | HTTP_ROUTE_FORM, page_action,
	  WEB_SUBMIT },
	{ HTTP_GET, "/ui/", HTTP_ROUTE_PREFIX, page_ui, WEB_OPEN },
	{ .path = NULL },
};
#define ROUTES (ARRAY_LEN(web_routes) - 1)

static void
on_request(struct http_req r, void *arg)
{
	struct web *w = arg;
	const struct web_route *route = &web_routes[http_req_route(r) - w->routes];

	if (auth_admit(w->auth, r, route))
		route->handler(r, w);
}

static void
on_begin(struct http_req r, void *arg)
{
	struct web *w = arg;

	cors_begin(w, r);
	auth_begin(w->auth, r);
}

static void
on_end(struct http_req r, int status, void *arg)
{
	struct web *w = arg;

	auth_end(w->auth, r, status);
}

static void
web_set_routes(struct web *w)
{
	w->routes = xcalloc(ROUTES + 2, sizeof(*w->routes));
	for (size_t i = 0; i < ROUTES; i++)
		w->routes[i] = (struct http_route){ web_routes[i].method,
						    web_routes[i].path,
						    web_routes[i].flags, on_request };
	/* Without sites to allow there is no OPTIONS at all. */
	if (w->conf->http_cors_origins.n)
		w->routes[ROUTES] = (struct http_route){
			.method = HTTP_OPTIONS,
			.path = "/",
			.flags = HTTP_ROUTE_PREFIX,
			.handler = cors_preflight,
		};
}

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
	http_set_origins(w->http, (const char *const *)w->conf->http_cors_origins.v,
			 w->conf->http_cors_origins.n);
	free(hosts);
}

static void
on_any_event(void *arg, const struct bus_event *ev)
{
	struct web *w = arg;

	w->changes += ev->what == BUS_JOB;
}

static int
web_set_auth(struct web *w, struct err *e)
{
	struct auth_deps d = { .db = w->d.db, .conf = w->conf };

	w->audit = d.audit = audit_new(w->d.loop, w->d.pool, w->conf->state_dir);
	w->auth = auth_new(&d, e);
	return w->auth ? 0 : -1;
}

static int
web_set_http(struct web *w, struct err *e)
{
	const struct http_opts o = {
		.loop = w->d.loop,
		.routes = w->routes,
		.arg = w,
		.on_request = on_begin,
		.on_end = on_end,
		.max_body = JOBSPEC_BODY_MAX,
		.max_connections = (unsigned)w->conf->http_max_connections,
		.stall_ms = w->conf->http_stream_timeout_ms,
		.beat_ms = w->conf->http_stream_beat_ms,
	};

	w->http = http_new(&o, e);
	return w->http ? 0 : -1;
}

static void
on_web_unused(void *arg)
{
	struct web *w = arg;

	slab_destroy(w->streams);
	status_cache_free(w->statuses);
	free(w->routes);
	free(w);
}

struct web *
web_new(const struct web_deps *d, struct err *e)
{
	struct web *w = xcalloc(1, sizeof(*w));

	w->d = *d;
	w->conf = d->conf;
	w->started = clock_mono_ms();
	LIST_INIT(&w->tasks);
	w->streams = slab_new(sizeof(struct stream));
	w->statuses = status_cache_new();
	web_set_routes(w);
	if (web_set_auth(w, e) || web_set_http(w, e)) {
		web_free(w);
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
	auth_free(w->auth);
	audit_free(w->audit);
	/* After what was just ended. */
	loop_defer(w->d.loop, on_web_unused, w);
}

static bool
listen_is_loopback(const char *addr)
{
	struct netaddr a;

	return netaddr_parse_hop(addr, strlen(addr), &a) && netaddr_is_loopback(&a);
}

/* Who is in the group slipway may administer. */
static void
share_socket(const char *path)
{
	const struct group *g = getgrnam("slipway");

	if (g && chown(path, (uid_t)-1, g->gr_gid) < 0)
		log_warn(LOG_WEB, "%s stays without the group slipway: %s", path,
			 strerror(errno));
}

static int
listen_unix(struct web *w, struct err *e)
{
	const char *path = w->conf->http_unix_socket;

	if (!*path)
		return 0;
	if (http_listen_unix(w->http, path, e))
		return err_wrap(e, "http.unix_socket");
	share_socket(path);
	return 0;
}

int
web_listen(struct web *w, uint16_t *port, struct err *e)
{
	const struct conf *c = w->conf;
	uint16_t bound;

	*port = 0;
	if (listen_unix(w, e))
		return -1;
	for (size_t i = 0; i < c->http_listen.n; i++) {
		const char *addr = c->http_listen.v[i];

		if (!listen_is_loopback(addr) &&
		    !auth_tokens_any_live(auth_table(w->auth), clock_wall_ms()))
			return err_field(
				e, ERR_INVALID, "http.listen",
				"%s is not a loopback address, and no token is valid "
				"yet: listen on 127.0.0.1:8080 once, make a token with "
				"`slipway token create --name admin --scope admin`, and "
				"start again",
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
	auth_reload(w->auth, conf);
	web_set_hosts(w);
}

void
web_dump(const struct web *w, struct strbuf *out)
{
	const struct web_task *t;

	http_dump(w->http, out);
	feeds_dump(w, out);
	LIST_FOREACH(t, &w->tasks, link)
		if (t->what)
			strbuf_addf(out, "request %s from %s\n", t->what,
				    http_req_alive(t->req) ? http_req_peer(t->req)
							   : "?");
}

/* Tasks */

static void
on_task_unused(void *arg)
{
	struct web_task *t = arg;

	if (t->destroy)
		t->destroy(t);
	if (t->slab)
		slab_put(t->slab, t);
	else
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

char *
web_actor(struct http_req r)
{
	cleanup_strbuf struct strbuf who = { 0 };

	auth_describe(r, &who);
	return xasprintf("api (%s)", strbuf_str(&who));
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
