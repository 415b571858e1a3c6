/*
 * head complete -> http_request_begin(): the handle lives
 * answered, or connection gone -> http_request_end(): it is dead, on_close is deferred
 * a stream begins -> it takes the place of the connection in its slot
 * answer flushed -> http_request_clear(): its strings go
 *
 * Handles name a slot and a generation. A slot belongs to a connection; its generation
 * grows when a request begins and when it ends, so it is odd while one is alive.
 */
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "http_check.h"
#include "http_gate.h"
#include "http_head.h"
#include "http_priv.h"
#include "http_route.h"
#include "http_stream.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/* Of a form's body. */
#define FORM_MAX (16u << 10)

struct slot {
	struct http_conn *conn; /* both NULL: free */
	struct http_stream *stream;
	uint32_t gen;
	uint32_t next_free;
};

static struct {
	struct slot *slots;
	uint32_t n, cap;
	uint32_t first_free; /* index + 1, or 0 */
} table;

void
http_slot_take(struct http_conn *c)
{
	uint32_t i;

	if (table.first_free) {
		i = table.first_free - 1;
		table.first_free = table.slots[i].next_free;
	} else {
		if (table.n == table.cap) {
			table.cap = table.cap ? table.cap * 2 : 64;
			table.slots = xreallocarray(table.slots, table.cap,
						    sizeof(*table.slots));
		}
		i = table.n++;
		table.slots[i].gen = 0;
	}
	table.slots[i].conn = c;
	table.slots[i].stream = NULL;
	c->slot = i;
}

void
http_slot_release(uint32_t slot)
{
	struct slot *s = &table.slots[slot];

	s->conn = NULL;
	s->stream = NULL;
	s->next_free = table.first_free;
	table.first_free = slot + 1;
}

void
http_slot_end(uint32_t slot)
{
	struct slot *s = &table.slots[slot];

	s->gen += s->gen & 1;
}

static const struct slot *
slot_of(struct http_req r)
{
	const struct slot *s;

	if (r.slot >= table.n)
		return NULL;
	s = &table.slots[r.slot];
	return s->gen == r.gen && s->gen & 1 ? s : NULL;
}

static struct http_conn *
conn_of(struct http_req r)
{
	const struct slot *s = slot_of(r);

	return s ? s->conn : NULL;
}

struct http_stream *
http_slot_stream(struct http_req r)
{
	const struct slot *s = slot_of(r);

	return s ? s->stream : NULL;
}

static struct http_req
handle_of(const struct http_conn *c)
{
	return (struct http_req){ c->slot, table.slots[c->slot].gen };
}

void
http_request_begin(struct http_conn *c)
{
	table.slots[c->slot].gen++;
}

void
http_request_end(struct http_conn *c)
{
	struct slot *s = &table.slots[c->slot];

	if (!(s->gen & 1))
		return;
	if (c->policy->opts.on_end)
		c->policy->opts.on_end(handle_of(c), c->r.status, c->policy->opts.arg);
	http_slot_end(c->slot);
	if (c->r.on_close)
		loop_defer(c->loop, c->r.on_close, c->r.on_close_arg);
	c->r.on_close = NULL;
}

void
http_request_clear(struct http_conn *c)
{
	struct http_request *r = &c->r;

	strbuf_free(&r->path);
	strbuf_free(&r->headers);
	strbuf_free(&r->refusal);
	strbuf_free(&r->body);
	if (r->query)
		http_query_free(r->query);
	free(r->query);
	if (r->form)
		http_query_free(r->form);
	free(r->form);
	memset(r, 0, sizeof(*r));
}

int
http_request_refuse(struct http_conn *c, int status, const char *code, const char *fmt,
		    ...)
{
	char msg[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	c->r.refused = status;
	strbuf_reset(&c->r.refusal);
	http_error_add(&c->r.refusal, msg, code, NULL);
	return -1;
}

int
http_request_refuse_err(struct http_conn *c, const struct err *e)
{
	c->r.refused = err_http_status(e->code);
	strbuf_reset(&c->r.refusal);
	http_error_add(&c->r.refusal, e->msg, err_slug(e->code), e->field);
	return -1;
}

void
http_request_dispatch(struct http_conn *c, void *handler_arg)
{
	struct http_req r = handle_of(c);

	c->phase = HTTP_WAIT;
	if (c->policy->opts.on_request)
		c->policy->opts.on_request(r, handler_arg);
	if (c->r.refused)
		http_reply(r, c->r.refused, "application/json", c->r.refusal.data,
			   c->r.refusal.len);
	else
		c->r.route->handler(r, handler_arg);
}

bool
http_req_alive(struct http_req r)
{
	return slot_of(r) != NULL;
}

enum http_method
http_req_method(struct http_req r)
{
	struct http_conn *c = conn_of(r);

	return c ? c->r.method : HTTP_GET;
}

const char *
http_req_method_name(struct http_req r)
{
	struct http_conn *c = conn_of(r);

	return c ? c->r.method_name : NULL;
}

const struct http_route *
http_req_route(struct http_req r)
{
	struct http_conn *c = conn_of(r);

	return c ? c->r.route : NULL;
}

void
http_req_target(struct http_req r, struct strbuf *out)
{
	struct http_conn *c = conn_of(r);

	if (!c)
		return;
	http_path_encode(strbuf_str(&c->r.path), out);
	if (c->r.query)
		http_query_encode(c->r.query, out);
}

const char *
http_req_path(struct http_req r)
{
	struct http_conn *c = conn_of(r);

	return c ? strbuf_str(&c->r.path) : NULL;
}

const char *
http_req_rest(struct http_req r)
{
	struct http_conn *c = conn_of(r);

	return c && c->r.route ? http_route_rest(c->r.route, strbuf_str(&c->r.path))
			       : NULL;
}

const char *
http_req_query(struct http_req r, const char *key)
{
	struct http_conn *c = conn_of(r);

	return c && c->r.query ? http_query_get(c->r.query, key) : NULL;
}

static bool
is_in(const char *const *list, const char *s)
{
	for (; *list; list++) {
		if (!strcmp(*list, s))
			return true;
	}
	return false;
}

const char *
http_req_unknown_query(struct http_req r, const char *const *allowed)
{
	struct http_conn *c = conn_of(r);

	if (!c || !c->r.query)
		return NULL;
	for (size_t i = 0; i < c->r.query->n; i++) {
		if (!is_in(allowed, c->r.query->pairs[i].key))
			return c->r.query->pairs[i].key;
	}
	return NULL;
}

const char *
http_req_header(struct http_req r, const char *name)
{
	struct http_conn *c = conn_of(r);

	return c ? http_conn_header(c, name) : NULL;
}

size_t
http_req_header_all(struct http_req r, const char *name, struct strbuf *out)
{
	struct http_conn *c = conn_of(r);

	return c ? http_conn_header_all(c, name, out) : 0;
}

const char *
http_req_form(struct http_req r, const char *key)
{
	struct http_conn *c = conn_of(r);
	const char *body;
	size_t len;

	if (!c)
		return NULL;
	if (!c->r.form) {
		body = http_conn_body(c, &len);
		c->r.form = xcalloc(1, sizeof(*c->r.form));
		if (len > FORM_MAX ||
		    http_query_parse(body, len, c->r.form, NULL) < 0) {
			http_query_free(c->r.form);
			memset(c->r.form, 0, sizeof(*c->r.form));
		}
	}
	return http_query_get(c->r.form, key);
}

const char *
http_req_body(struct http_req r, size_t *len)
{
	struct http_conn *c = conn_of(r);

	*len = 0;
	return c ? http_conn_body(c, len) : NULL;
}

const char *
http_req_peer(struct http_req r)
{
	const struct slot *s = slot_of(r);

	if (!s)
		return NULL;
	return s->conn ? s->conn->peer : http_stream_peer(s->stream);
}

bool
http_req_is_unix(struct http_req r)
{
	struct http_conn *c = conn_of(r);

	return c && c->is_unix;
}

bool
http_req_uid(struct http_req r, uid_t *uid)
{
	struct http_conn *c = conn_of(r);

	if (!c || !c->has_uid)
		return false;
	*uid = c->uid;
	return true;
}

void
http_req_set_data(struct http_req r, void *data)
{
	struct http_conn *c = conn_of(r);

	if (c)
		c->r.data = data;
}

void *
http_req_data(struct http_req r)
{
	struct http_conn *c = conn_of(r);

	return c ? c->r.data : NULL;
}

void
http_req_on_close(struct http_req r, void (*fn)(void *), void *arg)
{
	const struct slot *s = slot_of(r);

	if (!s)
		return;
	if (s->stream) {
		http_stream_set_close(s->stream, fn, arg);
	} else {
		s->conn->r.on_close = fn;
		s->conn->r.on_close_arg = arg;
	}
}

void
http_set_header(struct http_req r, const char *name, const char *value)
{
	struct http_conn *c = conn_of(r);

	if (!c || !http_check_header(name, value))
		return;
	strbuf_adds(&c->r.headers, name);
	strbuf_adds(&c->r.headers, ": ");
	strbuf_adds(&c->r.headers, value);
	strbuf_adds(&c->r.headers, "\r\n");
}

static void
make_head(struct http_conn *c, struct http_head *h, struct strbuf *out)
{
	c->r.status = h->status;
	h->extra = &c->r.headers;
	h->http10 = c->r.http10;
	if (h->type && !http_check_header("Content-Type", h->type))
		h->type = NULL;
	strbuf_reserve(out, 256 + h->extra->len);
	http_head_add(out, h);
	log_debug(LOG_HTTP, "peer=%s path=%s status=%d", c->peer,
		  strbuf_str(&c->r.path), h->status);
}

static void
answer(struct http_conn *c, struct http_head *h, const void *body, size_t len)
{
	cleanup_strbuf struct strbuf head = { 0 };
	struct iovec parts[2];

	make_head(c, h, &head);
	parts[0] = (struct iovec){ head.data, head.len };
	parts[1] = (struct iovec){ (void *)(uintptr_t)body, len };
	http_conn_send(c, parts, len ? 2 : 1);
}

static void
finish(struct http_conn *c, bool keep)
{
	http_request_end(c);
	http_conn_finish(c, keep);
}

void
http_reply(struct http_req r, int status, const char *type, const void *body,
	   size_t len)
{
	struct http_conn *c = conn_of(r);
	bool has_body = http_status_has_body(status);
	struct http_head h = {
		.status = status,
		.type = has_body ? type : NULL,
		.framing = has_body ? HTTP_FRAME_LENGTH : HTTP_FRAME_CLOSE,
		.length = len,
	};

	if (!c)
		return;
	h.keep = http_conn_may_keep(c);
	answer(c, &h, body, has_body && !c->r.head ? len : 0);
	finish(c, h.keep);
}

void
http_reply_err(struct http_req r, const struct err *e)
{
	cleanup_strbuf struct strbuf body = { 0 };

	http_error_add(&body, e->msg, err_slug(e->code), e->field);
	http_reply(r, err_http_status(e->code), "application/json", body.data,
		   body.len);
}

void
http_stream_on_drain(struct http_req r, void (*fn)(void *), void *arg)
{
	const struct slot *s = slot_of(r);

	if (!s)
		return;
	if (s->stream) {
		http_stream_set_drain(s->stream, fn, arg);
	} else {
		s->conn->r.on_drain = fn;
		s->conn->r.on_drain_arg = arg;
	}
}

static void
stream_answer(struct http_conn *c, struct http_head *h)
{
	cleanup_strbuf struct strbuf head = { 0 };
	struct http_streams *all = http_conn_streams(c);
	struct http_stream_start o = {
		.slot = c->slot,
		.chunked = !c->r.http10,
		.on_close = c->r.on_close,
		.on_close_arg = c->r.on_close_arg,
		.on_drain = c->r.on_drain,
		.on_drain_arg = c->r.on_drain_arg,
	};

	h->framing = o.chunked ? HTTP_FRAME_CHUNKED : HTTP_FRAME_CLOSE;
	make_head(c, h, &head);
	/* To its owner the request is over: what goes on is the stream. */
	if (c->policy->opts.on_end)
		c->policy->opts.on_end(handle_of(c), c->r.status, c->policy->opts.arg);
	table.slots[o.slot].conn = NULL;
	o.fd = http_conn_detach(c);
	table.slots[o.slot].stream = http_stream_new(all, &o, &head);
}

void
http_stream_start(struct http_req r, int status, const char *type)
{
	struct http_conn *c = conn_of(r);
	struct http_head h = { .status = status, .type = type };

	if (!c)
		return;
	if (http_status_has_body(status) && !c->r.head) {
		stream_answer(c, &h);
		return;
	}
	h.framing = HTTP_FRAME_CLOSE;
	h.keep = http_conn_may_keep(c);
	answer(c, &h, NULL, 0);
	finish(c, h.keep);
}
