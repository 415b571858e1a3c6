/*
 * http_input_bytes()      held back until http_guard has a whole head  HEAD
 * conn_take_head()        http_gate lets it in, or it is refused       BODY
 * conn_feed()             the head and its body, no more, go to evhtp
 * on_message_complete()   or refused before                            READY
 * dispatch() [defer]      the handler runs, outside of evhtp's stack   WAIT
 *
 * conn_feed() is the only caller of evhtp_read.
 */
#include "http_input.h"

#include <string.h>

#include <evhtp/evhtp.h>

#include "http_gate.h"
#include "slipway/log.h"

static struct evbuffer *
conn_input(const struct http_conn *c)
{
	return bufferevent_get_input(evhtp_connection_get_bev(c->ev));
}

/* Bytes that belong to no request we would answer. */
static void
conn_drop_input(struct http_conn *c)
{
	size_t len = evbuffer_get_length(conn_input(c));

	if (!len)
		return;
	evbuffer_drain(conn_input(c), len);
	c->excess = true;
	if (c->phase == HTTP_FLUSH)
		http_conn_give_up(c);
}

static void
dispatch(void *arg)
{
	struct http_conn *c = arg;

	if (c->ev && c->phase == HTTP_READY)
		http_request_dispatch(c, c->policy->opts.arg);
}

static void
conn_ready(struct http_conn *c)
{
	c->phase = HTTP_READY;
	loop_timer_stop(c->deadline);
	loop_defer(c->loop, dispatch, c);
}

/* A refusal that does not wait for the rest of the request. */
static void
conn_ready_at_once(struct http_conn *c)
{
	c->excess = true;
	http_gate_release(c, c->policy);
	strbuf_free(&c->r.body);
	conn_ready(c);
}

static void
conn_begin_request(struct http_conn *c)
{
	http_request_begin(c);
	c->r.http10 = c->guard.http10;
	c->r.method_name = c->guard.method;
	c->r.head = c->guard.method && !strcmp(c->guard.method, "HEAD");
}

static void
on_message_complete(evhtp_request_t *req, void *arg)
{
	struct http_conn *c = arg;

	if (c->phase == HTTP_BODY)
		conn_ready(c);
}

static evhtp_res
on_headers(evhtp_request_t *req, evhtp_headers_t *headers, void *arg)
{
	struct http_conn *c = arg;

	c->req = req;
	req->cb = on_message_complete;
	req->cbarg = c;
	c->r.keep = evhtp_request_get_flags(req) & EVHTP_REQ_FLAG_KEEPALIVE;
	return EVHTP_RES_OK;
}

/* Nothing of a body stays in evhtp: a form it would parse as a query. */
static evhtp_res
on_body(evhtp_request_t *req, struct evbuffer *buf, void *arg)
{
	struct http_conn *c = arg;
	size_t len = evbuffer_get_length(buf);

	if (!c->r.refused && len)
		strbuf_add(&c->r.body, evbuffer_pullup(buf, -1), len);
	evbuffer_drain(buf, len);
	return EVHTP_RES_OK;
}

/* What follows the first len bytes is not this request's. */
static void
conn_cut_input(struct http_conn *c, size_t len)
{
	struct evbuffer *in = conn_input(c), *own = evbuffer_new();

	if (!own || evbuffer_remove_buffer(in, own, len) < 0)
		log_fatal(LOG_HTTP, "out of memory for a request");
	conn_drop_input(c);
	/* The end of a bufferevent's input is frozen, its front is not. */
	evbuffer_prepend_buffer(in, own);
	evbuffer_free(own);
}

/* Hands evhtp what is here of the body, after the head if that is in front of it. */
static void
conn_feed(struct http_conn *c, size_t head_len)
{
	size_t len = evbuffer_get_length(conn_input(c)) - head_len;

	if (len > c->body_left) {
		len = c->body_left;
		conn_cut_input(c, head_len + len);
	}
	if (http_gate_reserve(c, c->policy, len) < 0) {
		conn_ready_at_once(c);
		return;
	}
	c->body_left -= len;
	c->evhtp_read(evhtp_connection_get_bev(c->ev), c->ev);
	if (c->ev && (c->phase == HTTP_BODY) != (c->body_left > 0)) {
		log_error(LOG_HTTP, "peer=%s libevhtp saw another end of a request",
			  c->peer);
		evhtp_connection_free(c->ev);
	}
}

static void
conn_take_head(struct http_conn *c, const char *head)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	enum http_verdict verdict;

	c->phase = HTTP_BODY;
	c->body_left = c->guard.content_length;
	loop_timer_set(c->deadline, c->policy->opts.body_ms);
	conn_begin_request(c);
	verdict = http_gate_check(c, c->policy, head);
	if (verdict == HTTP_REFUSE_NOW) {
		conn_ready_at_once(c);
		return;
	}
	if (verdict == HTTP_SAY_GO_ON) {
		http_conn_write(c, go_on, sizeof(go_on) - 1);
		http_conn_flush(c);
	}
	evbuffer_drain(conn_input(c), c->guard.begin);
	conn_feed(c, c->guard.end - c->guard.begin);
}

static void
conn_refuse_head(struct http_conn *c, const struct http_refusal *why)
{
	conn_begin_request(c);
	if (why->status == 405)
		strbuf_adds(&c->r.headers, "Allow: GET, HEAD, POST, PUT, DELETE\r\n");
	http_request_refuse(c, why->status, why->code, "%s", why->text);
	conn_ready_at_once(c);
}

static void
conn_read_head(struct http_conn *c)
{
	struct evbuffer *in = conn_input(c);
	size_t len = evbuffer_get_length(in);
	const void *head;
	enum http_guard_verdict verdict;

	if (c->phase == HTTP_IDLE) {
		c->phase = HTTP_HEAD;
		if (c->served)
			loop_timer_set(c->deadline, c->policy->opts.head_ms);
	}
	len = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
	head = evbuffer_pullup(in, (ev_ssize_t)len);
	if (!head)
		return;
	verdict = http_guard_check(&c->guard, head, len);
	if (verdict == HTTP_GUARD_HEAD)
		conn_take_head(c, head);
	else if (verdict == HTTP_GUARD_REFUSED)
		conn_refuse_head(c, c->guard.refusal);
}

void
http_input_hook(struct http_conn *c)
{
	evhtp_connection_set_hook(c->ev, evhtp_hook_on_headers, (evhtp_hook)on_headers,
				  c);
	evhtp_connection_set_hook(c->ev, evhtp_hook_on_read, (evhtp_hook)on_body, c);
}

void
http_input_bytes(struct http_conn *c)
{
	if (c->phase <= HTTP_HEAD)
		conn_read_head(c);
	else if (c->phase == HTTP_BODY)
		conn_feed(c, 0);
	if (c->ev && c->phase > HTTP_BODY)
		conn_drop_input(c);
}

void
http_input_late(struct http_conn *c)
{
	bool in_head = c->phase == HTTP_HEAD;

	if (in_head)
		conn_begin_request(c);
	http_request_refuse(c, 408, "timeout", "the %s took too long",
			    in_head ? "head" : "body");
	conn_ready_at_once(c);
}
