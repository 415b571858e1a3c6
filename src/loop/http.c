/*
 * The life of a connection (enum http_phase):
 *
 *   on_accepted()        our callbacks go in front of evhtp's          IDLE
 *   on_bytes()           http_input makes a request of it              HEAD ... READY
 *                        and lets the handler run                      WAIT
 *   http_conn_detach()   a stream begins: it takes the socket away
 *   http_conn_finish()   the answer is written                         FLUSH
 *   on_written()         evhtp lets go of the request                  IDLE
 *                        or the rest of it is read and dropped         LINGER
 *
 * evhtp parses what is safe to parse and owns the connection; the bytes of answers are
 * our own, because its framing is wrong for HEAD, HTTP/1.0 and chunks over 4 GiB. A
 * refused request that evhtp never saw, or saw in part, ends with its connection.
 * evhtp's receive time-out would cut streams, so deadlines are our own; writes that make
 * no progress are cut by the bufferevent.
 *
 * evhtp_connection_free() is not called from evhtp's hooks: it would free twice.
 */
#include <malloc.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <evhtp/evhtp.h>

#include "http_accept.h"
#include "http_check.h"
#include "http_gate.h"
#include "http_input.h"
#include "http_listen.h"
#include "http_priv.h"
#include "http_stream.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define HEAD_MS 10000
#define BODY_MS 30000
#define IDLE_MS 15000
#define LINGER_MS 1000
#define STALL_MS 60000
#define BEAT_MS 15000
#define MAX_SERVED 100
#define TRIM_AFTER 500
#define TRIM_MS 200
#define BODY_BUDGET ((size_t)64 << 20)

struct http {
	struct http_policy policy;
	struct http_acceptor acceptor;
	TAILQ_HEAD(, http_conn) conns;
	unsigned n_conns;
	struct http_streams *streams;
	unsigned n_ended; /* since the last trim */
	struct loop_timer *trim;
	bufferevent_data_cb evhtp_write; /* its callback, which ours calls */
};

static const char *const phase_names[HTTP_PHASES] = {
	[HTTP_IDLE] = "idle",	[HTTP_HEAD] = "head",	  [HTTP_BODY] = "body",
	[HTTP_READY] = "ready", [HTTP_WAIT] = "wait",	  [HTTP_FLUSH] = "flush",
	[HTTP_LINGER] = "linger",
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
void
http_conn_flush(struct http_conn *c)
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

static void
on_deadline(void *arg)
{
	struct http_conn *c = arg;

	if (c->phase == HTTP_HEAD || c->phase == HTTP_BODY)
		http_input_late(c);
	else
		conn_close(c);
}

/* The request is over in evhtp's eyes: its answer has left or its connection dies. */
static void
conn_end_request(struct http_conn *c)
{
	http_request_end(c);
	c->req = NULL;
	http_gate_release(c, c->policy);
}

static evhtp_res
on_request_fini(evhtp_request_t *req, void *arg)
{
	struct http_conn *c = arg;

	if (!c->ev || c->req != req)
		return EVHTP_RES_OK;
	conn_end_request(c);
	http_request_clear(c);
	memset(&c->guard, 0, sizeof(c->guard));
	c->phase = HTTP_IDLE;
	loop_timer_set(c->deadline, c->http->policy.opts.idle_ms);
	return EVHTP_RES_OK;
}

static void
on_trim(void *arg)
{
	struct http *h = arg;

	h->n_ended = 0;
	malloc_trim(0);
}

/* Freed between smaller things that live on, the memory of many connections would stay
 * with the allocator. */
static void
conn_ended(struct http *h)
{
	if (++h->n_ended >= TRIM_AFTER && !loop_timer_is_set(h->trim))
		loop_timer_set(h->trim, TRIM_MS);
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
	conn_ended(c->http);
	loop_defer(c->loop, conn_free, c);
	return EVHTP_RES_OK;
}

static void
on_bytes(struct bufferevent *bev, void *arg)
{
	struct http_conn *c = arg;

	if (c->ev)
		http_input_bytes(c);
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

/* End of file, an error, or no progress in writing. Not evhtp's affair: it lets some
 * errors of a write pass, and takes an old EAGAIN for "no end of file after all". */
static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct http_conn *c = arg;

	if (!c->ev)
		return;
	/* The client sends no more, but may still read its answer. After an error of a
	 * write nothing is written any more. */
	if (what & BEV_EVENT_EOF && c->phase >= HTTP_FLUSH && http_conn_pending(c) &&
	    bufferevent_get_enabled(bev) & EV_WRITE)
		http_conn_give_up(c);
	else
		conn_close(c);
}

static void
conn_hook(struct http_conn *c)
{
	evhtp_connection_t *ev = c->ev;

	http_input_hook(c);
	evhtp_connection_set_hook(ev, evhtp_hook_on_request_fini,
				  (evhtp_hook)on_request_fini, c);
	evhtp_connection_set_hook(ev, evhtp_hook_on_connection_fini,
				  (evhtp_hook)on_connection_fini, c);
}

/* From here on the three callbacks are the only way from the socket to evhtp. */
static void
on_accepted(evhtp_connection_t *ev, bool is_unix, void *arg)
{
	struct http *h = arg;
	struct http_conn *c = xcalloc(1, sizeof(*c));
	struct bufferevent *bev = evhtp_connection_get_bev(ev);
	const struct timeval stall = { .tv_sec = STALL_MS / 1000 };

	c->http = h;
	c->policy = &h->policy;
	c->loop = h->policy.opts.loop;
	c->ev = ev;
	c->is_unix = is_unix;
	http_conn_set_peer(c);
	c->deadline = loop_timer_new(c->loop, on_deadline, c);
	loop_timer_set(c->deadline, h->policy.opts.head_ms);
	http_slot_take(c);
	TAILQ_INSERT_TAIL(&h->conns, c, next);
	h->n_conns++;
	conn_hook(c);
	bufferevent_getcb(bev, &c->evhtp_read, &h->evhtp_write, NULL, NULL);
	bufferevent_setcb(bev, on_bytes, on_written, on_event, c);
	bufferevent_set_timeouts(bev, NULL, &stall);
	/* http_conn_flush() asks for it when it is needed. */
	bufferevent_disable(bev, EV_WRITE);
}

static unsigned
on_count(void *arg)
{
	return http_connections(arg);
}

struct http *
http_new(const struct http_opts *o, struct err *e)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->policy.opts = *o;
	h->policy.opts.head_ms = o->head_ms ? o->head_ms : HEAD_MS;
	h->policy.opts.body_ms = o->body_ms ? o->body_ms : BODY_MS;
	h->policy.opts.idle_ms = o->idle_ms ? o->idle_ms : IDLE_MS;
	h->policy.opts.body_budget = o->body_budget ? o->body_budget : BODY_BUDGET;
	h->streams = http_streams_new(o->loop, o->stall_ms ? o->stall_ms : STALL_MS,
				      o->beat_ms ? o->beat_ms : BEAT_MS, e);
	if (!h->streams) {
		free(h);
		return NULL;
	}
	h->acceptor = (struct http_acceptor){ .loop = o->loop,
					      .on_count = on_count,
					      .on_connection = on_accepted,
					      .arg = h };
	http_accept_init(&h->acceptor, o->max_connections);
	TAILQ_INIT(&h->conns);
	h->trim = loop_timer_new(o->loop, on_trim, h);
	http_hosts_add(&h->policy.own, "localhost");
	return h;
}

void
http_free(struct http *h)
{
	struct http_conn *c;

	if (!h)
		return;
	while ((c = TAILQ_FIRST(&h->conns)))
		conn_close(c);
	http_streams_free(h->streams);
	http_accept_free(&h->acceptor);
	loop_timer_free(h->trim);
	http_hosts_free(&h->policy.own);
	http_hosts_free(&h->policy.given);
	http_hosts_free(&h->policy.origins);
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
	return http_accept_on(&h->acceptor, fd, NULL, e);
}

int
http_listen_unix(struct http *h, const char *path, struct err *e)
{
	int fd;

	if (http_listen_local(path, &fd, e) < 0)
		return -1;
	return http_accept_on(&h->acceptor, fd, path, e);
}

void
http_stop_listening(struct http *h)
{
	http_accept_stop(&h->acceptor);
}

void
http_set_hosts(struct http *h, const char *const *hosts, size_t n)
{
	http_hosts_free(&h->policy.given);
	for (size_t i = 0; i < n; i++)
		http_hosts_add(&h->policy.given, hosts[i]);
}

void
http_set_origins(struct http *h, const char *const *origins, size_t n)
{
	http_hosts_free(&h->policy.origins);
	for (size_t i = 0; i < n; i++)
		http_hosts_add(&h->policy.origins, origins[i]);
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

unsigned
http_max_connections(const struct http *h)
{
	return h->acceptor.max;
}

void
http_conn_give_up(struct http_conn *c)
{
	/* evhtp_request_set_keepalive(req, 0) does nothing. */
	if (c->req)
		evhtp_request_disable_flag(c->req, EVHTP_REQ_FLAG_KEEPALIVE);
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

	http_gate_release(c, c->policy);
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
		http_conn_flush(c);
	if (!keep)
		http_conn_give_up(c);
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
