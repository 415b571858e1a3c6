#include "http_stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "http_listen.h"
#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define IOV_AT_ONCE 64
#define JUNK_MAX 65536 /* bytes that a client may send into its stream */

/* What of a buffer goes to this stream. */
static struct iovec
stream_view(const struct http_stream *s, struct http_buf *b)
{
	if (s->chunked && !b->raw)
		return (struct iovec){ b->data, b->head + b->len + 2 };
	return (struct iovec){ b->data + b->head, b->len };
}

/* The end */

static void
stream_free(void *arg)
{
	struct http_stream *s = arg;

	slab_put(s->all->slab, s);
}

static void
stream_forget_nodes(struct http_stream *s)
{
	struct http_node *n;

	while ((n = STAILQ_FIRST(&s->nodes))) {
		STAILQ_REMOVE_HEAD(&s->nodes, next);
		http_buf_unref(n->buf);
		free(n);
	}
	s->pending = s->taken = 0;
}

static void
stream_end_request(struct http_stream *s)
{
	http_slot_end(s->slot);
	if (s->on_close)
		loop_defer(s->all->loop, s->on_close, s->on_close_arg);
	s->on_close = s->on_drain = NULL;
}

/* Deferred frees come after the pass that may still hold s. */
void
http_stream_gone(struct http_stream *s)
{
	if (s->fd < 0)
		return;
	stream_end_request(s);
	http_streams_remove(s);
	close(s->fd);
	s->fd = -1;
	http_slot_release(s->slot);
	stream_forget_nodes(s);
	loop_defer(s->all->loop, stream_free, s);
}

/* Writing */

static ssize_t
stream_write_some(struct http_stream *s)
{
	struct iovec iov[IOV_AT_ONCE];
	struct msghdr msg = { .msg_iov = iov };
	struct http_node *n;

	STAILQ_FOREACH(n, &s->nodes, next) {
		if (msg.msg_iovlen == IOV_AT_ONCE)
			break;
		iov[msg.msg_iovlen++] = stream_view(s, n->buf);
	}
	iov[0].iov_base = (char *)iov[0].iov_base + s->taken;
	iov[0].iov_len -= s->taken;
	if (msg.msg_iovlen == 1)
		return send(s->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
	return sendmsg(s->fd, &msg, MSG_NOSIGNAL);
}

static void
stream_consume(struct http_stream *s, size_t len)
{
	struct http_node *n;
	size_t left;

	s->pending -= len;
	while (len > 0) {
		n = STAILQ_FIRST(&s->nodes);
		left = stream_view(s, n->buf).iov_len - s->taken;
		if (len < left) {
			s->taken += len;
			return;
		}
		len -= left;
		s->taken = 0;
		STAILQ_REMOVE_HEAD(&s->nodes, next);
		http_buf_unref(n->buf);
		free(n);
	}
}

/* Unread bytes would turn the close into a reset, which can overtake the answer. */
static void
stream_drop_input(struct http_stream *s)
{
	char junk[4096];
	ssize_t n;

	while (s->junk <= JUNK_MAX && (n = recv(s->fd, junk, sizeof(junk), 0)) > 0)
		s->junk += (uint32_t)n;
}

static void
stream_taken(struct http_stream *s, int64_t now)
{
	http_streams_progress(s, now, false);
	if (s->ended) {
		stream_drop_input(s);
		http_stream_gone(s);
	} else if (s->on_drain) {
		s->on_drain(s->on_drain_arg);
	}
}

void
http_stream_flush(struct http_stream *s, int64_t now)
{
	bool progress = false;
	ssize_t n;

	while (s->pending > 0) {
		n = stream_write_some(s);
		if (n > 0) {
			stream_consume(s, (size_t)n);
			progress = true;
		} else if (errno == EAGAIN) {
			if (progress || !s->stuck)
				http_streams_progress(s, now, true);
			return;
		} else if (errno != EINTR) {
			http_stream_gone(s);
			return;
		}
	}
	stream_taken(s, now);
}

void
http_stream_append(struct http_stream *s, struct http_buf *b)
{
	struct http_node *n = xmalloc(sizeof(*n));

	b->refs++;
	n->buf = b;
	STAILQ_INSERT_TAIL(&s->nodes, n, next);
	s->pending += stream_view(s, b).iov_len;
	http_streams_touch(s->all, s);
}

/* The socket speaks */

void
http_stream_ready(struct http_stream *s, uint32_t what, int64_t now)
{
	if (what & (EPOLLERR | EPOLLHUP)) {
		http_stream_gone(s);
		return;
	}
	if (what & EPOLLIN)
		stream_drop_input(s);
	if (what & EPOLLRDHUP)
		s->half = true;
	if (s->junk > JUNK_MAX || (s->half && s->awaiting))
		http_stream_gone(s);
	else if (what & EPOLLOUT && s->stuck)
		http_stream_flush(s, now);
}

/* Beginning, and what its owner asks for */

static void
stream_tune(const struct http_streams *all, int fd)
{
	unsigned ms = (unsigned)all->stall_ms * 2;

	/* A client whose machine vanished acknowledges nothing, not even a beat. Not on
	 * unix sockets. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) < 0 &&
	    errno != EOPNOTSUPP && errno != ENOPROTOOPT)
		log_debug(LOG_HTTP, "TCP_USER_TIMEOUT: %s", strerror(errno));
}

struct http_stream *
http_stream_new(struct http_streams *all, const struct http_stream_start *o,
		const struct strbuf *head)
{
	struct http_stream *s = slab_get(all->slab);
	struct http_buf *b = http_buf_new_raw(head->data, head->len);

	s->all = all;
	s->fd = o->fd;
	s->slot = o->slot;
	s->chunked = o->chunked;
	s->on_close = o->on_close;
	s->on_close_arg = o->on_close_arg;
	s->on_drain = o->on_drain;
	s->on_drain_arg = o->on_drain_arg;
	STAILQ_INIT(&s->nodes);
	s->progress_ms = clock_mono_ms();
	http_streams_add(all, s);
	stream_tune(all, s->fd);
	http_stream_append(s, b);
	http_buf_unref(b);
	return s;
}

void
http_stream_set_close(struct http_stream *s, void (*fn)(void *), void *arg)
{
	s->on_close = fn;
	s->on_close_arg = arg;
}

const char *
http_stream_peer(const struct http_stream *s)
{
	static char name[64];
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	/* That of a unix socket has no name. */
	if (getpeername(s->fd, (struct sockaddr *)&sa, &len) < 0 ||
	    sa.ss_family == AF_UNIX)
		return "unix";
	http_peer_name((struct sockaddr *)&sa, name, sizeof(name));
	return name;
}

void
http_stream_send(struct http_req r, struct http_buf *b)
{
	struct http_stream *s = http_slot_stream(r);

	if (s)
		http_stream_append(s, b);
}

void
http_stream_write(struct http_req r, const void *data, size_t len)
{
	struct http_stream *s = http_slot_stream(r);
	struct http_buf *b;

	/* A chunk of length 0 would end the stream. */
	if (!s || !len)
		return;
	b = http_buf_new(data, len);
	http_stream_append(s, b);
	http_buf_unref(b);
}

size_t
http_stream_pending(struct http_req r)
{
	const struct http_stream *s = http_slot_stream(r);

	return s ? s->pending : 0;
}

void
http_stream_set_beat(struct http_req r, const char *text)
{
	struct http_stream *s = http_slot_stream(r);

	if (!s)
		return;
	s->beats = true;
	if (!s->all->beat)
		s->all->beat = http_buf_new(text, strlen(text));
}

void
http_stream_await(struct http_req r)
{
	struct http_stream *s = http_slot_stream(r);

	if (!s)
		return;
	s->awaiting = true;
	if (s->half)
		http_stream_gone(s);
}

void
http_stream_set_drain(struct http_stream *s, void (*fn)(void *), void *arg)
{
	s->on_drain = fn;
	s->on_drain_arg = arg;
}

void
http_stream_end(struct http_req r)
{
	struct http_stream *s = http_slot_stream(r);
	struct http_buf *b;

	if (!s)
		return;
	stream_end_request(s);
	s->ended = true;
	if (s->chunked) {
		b = http_buf_new_raw("0\r\n\r\n", 5);
		http_stream_append(s, b);
		http_buf_unref(b);
	}
	http_streams_touch(s->all, s);
}
