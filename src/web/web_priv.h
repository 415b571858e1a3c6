/*
 * web_priv: what the files of web/ share. Loop thread only.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "audit.h"
#include "auth.h"
#include "slipway/http.h"
#include "slipway/jobspec.h"
#include "slipway/web.h"

/* A request that is not answered in the turn of its handler. First member of the
 * object that stands for it, which is malloc'ed or of the slab. */
struct web_task {
	LIST_ENTRY(web_task) link;
	struct web *web;
	struct http_req req;
	const char *what; /* for the dump; NULL: nothing there */
	/* Drops timers, subscriptions, readers; called once, maybe from inside one of
	 * their callbacks. */
	void (*release)(struct web_task *t);
	/* Frees memory held inside; called once, later. May be NULL. */
	void (*destroy)(struct web_task *t);
	struct slab *slab; /* NULL: malloc'ed */
	bool ended;
};

/* What a route asks of a request; the strictest where a row says nothing. */
enum web_needs { WEB_ADMIN, WEB_SUBMIT, WEB_READ, WEB_OPEN };

#define WEB_ROUTE_DRY 0x100u /* sent like a change, but changes nothing */

struct web_route {
	enum http_method method;
	const char *path;
	unsigned flags;
	void (*handler)(struct http_req r, void *arg);
	enum web_needs needs;
};

extern const struct web_route web_routes[]; /* ends with path NULL */

struct web {
	struct web_deps d;
	const struct conf *conf;
	struct http *http;
	struct http_route *routes; /* as web_routes[], each to on_request() */
	struct audit *audit;
	struct auth *auth;
	int64_t started; /* clock_mono_ms */
	uint64_t changes; /* grows whenever something of a job changed */
	struct bus_sub *changes_sub;
	LIST_HEAD(, web_task) tasks;
	struct feed *feeds; /* uthash; feed.h */
	struct slab *streams;
	struct status_cache *statuses;
};

/* Ties t to the request; from now on it ends with it. */
void web_task_begin(struct web_task *t, struct web *w, struct http_req r);
/* Idempotent. The memory stays until the end of the turn. */
void web_task_end(struct web_task *t);

/* "https://ci.example.org", without a slash at its end. */
void web_base_url(const struct web *w, struct http_req r, struct strbuf *out);
/* Who asks, for records and people: "api (127.0.0.1:4711)". malloc'ed. */
char *web_actor(struct http_req r);
/* Consumes o. */
void web_reply_json(struct http_req r, int status, struct json_object *o);
void web_reply_field(struct http_req r, const char *field, const char *msg);

/* Queries; these answer 400 themselves when they return false. */
bool web_query_only(struct http_req r, const char *const *allowed);
bool web_query_uint(struct http_req r, const char *key, uint64_t max, uint64_t *out);
bool web_query_bool(struct http_req r, const char *key, bool *out);
/* The mandatory job id; NULL when it was missing. */
const char *web_query_id(struct http_req r);

/* Reads and parses a job's spec; NULL (logged) when it cannot be had. *size gets the
 * bytes of its canonical form when given. */
struct jobspec *web_spec_load(const struct web *w, const char *id, size_t *size);
/* The view of a job; answers 404 or 500 itself when it returns false. */
bool web_view_load(struct web *w, struct http_req r, const char *id,
		   struct job_view *v);

/* Handlers; arg is the struct web. */
void api_root(struct http_req r, void *arg);
void api_openapi(struct http_req r, void *arg);
void api_health(struct http_req r, void *arg);
void api_health_stream(struct http_req r, void *arg);
void api_submit(struct http_req r, void *arg);
void api_validate(struct http_req r, void *arg);
void api_cancel(struct http_req r, void *arg);
void api_retry(struct http_req r, void *arg);
void api_list(struct http_req r, void *arg);
void api_status(struct http_req r, void *arg);
void api_logs(struct http_req r, void *arg);
void api_tokens(struct http_req r, void *arg);
void api_token_create(struct http_req r, void *arg);
void api_token_revoke(struct http_req r, void *arg);
void api_audit(struct http_req r, void *arg);
void page_login(struct http_req r, void *arg);
void page_login_try(struct http_req r, void *arg);
void page_logout(struct http_req r, void *arg);
void api_worker(struct http_req r, void *arg);
void api_admin_status(struct http_req r, void *arg);
void api_admin_pause(struct http_req r, void *arg);
void api_admin_drain(struct http_req r, void *arg);
void api_admin_resume(struct http_req r, void *arg);
void api_admin_reload(struct http_req r, void *arg);
void api_admin_maintenance(struct http_req r, void *arg);
void api_lines(struct http_req r, void *arg);
void page_dashboard(struct http_req r, void *arg);
void page_changes(struct http_req r, void *arg);
void page_job(struct http_req r, void *arg);
void page_action(struct http_req r, void *arg);
void page_login(struct http_req r, void *arg);
void page_ui(struct http_req r, void *arg);
