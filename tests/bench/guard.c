/*
 * guard: what http_guard costs. Prints one line per measurement.
 *
 *	guard check N		   N heads through the validator alone; ns of the
 *				   processor's time for each
 *	guard load SERVER C SECS   C keep-alive clients ask for a small page; answers per
 *				   second, and the server's time for each
 *
 * SERVER is a child of this process and sends the same bytes in all cases:
 *	bare	 a libevhtp handler, nothing else
 *	guarded	 the same, with http_guard before libevhtp's read callback
 *	http	 slipway's own http, guard, gate and handles included
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <evhtp/evhtp.h>

#include "http_guard.h"
#include "slipway/http.h"
#include "slipway/mem.h"

#define PAGE "{\"id\":\"j1\",\"status\":\"success\",\"startedAt\":1,\"finishedAt\":2}"

static const char request[] =
	"GET /small?id=j1&wait=0 HTTP/1.1\r\n"
	"Host: localhost:8080\r\n"
	"User-Agent: bench/1.0\r\n"
	"Accept: application/json\r\n"
	"Accept-Encoding: identity\r\n"
	"Authorization: Bearer 0123456789abcdef0123456789abcdef\r\n"
	"\r\n";

static void
die(const char *what)
{
	fprintf(stderr, "guard: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
clock_s(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Servers: each listens on fd and never returns. */

static void
on_bare(evhtp_request_t *req, void *arg)
{
	evhtp_headers_add_header(req->headers_out,
				 evhtp_header_new("Content-Type", "application/json", 0,
						  0));
	evhtp_headers_add_header(req->headers_out,
				 evhtp_header_new("X-Content-Type-Options", "nosniff",
						  0, 0));
	evbuffer_add(req->buffer_out, PAGE, strlen(PAGE));
	evhtp_send_reply(req, EVHTP_RES_OK);
}

static bufferevent_data_cb evhtp_read;

static void
on_guarded_read(struct bufferevent *bev, void *arg)
{
	struct http_guard g = { 0 };
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len = evbuffer_get_length(in);

	if (http_guard_check(&g, evbuffer_pullup(in, -1), len) != HTTP_GUARD_HEAD ||
	    g.end != len)
		die("a request is not in one piece");
	evhtp_read(bev, arg);
}

static evhtp_res
on_guarded_accept(evhtp_connection_t *ev, void *arg)
{
	struct bufferevent *bev = evhtp_connection_get_bev(ev);
	bufferevent_data_cb on_write;
	bufferevent_event_cb on_event;
	void *ctx;

	bufferevent_getcb(bev, &evhtp_read, &on_write, &on_event, &ctx);
	bufferevent_setcb(bev, on_guarded_read, on_write, on_event, ctx);
	return EVHTP_RES_OK;
}

static void
serve_evhtp(int fd, bool guarded)
{
	struct event_base *base = event_base_new();
	evhtp_t *htp = evhtp_new(base, NULL);

	evhtp_set_gencb(htp, on_bare, NULL);
	if (guarded)
		evhtp_set_post_accept_cb(htp, on_guarded_accept, NULL);
	if (evhtp_accept_socket(htp, fd, 1024) < 0)
		die("evhtp_accept_socket");
	event_base_dispatch(base);
}

static void
handle_small(struct http_req r, void *arg)
{
	http_reply(r, 200, "application/json", PAGE, strlen(PAGE));
}

static void
serve_http(int port_fd)
{
	static const struct http_route routes[] = {
		{ HTTP_GET, "/small", 0, handle_small },
		{ .path = NULL },
	};
	struct err e = { 0 };
	struct loop *loop = loop_new(&e);
	const struct http_opts o = { .loop = loop,
				     .routes = routes,
				     .max_body = 1 << 20,
				     .max_connections = 1000 };
	struct http *h = http_new(&o, &e);
	uint16_t port;

	if (!h || http_listen_tcp(h, "127.0.0.1:0", &port, &e) < 0)
		die(e.msg);
	if (write(port_fd, &port, sizeof(port)) != sizeof(port))
		die("write");
	loop_run(loop);
}

static void
serve(const char *server, int port_fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	uint16_t port;
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!strcmp(server, "http")) {
		serve_http(port_fd);
		return;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 ||
	    listen(fd, 1024) < 0 || getsockname(fd, (struct sockaddr *)&in, &len) < 0)
		die("listen");
	port = ntohs(in.sin_port);
	if (write(port_fd, &port, sizeof(port)) != sizeof(port))
		die("write");
	serve_evhtp(fd, !strcmp(server, "guarded"));
}

/* Clients */

static int
dial(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0)
		die("connect");
	return fd;
}

static void
ask(int fd)
{
	if (write(fd, request, sizeof(request) - 1) != sizeof(request) - 1)
		die("write");
}

/* An answer leaves in one piece, for it is small. */
static void
read_answer(struct pollfd *p, uint16_t port)
{
	char buf[1024];
	ssize_t n = read(p->fd, buf, sizeof(buf) - 1);

	if (n <= 0)
		die("read");
	buf[n] = '\0';
	if (strncmp(buf, "HTTP/1.1 200 OK\r\n", 17) != 0 || !strstr(buf, PAGE))
		die(buf);
	if (strcasestr(buf, "\r\nconnection: close")) {
		close(p->fd);
		p->fd = dial(port);
	}
	ask(p->fd);
}

static size_t
load(uint16_t port, size_t clients, double secs)
{
	struct pollfd *p = xcalloc(clients, sizeof(*p));
	double end = clock_s(CLOCK_MONOTONIC) + secs;
	size_t answers = 0;

	for (size_t i = 0; i < clients; i++) {
		p[i] = (struct pollfd){ .fd = dial(port), .events = POLLIN };
		ask(p[i].fd);
	}
	while (clock_s(CLOCK_MONOTONIC) < end) {
		if (poll(p, clients, 5000) <= 0)
			die("poll");
		for (size_t i = 0; i < clients; i++) {
			if (!p[i].revents)
				continue;
			read_answer(&p[i], port);
			answers++;
		}
	}
	free(p);
	return answers;
}

static double
timeval_us(const struct timeval *tv)
{
	return (double)tv->tv_sec * 1e6 + (double)tv->tv_usec;
}

static int
run_load(char **argv)
{
	size_t clients = strtoul(argv[1], NULL, 10), answers;
	double secs = atof(argv[2]);
	struct rusage ru;
	uint16_t port;
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0 || (pid = fork()) < 0)
		die("fork");
	if (!pid) {
		serve(argv[0], fds[1]);
		_exit(1);
	}
	if (read(fds[0], &port, sizeof(port)) != sizeof(port))
		die("the server does not listen");
	answers = load(port, clients, secs);
	kill(pid, SIGKILL);
	if (wait4(pid, NULL, 0, &ru) < 0)
		die("wait4");
	printf("per second %.0f us %.2f\n", (double)answers / secs,
	       (timeval_us(&ru.ru_utime) + timeval_us(&ru.ru_stime)) / (double)answers);
	return 0;
}

static int
run_check(char **argv)
{
	size_t n = strtoul(argv[0], NULL, 10);
	double start = clock_s(CLOCK_PROCESS_CPUTIME_ID);

	for (size_t i = 0; i < n; i++) {
		struct http_guard g = { 0 };

		if (http_guard_check(&g, request, sizeof(request) - 1) !=
		    HTTP_GUARD_HEAD)
			die("the request is refused");
	}
	printf("ns %.0f\n",
	       (clock_s(CLOCK_PROCESS_CPUTIME_ID) - start) * 1e9 / (double)n);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "load"))
		return run_load(argv + 2);
	if (argc == 3 && !strcmp(argv[1], "check"))
		return run_check(argv + 2);
	fprintf(stderr, "guard: see the head of guard.c\n");
	return 64;
}
