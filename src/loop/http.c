/*
 * The life of a connection (enum http_phase):
 *
 *   http_on_accept()     our callbacks go in front of evhtp's          IDLE
 *   on_bytes()           evhtp parses                                  HEAD
 *   on_headers()         routed and checked, or refused                BODY
 *   on_message_complete()                                              READY
 *   dispatch() [defer]   the handler runs, outside of evhtp's stack    WAIT
 *   http_conn_detach()   a stream begins: it takes the socket away
 *   http_conn_finish()   the answer is written                         FLUSH
 *   on_written()         evhtp lets go of the request, or closes       IDLE
 *
 * evhtp parses and owns the connection; the bytes of answers are our own, because its
 * framing is wrong for HEAD, HTTP/1.0 and chunks over 4 GiB. evhtp never sees bytes that
 * follow a message: they are thrown away and the connection ends after the answer.
 * evhtp's receive time-out would cut streams, so deadlines are our own; writes that make
 * no progress are cut by the bufferevent.
 *
 * evhtp_connection_free() is not called from evhtp's hooks: it would free twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <evhtp/evhtp.h>

#include "http_check.h"
#include "http_gate.h"
#include "http_listen.h"
#include "http_priv.h"
#include "http_stream.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define HEAD_MS 10000
#define BODY_MS 30000
#define IDLE_MS 15000
#define LINGER_MS 1000
#define ACCEPT_PAUSE_MS 100
#define STALL_MS 60000
#define BEAT_MS 15000
#define MAX_SERVED 100

struct listener {
	TAILQ_ENTRY(listener) next;
	struct http *http;
	evhtp_t *htp; /* one each: an evhtp_t has one listening socket */
	struct loop_timer *resume;
	char *path; /* of a unix socket */
	dev_t dev;
	ino_t ino;
};

struct http {
	struct http_policy policy;
	TAILQ_HEAD(, listener) listeners;
	TAILQ_HEAD(, http_conn) conns;
	unsigned n_conns;
	struct http_streams *streams;
	/* evhtp's callbacks on a bufferevent, which ours call. */
	bufferevent_data_cb evhtp_read, evhtp_write;
	bufferevent_event_cb evhtp_event;
};

static const char *const phase_names[HTTP_PHASES] = {
	[HTTP_IDLE] = "idle",	[HTTP_HEAD] = "head",	  [HTTP_BODY] = "body",
	[HTTP_READY] = "ready", [HTTP_WAIT] = "wait",	  [HTTP_FLUSH] = "flush", [HTTP_LINGER] = "linger",
};

static void
conn_free(void *arg)
{
	struct http_conn *c = arg;

	http_request_clear(c);
	if (!c->detached)
		http_slot_release(c->slot);
	loop_timer_free(c->deadline);
	free(c);
}

static void
conn_close(struct http_conn *c)
{
	if (c->ev)
		evhtp_connection_free(c->ev);
}

static struct evbuffer *
conn_output(const struct http_conn *c)
{
	return bufferevent_get_output(evhtp_connection_get_bev(c->ev));
}

/* At once: most sockets take all of it, and need not be polled for that. */
static void
conn_flush(struct http_conn *c)
{
	struct bufferevent *bev = evhtp_connection_get_bev(c->ev);
	struct evbuffer *out = bufferevent_get_output(bev);

	/* Only the bufferevent itself may take bytes from its front. */
	evbuffer_unfreeze(out, 1);
	evbuffer_write(out, bufferevent_getfd(bev));
	evbuffer_freeze(out, 1);
	if (evbuffer_get_length(out))
		bufferevent_enable(bev, EV_WRITE);
}

/* The connection ends when its output is empty. evhtp_request_set_keepalive(req, 0)
 * does nothing. */
static void
conn_give_up(struct http_conn *c)
{
	evhtp_request_disable_flag(c->req, EVHTP_REQ_FLAG_KEEPALIVE);
}

/* Bytes that belong to no request we would answer. */
static void
conn_drop_input(struct http_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(evhtp_connection_get_bev(c->ev));
	size_t len = evbuffer_get_length(in);

	if (!len)
		return;
	evbuffer_drain(in, len);
	c->excess = true;
	if (c->phase == HTTP_FLUSH)
		conn_give_up(c);
}

static void
dispatch(void *arg)
{
	struct http_conn *c = arg;

	if (c->ev && c->phase == HTTP_READY)
		http_request_dispatch(c, c->http->policy.opts.arg);
}

static void
conn_ready(struct http_conn *c)
{
	c->phase = HTTP_READY;
	loop_timer_stop(c->deadline);
	loop_defer(c->loop, dispatch, c);
}

static void
on_deadline(void *arg)
{
	struct http_conn *c = arg;

	if (c->phase == HTTP_BODY) {
		c->excess = true;
		http_request_refuse(c, 408, "timeout", "the body took too long");
		conn_ready(c);
	} else {
		conn_close(c);
	}
}

static void
on_message_complete(evhtp_request_t *req, void *arg)
{
	struct http_conn *c = arg;

	if (c && c->phase == HTTP_BODY)
		conn_ready(c);
}

static enum http_verdict
check_head(struct http_conn *c)
{
	const evhtp_request_t *req = c->req;
	const evhtp_uri_t *uri = req->uri;
	struct http_fields f = {
		/* evhtp calls every unknown version 1.1. */
		.known_version = htparser_get_major(c->ev->parser) == 1 &&
				 htparser_get_minor(c->ev->parser) <= 1,
		.standard_method = req->method < htp_method_UNKNOWN,
		.absolute = uri && uri->scheme != htp_scheme_none,
		.path = uri && uri->path ? uri->path->full : NULL,
		.query = uri ? (const char *)uri->query_raw : NULL,
	};
	evhtp_header_t *h;

	/* A header without a value has a NULL one. */
	TAILQ_FOREACH(h, req->headers_in, next)
		http_gate_field(&f, h->key ? h->key : "", h->val ? h->val : "");
	return http_gate_check(c, &c->http->policy, &f);
}

static evhtp_res
on_headers(evhtp_request_t *req, evhtp_headers_t *headers, void *arg)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_conn *c = arg;
	enum http_verdict verdict;

	c->req = req;
	req->cb = on_message_complete;
	req->cbarg = c;
	c->phase = HTTP_BODY;
	loop_timer_set(c->deadline, c->http->policy.opts.body_ms);
	c->r.http10 = req->proto == EVHTP_PROTO_10;
	c->r.keep = evhtp_request_get_flags(req) & EVHTP_REQ_FLAG_KEEPALIVE;
	c->r.method_name = htparser_get_methodstr_m(req->method);
	http_request_begin(c);
	verdict = check_head(c);
	if (verdict == HTTP_REFUSE_NOW) {
		c->excess = true;
		conn_ready(c);
	} else if (verdict == HTTP_SAY_GO_ON) {
		http_conn_write(c, go_on, sizeof(go_on) - 1);
		conn_flush(c);
	}
	return EVHTP_RES_OK;
}

static evhtp_res
on_body(evhtp_request_t *req, struct evbuffer *buf, void *arg)
{
	struct http_conn *c = arg;

	if (c->r.refused)
		evbuffer_drain(buf, evbuffer_get_length(buf));
	return EVHTP_RES_OK;
}

/* The request is over in evhtp's eyes: its answer has left or its connection dies. */
static void
conn_end_request(struct http_conn *c)
{
	http_request_end(c);
	c->req = NULL;
	http_gate_release(c, &c->http->policy);
}

static evhtp_res
on_request_fini(evhtp_request_t *req, void *arg)
{
	struct http_conn *c = arg;

	if (!c->ev || c->req != req)
		return EVHTP_RES_OK;
	conn_end_request(c);
	http_request_clear(c);
	c->phase = HTTP_IDLE;
	loop_timer_set(c->deadline, c->http->policy.opts.idle_ms);
	return EVHTP_RES_OK;
}

static evhtp_res
on_connection_fini(evhtp_connection_t *ev, void *arg)
{
	struct http_conn *c = arg;

	if (!c->ev)
		return EVHTP_RES_OK;
	conn_end_request(c);
	c->ev = NULL;
	loop_timer_stop(c->deadline);
	TAILQ_REMOVE(&c->http->conns, c, next);
	c->http->n_conns--;
	loop_defer(c->loop, conn_free, c);
	return EVHTP_RES_OK;
}

static void
on_bytes(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	if (!c->ev)
		return;
	if (c->phase <= HTTP_BODY) {
		if (c->phase == HTTP_IDLE) {
			c->phase = HTTP_HEAD;
			loop_timer_set(c->deadline, c->http->policy.opts.head_ms);
		}
		c->http->evhtp_read(bev, c->ev);
		if (!c->ev || c->phase <= HTTP_BODY)
			return;
	}
	conn_drop_input(c);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	if (!c->ev)
		return;
	bufferevent_disable(bev, EV_WRITE);
	if (c->phase == HTTP_FLUSH) {
		c->http->evhtp_write(bev, c->ev);
	} else if (c->phase == HTTP_LINGER) {
		/* A close with unread input is a reset, which can overtake the
		 * answer; so wait for the client to read it and close first. */
		shutdown(bufferevent_getfd(bev), SHUT_WR);
		loop_timer_set(c->deadline, LINGER_MS);
	}
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *c = arg;

	if (!c->ev)
		return;
	/* The client sends no more, but may still read its answer. */
	if (what & BEV_EVENT_EOF && c->phase >= HTTP_FLUSH &&
	    evbuffer_get_length(conn_output(c))) {
		conn_give_up(c);
		return;
	}
	/* evhtp takes an old EAGAIN for "no end of file after all". */
	errno = 0;
	c->http->evhtp_event(bev, what, c->ev);
}

static void
conn_hook(struct http_conn *c)
{
	evhtp_connection_t *ev = c->ev;

	evhtp_connection_set_hook(ev, evhtp_hook_on_headers, (evhtp_hook)on_headers, c);
	evhtp_connection_set_hook(ev, evhtp_hook_on_read, (evhtp_hook)on_body, c);
	evhtp_connection_set_hook(ev, evhtp_hook_on_request_fini,
				  (evhtp_hook)on_request_fini, c);
	evhtp_connection_set_hook(ev, evhtp_hook_on_connection_fini,
				  (evhtp_hook)on_connection_fini, c);
}

/*
 * Here a guard takes its place: the three callbacks below are the only way from the
 * socket to evhtp, and on_bytes() the only caller of evhtp_read. It keeps bytes in the
 * input buffer until a head is complete and valid, and answers the others itself.
 */
static evhtp_res
http_on_accept(evhtp_connection_t *ev, void *arg)
{
	struct listener *l = arg;
	struct http *h = l->http;
	struct http_conn *c = xcalloc(1, sizeof(*c));
	struct bufferevent *bev = evhtp_connection_get_bev(ev);
	const struct timeval stall = { .tv_sec = STALL_MS / 1000 };

	/* evhtp does not ask for it at the accept. */
	if (fcntl(ev->sock, F_SETFD, FD_CLOEXEC) < 0)
		log_error(LOG_HTTP, "close-on-exec: %s", strerror(errno));
	c->http = h;
	c->loop = h->policy.opts.loop;
	c->ev = ev;
	c->is_unix = l->path != NULL;
	if (c->is_unix)
		STR_COPY(c->peer, "unix");
	else
		http_peer_name(ev->saddr, c->peer, sizeof(c->peer));
	c->deadline = loop_timer_new(c->loop, on_deadline, c);
	loop_timer_set(c->deadline, c->http->policy.opts.head_ms);
	http_slot_take(c);
	TAILQ_INSERT_TAIL(&h->conns, c, next);
	h->n_conns++;
	conn_hook(c);
	bufferevent_getcb(bev, &h->evhtp_read, &h->evhtp_write, &h->evhtp_event, NULL);
	bufferevent_setcb(bev, on_bytes, on_written, on_event, c);
	bufferevent_set_timeouts(bev, NULL, &stall);
	/* conn_flush() asks for it when it is needed. */
	bufferevent_disable(bev, EV_WRITE);
	return EVHTP_RES_OK;
}

/* Over the limit: say so if the socket takes it at once, and close. */
static evhtp_res
on_before_accept(evhtp_connection_t *ev, void *arg)
{
	static const char full[] = "HTTP/1.1 503 Service Unavailable\r\n"
				   "Content-Length: 0\r\nConnection: close\r\n\r\n";
	struct listener *l = arg;

	loop_expect_fd(l->http->policy.opts.loop, ev->sock);
	if (http_connections(l->http) < l->http->policy.opts.max_connections)
		return EVHTP_RES_OK;
	if (send(ev->sock, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug(LOG_HTTP, "refused a connection: %s", strerror(errno));
	return EVHTP_RES_ERROR;
}

static void
on_resume_accept(void *arg)
{
	struct listener *l = arg;

	if (l->htp->server)
		evconnlistener_enable(l->htp->server);
}

static void
on_accept_error(struct evconnlistener *server, void *arg)
{
	struct listener *l = ((const evhtp_t *)arg)->arg;

	/* Out of descriptors, say: the listener stays readable, so trying again at
	 * once would spin. */
	log_warn(LOG_HTTP, "accept: %s", strerror(errno));
	evconnlistener_disable(server);
	loop_timer_set(l->resume, ACCEPT_PAUSE_MS);
}

static void
listener_stop(struct listener *l)
{
	struct stat st;

	if (!l->htp->server)
		return;
	evhtp_unbind_socket(l->htp);
	loop_timer_stop(l->resume);
	/* Unless another process has put its own there. */
	if (l->path && !lstat(l->path, &st) && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
}

static void
listener_free(struct listener *l)
{
	listener_stop(l);
	evhtp_free(l->htp);
	loop_timer_free(l->resume);
	free(l->path);
	free(l);
}

/* Takes fd over, also when it fails. */
static int
listener_add(struct http *h, int fd, const char *path, struct err *e)
{
	struct listener *l = xcalloc(1, sizeof(*l));
	struct stat st = { 0 };

	l->http = h;
	l->path = path ? xstrdup(path) : NULL;
	if (path && !lstat(path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	l->resume = loop_timer_new(h->policy.opts.loop, on_resume_accept, l);
	l->htp = evhtp_new(loop_base(h->policy.opts.loop), l);
	if (!l->htp)
		log_fatal(LOG_HTTP, "out of memory for a listener");
	evhtp_disable_flag(l->htp, EVHTP_FLAG_ENABLE_100_CONT);
	evhtp_set_parser_flags(l->htp, EVHTP_PARSE_QUERY_FLAG_LENIENT |
					       EVHTP_PARSE_QUERY_FLAG_IGNORE_FRAGMENTS);
	evhtp_set_gencb(l->htp, on_message_complete, NULL);
	evhtp_set_pre_accept_cb(l->htp, on_before_accept, l);
	evhtp_set_post_accept_cb(l->htp, http_on_accept, l);
	TAILQ_INSERT_TAIL(&h->listeners, l, next);
	if (evhtp_accept_socket(l->htp, fd, HTTP_BACKLOG) < 0) {
		err_set(e, ERR_SYSTEM, "cannot accept connections");
		close(fd);
		TAILQ_REMOVE(&h->listeners, l, next);
		listener_free(l);
		return -1;
	}
	evconnlistener_set_error_cb(l->htp->server, on_accept_error);
	return 0;
}

struct http *
http_new(const struct http_opts *o, struct err *e)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->policy.opts = *o;
	h->policy.opts.head_ms = o->head_ms ? o->head_ms : HEAD_MS;
	h->policy.opts.body_ms = o->body_ms ? o->body_ms : BODY_MS;
	h->policy.opts.idle_ms = o->idle_ms ? o->idle_ms : IDLE_MS;
	h->streams = http_streams_new(o->loop, o->stall_ms ? o->stall_ms : STALL_MS,
				      o->beat_ms ? o->beat_ms : BEAT_MS, e);
	if (!h->streams) {
		free(h);
		return NULL;
	}
	TAILQ_INIT(&h->listeners);
	TAILQ_INIT(&h->conns);
	http_hosts_add(&h->policy.own, "localhost");
	return h;
}

void
http_free(struct http *h)
{
	struct http_conn *c;
	struct listener *l;

	if (!h)
		return;
	while ((c = TAILQ_FIRST(&h->conns)))
		conn_close(c);
	http_streams_free(h->streams);
	while ((l = TAILQ_FIRST(&h->listeners))) {
		TAILQ_REMOVE(&h->listeners, l, next);
		listener_free(l);
	}
	http_hosts_free(&h->policy.own);
	http_hosts_free(&h->policy.given);
	free(h);
}

int
http_listen_tcp(struct http *h, const char *addr, uint16_t *port, struct err *e)
{
	char name[HTTP_HOST_MAX];
	int fd;

	if (http_listen_inet(addr, port, &fd, e) < 0)
		return -1;
	if (http_host_name(addr, name))
		http_hosts_add(&h->policy.own, name);
	return listener_add(h, fd, NULL, e);
}

int
http_listen_unix(struct http *h, const char *path, struct err *e)
{
	int fd;

	if (http_listen_local(path, &fd, e) < 0)
		return -1;
	return listener_add(h, fd, path, e);
}

void
http_stop_listening(struct http *h)
{
	struct listener *l;

	TAILQ_FOREACH(l, &h->listeners, next)
		listener_stop(l);
}

void
http_set_hosts(struct http *h, const char *const *hosts, size_t n)
{
	http_hosts_free(&h->policy.given);
	for (size_t i = 0; i < n; i++)
		http_hosts_add(&h->policy.given, hosts[i]);
}

void
http_dump(const struct http *h, struct strbuf *out)
{
	struct http_conn *c;

	TAILQ_FOREACH(c, &h->conns, next)
		strbuf_addf(out,
			    "conn=%u peer=%s phase=%s served=%u path=%s pending=%zu\n",
			    c->slot, c->peer, phase_names[c->phase], c->served,
			    strbuf_str(&c->r.path), http_conn_pending(c));
	http_streams_dump(h->streams, out);
}

unsigned
http_connections(const struct http *h)
{
	return h->n_conns + http_streams_count(h->streams);
}

unsigned
http_streams(const struct http *h)
{
	return http_streams_count(h->streams);
}

void
http_conn_write(struct http_conn *c, const void *data, size_t len)
{
	if (bufferevent_write(evhtp_connection_get_bev(c->ev), data, len) < 0)
		log_fatal(LOG_HTTP, "out of memory for an answer");
}

void
http_conn_send(struct http_conn *c, const struct iovec *parts, int n)
{
	ssize_t sent = 0;

	if (!http_conn_pending(c))
		sent = writev(bufferevent_getfd(evhtp_connection_get_bev(c->ev)), parts,
			      n);
	/* Errors come again when the rest is written. */
	if (sent < 0)
		sent = 0;
	for (int i = 0; i < n; i++) {
		size_t len = parts[i].iov_len;
		size_t done = (size_t)sent < len ? (size_t)sent : len;

		sent -= (ssize_t)done;
		if (done < len)
			http_conn_write(c, (char *)parts[i].iov_base + done, len - done);
	}
}

size_t
http_conn_pending(const struct http_conn *c)
{
	return evbuffer_get_length(conn_output(c));
}

struct http_streams *
http_conn_streams(const struct http_conn *c)
{
	return c->http->streams;
}

/*
 * evhtp gives up its bufferevent, which gives up its socket; then all that both keep is
 * freed: outside of evhtp's stack, as handlers run. Its hooks are gone by then. All of
 * the request was read, and the output is empty but for a "100 Continue" at most.
 */
int
http_conn_detach(struct http_conn *c)
{
	evhtp_connection_t *ev = c->ev;
	struct bufferevent *bev = evhtp_connection_take_ownership(ev);
	int fd = bufferevent_getfd(bev);

	http_gate_release(c, &c->http->policy);
	c->ev = NULL;
	c->req = NULL;
	c->detached = true;
	loop_timer_stop(c->deadline);
	TAILQ_REMOVE(&c->http->conns, c, next);
	c->http->n_conns--;
	loop_defer(c->loop, conn_free, c);
	evhtp_connection_free(ev);
	bufferevent_setfd(bev, -1);
	bufferevent_free(bev);
	return fd;
}

bool
http_conn_may_keep(const struct http_conn *c)
{
	return c->r.keep && !c->excess && c->served + 1 < MAX_SERVED;
}

void
http_conn_finish(struct http_conn *c, bool keep)
{
	c->served++;
	if (http_conn_pending(c))
		conn_flush(c);
	if (!keep)
		conn_give_up(c);
	if (c->excess) {
		c->phase = HTTP_LINGER;
	} else {
		c->phase = HTTP_FLUSH;
		/* From now on evhtp ends the request when the output is empty. */
		evhtp_send_reply_end(c->req);
	}
	if (!http_conn_pending(c))
		bufferevent_trigger(evhtp_connection_get_bev(c->ev), EV_WRITE,
				    BEV_TRIG_DEFER_CALLBACKS);
}

const char *
http_conn_header(const struct http_conn *c, const char *name)
{
	evhtp_header_t *h = evhtp_headers_find_header(c->req->headers_in, name);

	if (!h)
		return NULL;
	return h->val ? h->val : "";
}

const char *
http_conn_body(const struct http_conn *c, size_t *len)
{
	*len = evbuffer_get_length(c->req->buffer_in);
	return *len ? (const char *)evbuffer_pullup(c->req->buffer_in, -1) : "";
}
