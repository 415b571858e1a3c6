#include "http_gate.h"

#include <string.h>
#include <strings.h>

#include "http_route.h"
#include "slipway/mem.h"

/* Longer values are none that we would accept. */
#define FIELD_TEXT_MAX 512

/* A field's value as a string: NULL when it is absent, "" when it is too long. */
static const char *
field_text(const struct http_guard *g, const char *head, enum http_guard_field f,
	   char text[FIELD_TEXT_MAX])
{
	struct http_span span = g->fields[f];

	if (!(g->has & 1u << f))
		return NULL;
	if (span.len >= FIELD_TEXT_MAX)
		span.len = 0;
	memcpy(text, head + span.at, span.len);
	text[span.len] = '\0';
	return text;
}

/* False when the method is none of ours. */
static bool
read_method(struct http_request *r, const char *name)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
		{ "GET", HTTP_GET },	   { "HEAD", HTTP_GET },
		{ "POST", HTTP_POST },	   { "PUT", HTTP_PUT },
		{ "DELETE", HTTP_DELETE }, { "OPTIONS", HTTP_OPTIONS },
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (!strcmp(methods[i].name, name)) {
			r->method = methods[i].method;
			r->head = !strcmp(name, "HEAD");
			return true;
		}
	}
	return false;
}

static int
check_target(struct http_conn *c, const char *head)
{
	const struct http_span *t = &c->guard.target;
	const char *target = head + t->at;
	const char *query = memchr(target, '?', t->len);
	size_t path_len = query ? (size_t)(query - target) : t->len;
	struct err e = { 0 };

	if (http_path_decode(target, path_len, &c->r.path, &e) < 0)
		return http_request_refuse_err(c, &e);
	if (path_len + 1 >= t->len)
		return 0;
	c->r.query = xcalloc(1, sizeof(*c->r.query));
	if (http_query_parse(query + 1, t->len - path_len - 1, c->r.query, &e) < 0)
		return http_request_refuse_err(c, &e);
	return 0;
}

static int
check_host(struct http_conn *c, const struct http_policy *p, const char *head)
{
	char text[FIELD_TEXT_MAX];
	const char *host = field_text(&c->guard, head, HTTP_FIELD_HOST, text);

	if (!c->is_unix && !http_check_host(host, &p->own) &&
	    !http_check_host(host, &p->given))
		return http_request_refuse(c, 403, err_slug(ERR_FORBIDDEN),
					   "Host is not one of this server's names");
	return 0;
}

static int
check_route(struct http_conn *c, const struct http_policy *p, bool ours)
{
	const struct http_route *routes = p->opts.routes;
	const char *path = strbuf_str(&c->r.path);
	char allow[HTTP_ALLOW_LEN];
	bool known_path;

	c->r.route = http_route_find(routes, c->r.method, path, &known_path);
	if (c->r.route && ours)
		return 0;
	c->r.route = NULL;
	if (!known_path)
		return http_request_refuse(c, 404, err_slug(ERR_NOT_FOUND),
					   "there is nothing at this path");
	http_route_allow(routes, path, allow);
	strbuf_addf(&c->r.headers, "Allow: %s\r\n", allow);
	return http_request_refuse(c, 405, err_slug(ERR_METHOD), "this path takes %s",
				   allow);
}

static int
check_change(struct http_conn *c, const struct http_policy *p, const char *head)
{
	char origin_text[FIELD_TEXT_MAX], type_text[FIELD_TEXT_MAX];
	const char *origin = field_text(&c->guard, head, HTTP_FIELD_ORIGIN,
					origin_text);
	const char *type = field_text(&c->guard, head, HTTP_FIELD_TYPE, type_text);

	if (!(c->r.route->flags & HTTP_ROUTE_CHANGES))
		return 0;
	if (origin && !http_check_origin(origin, &p->own) &&
	    !http_check_origin(origin, &p->given) &&
	    !http_hosts_has(&p->origins, origin))
		return http_request_refuse(c, 403, err_slug(ERR_FORBIDDEN),
					   "Origin is not one of this server's names");
	if (c->r.route->flags & HTTP_ROUTE_FORM)
		return http_check_form(type) || !c->guard.content_length
			       ? 0
			       : http_request_refuse(
					 c, 415, err_slug(ERR_MEDIA_TYPE),
					 "Content-Type must be "
					 "application/x-www-form-urlencoded");
	/* A foreign page can make a browser send any request but one of this type. */
	if ((type || origin || c->guard.content_length) && !http_check_json(type))
		return http_request_refuse(c, 415, err_slug(ERR_MEDIA_TYPE),
					   "Content-Type must be application/json");
	return 0;
}

static int
refuse_for_budget(struct http_conn *c)
{
	strbuf_adds(&c->r.headers, "Retry-After: 1\r\n");
	return http_request_refuse(c, 503, err_slug(ERR_BUSY),
				   "too many bodies at once");
}

static int
check_length(struct http_conn *c, const struct http_policy *p)
{
	size_t most = http_route_max_body(c->r.route, p->opts.max_body);
	uint64_t len = c->guard.content_length;

	if (len > most)
		return c->r.refused
			       ? -1
			       : http_request_refuse(
					 c, 413, err_slug(ERR_TOO_LARGE),
					 "the body is larger than %zu bytes", most);
	if (len > p->opts.body_budget - p->body_bytes)
		return c->r.refused ? -1 : refuse_for_budget(c);
	return 0;
}

enum http_verdict
http_gate_check(struct http_conn *c, const struct http_policy *p, const char *head)
{
	bool ours = read_method(&c->r, c->r.method_name);
	bool ok = check_target(c, head) == 0 && check_host(c, p, head) == 0 &&
		  check_route(c, p, ours) == 0;

	/* Such a body is not waited for, whatever else is wrong. */
	if (check_length(c, p) < 0)
		return HTTP_REFUSE_NOW;
	if (!ok || check_change(c, p, head) < 0)
		return c->guard.expects ? HTTP_REFUSE_NOW : HTTP_GO_ON;
	return c->guard.expects && c->guard.content_length ? HTTP_SAY_GO_ON
							   : HTTP_GO_ON;
}

int
http_gate_reserve(struct http_conn *c, struct http_policy *p, size_t len)
{
	/* What is thrown away needs no room. */
	if (c->r.refused)
		return 0;
	if (len > p->opts.body_budget - p->body_bytes)
		return refuse_for_budget(c);
	c->r.body_len += len;
	p->body_bytes += len;
	return 0;
}

void
http_gate_release(struct http_conn *c, struct http_policy *p)
{
	p->body_bytes -= c->r.body_len;
	c->r.body_len = 0;
}
