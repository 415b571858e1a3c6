/*
 * accept() -> on_before_accept(): over the cap? -> evhtp's connection
 *	    -> on_after_accept() -> on_connection(), whose connection it is from there on
 * accept() fails -> on_accept_error(): rest -> on_rested(): listen again
 */
#include "http_accept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <evhtp/evhtp.h>

#include "http_listen.h"
#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define REST_MS 100
#define TELL_MS 60000

struct http_listener {
	TAILQ_ENTRY(http_listener) next;
	struct http_acceptor *acceptor;
	evhtp_t *htp; /* one each: an evhtp_t has one listening socket */
	struct loop_timer *rest;
	char *path; /* of a unix socket */
	dev_t dev;
	ino_t ino;
};

/* Clients could fill the log with these. */
static bool
is_time(int64_t *told)
{
	int64_t now = clock_mono_ms();

	if (*told && now - *told < TELL_MS)
		return false;
	*told = now;
	return true;
}

/* Over the cap: say so if the socket takes it at once, and close. */
static void
turn_away(struct http_acceptor *a, int fd, unsigned n)
{
	static const char full[] =
		"HTTP/1.1 503 Service Unavailable\r\n"
		"Content-Type: application/json\r\n"
		"Content-Length: 47\r\n"
		"Retry-After: 1\r\n"
		"Connection: close\r\n\r\n"
		"{\"error\":\"too many connections\",\"code\":\"busy\"}\n";

	if (is_time(&a->told_full))
		log_warn(LOG_HTTP, "%u connections: turning others away", n);
	if (send(fd, full, sizeof(full) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		log_debug(LOG_HTTP, "refused a connection: %s", strerror(errno));
}

static evhtp_res
on_before_accept(evhtp_connection_t *ev, void *arg)
{
	struct http_listener *l = arg;
	struct http_acceptor *a = l->acceptor;
	unsigned n = a->on_count(a->arg);

	if (n < a->max)
		return EVHTP_RES_OK;
	turn_away(a, ev->sock, n);
	return EVHTP_RES_ERROR;
}

static evhtp_res
on_after_accept(evhtp_connection_t *ev, void *arg)
{
	struct http_listener *l = arg;

	/* evhtp does not ask for it at the accept. */
	if (fcntl(ev->sock, F_SETFD, FD_CLOEXEC) < 0)
		log_error(LOG_HTTP, "close-on-exec: %s", strerror(errno));
	l->acceptor->on_connection(ev, l->path != NULL, l->acceptor->arg);
	return EVHTP_RES_OK;
}

static void
on_rested(void *arg)
{
	struct http_listener *l = arg;

	if (l->htp->server)
		evconnlistener_enable(l->htp->server);
}

static void
on_accept_error(struct evconnlistener *server, void *arg)
{
	struct http_listener *l = ((const evhtp_t *)arg)->arg;

	/* The socket stays readable, so trying again at once would spin. */
	if (is_time(&l->acceptor->told_error))
		log_warn(LOG_HTTP, "accept: %s; trying again every %d ms",
			 strerror(errno), REST_MS);
	evconnlistener_disable(server);
	loop_timer_set(l->rest, REST_MS);
}

static void
listener_stop(struct http_listener *l)
{
	struct stat st;

	if (!l->htp->server)
		return;
	evhtp_unbind_socket(l->htp);
	loop_timer_stop(l->rest);
	/* Unless another process has put its own there. */
	if (l->path && !lstat(l->path, &st) && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		unlink(l->path);
}

static void
listener_free(struct http_listener *l)
{
	listener_stop(l);
	evhtp_free(l->htp);
	loop_timer_free(l->rest);
	free(l->path);
	free(l);
}

void
http_accept_init(struct http_acceptor *a, unsigned max)
{
	struct rlimit rl;

	TAILQ_INIT(&a->listeners);
	a->max = max;
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur / 4 * 3 >= max)
		return;
	a->max = (unsigned)(rl.rlim_cur / 4 * 3);
	log_warn(
		LOG_HTTP,
		"at most %u connections instead of %u: the limit of open files is %llu",
		a->max, max, (unsigned long long)rl.rlim_cur);
}

int
http_accept_on(struct http_acceptor *a, int fd, const char *path, struct err *e)
{
	struct http_listener *l = xcalloc(1, sizeof(*l));
	struct stat st = { 0 };

	l->acceptor = a;
	l->path = path ? xstrdup(path) : NULL;
	if (path && !lstat(path, &st)) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	l->rest = loop_timer_new(a->loop, on_rested, l);
	l->htp = evhtp_new(loop_base(a->loop), l);
	if (!l->htp)
		log_fatal(LOG_HTTP, "out of memory for a listener");
	evhtp_disable_flag(l->htp, EVHTP_FLAG_ENABLE_100_CONT);
	evhtp_set_parser_flags(l->htp, EVHTP_PARSE_QUERY_FLAG_LENIENT |
					       EVHTP_PARSE_QUERY_FLAG_IGNORE_FRAGMENTS);
	evhtp_set_pre_accept_cb(l->htp, on_before_accept, l);
	evhtp_set_post_accept_cb(l->htp, on_after_accept, l);
	TAILQ_INSERT_TAIL(&a->listeners, l, next);
	if (evhtp_accept_socket(l->htp, fd, HTTP_BACKLOG) < 0) {
		err_set(e, ERR_SYSTEM, "cannot accept connections");
		close(fd);
		TAILQ_REMOVE(&a->listeners, l, next);
		listener_free(l);
		return -1;
	}
	evconnlistener_set_error_cb(l->htp->server, on_accept_error);
	return 0;
}

void
http_accept_stop(struct http_acceptor *a)
{
	struct http_listener *l;

	TAILQ_FOREACH(l, &a->listeners, next)
		listener_stop(l);
}

void
http_accept_free(struct http_acceptor *a)
{
	struct http_listener *l;

	while ((l = TAILQ_FIRST(&a->listeners))) {
		TAILQ_REMOVE(&a->listeners, l, next);
		listener_free(l);
	}
}
