#include "http_gate.h"

#include <string.h>
#include <strings.h>

#include "http_route.h"
#include "slipway/mem.h"

#define BODY_BUDGET (64ull << 20)

void
http_gate_field(struct http_fields *f, const char *name, const char *value)
{
	if (!http_check_header(name, value)) {
		f->malformed = true;
	} else if (!strcasecmp(name, "Host")) {
		f->host = value;
		f->hosts++;
	} else if (!strcasecmp(name, "Content-Length")) {
		f->length = value;
		f->lengths++;
	} else if (!strcasecmp(name, "Transfer-Encoding")) {
		f->encoded = true;
	} else if (!strcasecmp(name, "Origin")) {
		f->origin = value;
	} else if (!strcasecmp(name, "Content-Type")) {
		f->type = value;
	} else if (!strcasecmp(name, "Expect")) {
		f->expect = value;
	}
}

/* False when the method is none of ours. */
static bool
read_method(struct http_request *r, const char *name)
{
	static const struct {
		const char *name;
		enum http_method method;
	} methods[] = {
		{ "GET", HTTP_GET }, { "HEAD", HTTP_GET },	{ "POST", HTTP_POST },
		{ "PUT", HTTP_PUT }, { "DELETE", HTTP_DELETE },
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

/* Faults after which the end of the message is unknown, or it is too much. */
static int
check_framing(struct http_conn *c, struct http_policy *p, const struct http_fields *f)
{
	uint64_t len = 0;

	if (!f->known_version)
		return http_request_refuse(c, 505, "version", "HTTP/1.0 or 1.1 only");
	if (f->malformed)
		return http_request_refuse(c, 400, "invalid", "malformed header");
	if (f->encoded)
		return http_request_refuse(c, 411, "length_required",
					   "Transfer-Encoding is not supported");
	if (f->lengths > 1 || (f->lengths && !http_check_length(f->length, &len)))
		return http_request_refuse(c, 400, "invalid", "bad Content-Length");
	if (len > p->opts.max_body)
		return http_request_refuse(c, 413, err_slug(ERR_TOO_LARGE),
					   "the body is larger than %zu bytes",
					   p->opts.max_body);
	if (p->body_bytes + len > BODY_BUDGET)
		return http_request_refuse(c, 503, err_slug(ERR_BUSY),
					   "too many bodies at once");
	if (f->expect && strcasecmp(f->expect, "100-continue") != 0)
		return http_request_refuse(c, 417, "expectation", "unknown Expect");
	c->r.body_len = len;
	p->body_bytes += len;
	return 0;
}

static int
check_target(struct http_conn *c, const struct http_fields *f)
{
	struct err e = { 0 };

	if (!f->path || f->absolute)
		return http_request_refuse(c, 400, "invalid", "bad request target");
	if (http_path_decode(f->path, strlen(f->path), &c->r.path, &e) < 0)
		return http_request_refuse_err(c, &e);
	if (!f->query || !*f->query)
		return 0;
	c->r.query = xcalloc(1, sizeof(*c->r.query));
	if (http_query_parse(f->query, strlen(f->query), c->r.query, &e) < 0)
		return http_request_refuse_err(c, &e);
	return 0;
}

static int
check_host(struct http_conn *c, const struct http_policy *p,
	   const struct http_fields *f)
{
	if (f->hosts != 1)
		return http_request_refuse(c, 400, "invalid", "%s Host header",
					   f->hosts ? "more than one" : "no");
	if (!c->is_unix && !http_check_host(f->host, &p->own) &&
	    !http_check_host(f->host, &p->given))
		return http_request_refuse(c, 403, err_slug(ERR_FORBIDDEN),
					   "Host is not one of this server's names");
	return 0;
}

static int
check_route(struct http_conn *c, const struct http_policy *p,
	    const struct http_fields *f)
{
	const struct http_route *routes = p->opts.routes;
	const char *path = strbuf_str(&c->r.path);
	bool ours = c->r.method_name && read_method(&c->r, c->r.method_name);
	char allow[HTTP_ALLOW_LEN];
	bool known_path;

	if (!ours && !f->standard_method)
		return http_request_refuse(c, 501, "not_implemented", "unknown method");
	c->r.route = http_route_find(routes, c->r.method, path, &known_path);
	if (c->r.route && ours)
		return 0;
	if (!known_path)
		return http_request_refuse(c, 404, err_slug(ERR_NOT_FOUND),
					   "there is nothing at this path");
	http_route_allow(routes, path, allow);
	strbuf_addf(&c->r.headers, "Allow: %s\r\n", allow);
	return http_request_refuse(c, 405, err_slug(ERR_METHOD), "this path takes %s",
				   allow);
}

static int
check_change(struct http_conn *c, const struct http_policy *p,
	     const struct http_fields *f)
{
	if (!(c->r.route->flags & HTTP_ROUTE_CHANGES))
		return 0;
	if (f->origin && !http_check_origin(f->origin, &p->own) &&
	    !http_check_origin(f->origin, &p->given))
		return http_request_refuse(c, 403, err_slug(ERR_FORBIDDEN),
					   "Origin is not one of this server's names");
	if (c->r.route->flags & HTTP_ROUTE_FORM)
		return http_check_form(f->type) || !c->r.body_len
			       ? 0
			       : http_request_refuse(
					 c, 415, err_slug(ERR_MEDIA_TYPE),
					 "Content-Type must be "
					 "application/x-www-form-urlencoded");
	/* A foreign page can make a browser send any request but one of this type. */
	if ((f->type || f->origin || c->r.body_len) && !http_check_json(f->type))
		return http_request_refuse(c, 415, err_slug(ERR_MEDIA_TYPE),
					   "Content-Type must be application/json");
	return 0;
}

enum http_verdict
http_gate_check(struct http_conn *c, struct http_policy *p, const struct http_fields *f)
{
	bool waits = f->expect && !c->r.http10;

	if (check_framing(c, p, f) < 0)
		return HTTP_REFUSE_NOW;
	if (check_target(c, f) < 0 || check_host(c, p, f) < 0 ||
	    check_route(c, p, f) < 0 || check_change(c, p, f) < 0)
		return waits ? HTTP_REFUSE_NOW : HTTP_GO_ON;
	return waits && c->r.body_len ? HTTP_SAY_GO_ON : HTTP_GO_ON;
}

void
http_gate_release(struct http_conn *c, struct http_policy *p)
{
	p->body_bytes -= c->r.body_len;
	c->r.body_len = 0;
}
