/*
 * readers: thousands of clients of log streams, and what bounds how fast they can be
 * served. Prints one line per measurement.
 *
 *	readers raw N PER WRITES      write(2) of PER events to each of N sockets, WRITES times
 *	readers stream N PER WRITES   the same through the daemon's own render and streams
 *	readers follow PORT ID N      N clients of a job's log until its end
 *	readers idle PORT ID N        N clients; "here" when all have the first event, and
 *	                              after a line on stdin they vanish by RST: "gone"
 *	readers evhtp FILE TYPE       a bare libevhtp handler that answers with FILE; prints
 *	                              its port, until stdin ends
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <evhtp/evhtp.h>

#include "slipway/http_stream.h"
#include "slipway/loop.h"
#include "web/render.h"

static void
die(const char *what)
{
	fprintf(stderr, "readers: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
cpu_s(int who)
{
	struct rusage ru;

	getrusage(who, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	       (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

/* The clients */

struct client {
	int fd;
	bool in_body;
	unsigned matched; /* of the empty line that ends the head */
	size_t body;
};

struct clients {
	struct client *c;
	size_t n;
	int epoll;
	size_t heads, ended, body;
};

static int
dial(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void
clients_dial(struct clients *all, int port, size_t n, const char *request)
{
	size_t len = strlen(request);

	*all = (struct clients){ .c = calloc(n, sizeof(*all->c)), .n = n };
	all->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!all->c || all->epoll < 0)
		die("clients");
	for (size_t i = 0; i < n; i++) {
		struct client *c = &all->c[i];
		struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };

		c->fd = dial(port);
		c->in_body = len == 0;
		if (len && write(c->fd, request, len) != (ssize_t)len)
			die("write");
		if (epoll_ctl(all->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
			die("epoll");
	}
}

static void
client_take(struct clients *all, struct client *c, const char *p, size_t len)
{
	static const char end[] = "\r\n\r\n";

	for (; len > 0 && !c->in_body; p++, len--) {
		c->matched = *p == end[c->matched] ? c->matched + 1 : *p == '\r';
		if (c->matched == 4) {
			c->in_body = true;
			all->heads++;
		}
	}
	c->body += len;
	all->body += len;
}

/* Reads what there is. False when nothing came for long. */
static bool
clients_read(struct clients *all, int patience_ms)
{
	static char buf[1 << 16];
	struct epoll_event ev[256];
	int n = epoll_wait(all->epoll, ev, 256, patience_ms);

	for (int i = 0; i < n; i++) {
		struct client *c = ev[i].data.ptr;
		ssize_t got = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (got > 0) {
			client_take(all, c, buf, (size_t)got);
		} else if (got == 0 || errno != EAGAIN) {
			epoll_ctl(all->epoll, EPOLL_CTL_DEL, c->fd, NULL);
			all->ended++;
		}
	}
	return n > 0;
}

/* A process that reads all that comes to n clients, to the last byte of `body`. */
static pid_t
clients_spawn(int port, size_t n, const char *request, size_t body, int ready)
{
	struct clients all;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	clients_dial(&all, port, n, request);
	while (*request && all.heads < n)
		if (!clients_read(&all, 10000))
			die("no answer");
	if (write(ready, "r", 1) != 1)
		die("pipe");
	while (all.body < body)
		if (!clients_read(&all, 10000))
			die("nothing comes any more");
	_exit(0);
}

/* The event that all of these are about */

#define EVENT_TEXT                                                                     \
	"compiling src/engine/something.c as every build does, line by line\n"

static size_t
frames_make(struct strbuf *log, unsigned n)
{
	struct frame f = { .type = FRAME_STDOUT, .len = sizeof(EVENT_TEXT) - 1 };
	uint8_t head[FRAME_HEADER_LEN];

	frame_encode(&f, head);
	for (unsigned i = 0; i < n; i++) {
		strbuf_add(log, head, sizeof(head));
		strbuf_adds(log, EVENT_TEXT);
	}
	return log->len;
}

static void
events_render(const struct strbuf *log, struct strbuf *out)
{
	struct render_steps steps = { 0 };
	struct render r = { .form = &render_sse,
			    .steps = &steps,
			    .attempt = 1,
			    .step = RENDER_ALL_STEPS };

	render_frames(&r, (uint8_t *)log->data, log->len, 1000000, SIZE_MAX, out);
}

/* As it is on the wire. */
static void
chunk_make(unsigned per, struct strbuf *chunk)
{
	struct strbuf log = { 0 }, events = { 0 };

	frames_make(&log, per);
	events_render(&log, &events);
	strbuf_addf(chunk, "%zx\r\n%s\r\n", events.len, events.data);
	strbuf_free(&log);
	strbuf_free(&events);
}

static void
report(size_t n, unsigned per, unsigned writes, double began, double cpu)
{
	double events = (double)n * per * writes;

	printf("per second %.0f cpu %.3f\n", events / (now_s() - began),
	       (cpu_s(RUSAGE_SELF) - cpu) * 1e6 / events);
}

/* The limit: nothing but write(2) */

static int
listen_any(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ||
	    listen(fd, 1024) < 0 || getsockname(fd, (struct sockaddr *)&sin, &len) < 0)
		die("listen");
	*port = ntohs(sin.sin_port);
	return fd;
}

static void
write_all(int fd, const char *p, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n < 0 && errno == EAGAIN)
			poll(&pfd, 1, -1);
		else if (n < 0)
			die("write");
		else
			p += n, len -= (size_t)n;
	}
}

static int
bench_raw(char **argv)
{
	size_t n = strtoul(argv[0], NULL, 10);
	unsigned per = (unsigned)atoi(argv[1]), writes = (unsigned)atoi(argv[2]);
	struct strbuf chunk = { 0 };
	int port, listener = listen_any(&port), ready[2], *fds = calloc(n, sizeof(int));
	double began, cpu;
	pid_t pid;
	char c;

	if (!fds || pipe(ready) < 0)
		die("pipe");
	chunk_make(per, &chunk);
	pid = clients_spawn(port, n, "", n * writes * chunk.len, ready[1]);
	for (size_t i = 0; i < n; i++)
		if ((fds[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) < 0)
			die("accept");
	if (read(ready[0], &c, 1) != 1)
		die("clients");
	began = now_s();
	cpu = cpu_s(RUSAGE_SELF);
	for (unsigned w = 0; w < writes; w++)
		for (size_t i = 0; i < n; i++)
			write_all(fds[i], chunk.data, chunk.len);
	waitpid(pid, NULL, 0);
	report(n, per, writes, began, cpu);
	return 0;
}

/* The daemon's way: loop, http, streams, render; one event, resp. PER, a turn */

static struct {
	struct loop *loop;
	struct loop_timer *next;
	struct http_req *reqs;
	size_t n;
	struct strbuf log;
	unsigned left;
} fan;

static void
on_request(struct http_req r, void *arg)
{
	http_stream_start(r, 200, render_sse.type);
	http_stream_set_beat(r, render_sse.beat);
	http_stream_await(r);
	fan.reqs[fan.n++] = r;
}

static void
on_next(void *arg)
{
	struct strbuf out = { 0 };
	struct http_buf *b;

	if (fan.left == 0)
		return;
	loop_timer_set(fan.next, 0);
	/* Readers that are behind must not pile up without bounds. */
	if (http_buf_total() > 1 << 20)
		return;
	fan.left--;
	events_render(&fan.log, &out);
	b = http_buf_new(out.data, out.len);
	for (size_t i = 0; i < fan.n; i++)
		http_stream_send(fan.reqs[i], b);
	http_buf_unref(b);
	strbuf_free(&out);
}

static double began_s, began_cpu;

static void
on_clients_ready(int fd, unsigned what, void *arg)
{
	char c;

	if (read(fd, &c, 1) != 1)
		return;
	began_s = now_s();
	began_cpu = cpu_s(RUSAGE_SELF);
	loop_timer_set(fan.next, 0);
}

static void
on_clients_done(int fd, unsigned what, void *arg)
{
	loop_stop(fan.loop);
}

static int
bench_stream(char **argv)
{
	static const struct http_route routes[] = {
		{ HTTP_GET, "/events", 0, on_request }, { .path = NULL }
	};
	size_t n = strtoul(argv[0], NULL, 10);
	unsigned per = (unsigned)atoi(argv[1]), writes = (unsigned)atoi(argv[2]);
	struct http_opts o = { .routes = routes, .max_connections = 20000 };
	struct strbuf chunk = { 0 };
	struct err e = { 0 };
	struct http *http;
	uint16_t port;
	int ready[2];
	pid_t pid;

	o.loop = fan.loop = loop_new(&e);
	http = http_new(&o, &e);
	if (!http || http_listen_tcp(http, "127.0.0.1:0", &port, &e) < 0)
		die(e.msg);
	fan.reqs = calloc(n, sizeof(*fan.reqs));
	if (!fan.reqs || pipe(ready) < 0)
		die("pipe");
	fan.left = writes;
	frames_make(&fan.log, per);
	chunk_make(per, &chunk);
	fan.next = loop_timer_new(fan.loop, on_next, NULL);
	pid = clients_spawn(port, n, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n",
			    n * writes * chunk.len, ready[1]);
	loop_fd_new(fan.loop, ready[0], LOOP_READ, on_clients_ready, NULL);
	loop_fd_new(fan.loop, (int)syscall(SYS_pidfd_open, pid, 0), LOOP_READ,
		    on_clients_done, NULL);
	loop_run(fan.loop);
	waitpid(pid, NULL, 0);
	report(n, per, writes, began_s, began_cpu);
	return 0;
}

/* Clients of a whole daemon */

static void
follow_request(char *out, size_t size, const char *id)
{
	snprintf(out, size, "GET /jobs/logs?id=%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
		 id);
}

static int
bench_follow(char **argv)
{
	size_t n = strtoul(argv[2], NULL, 10);
	struct clients all;
	char request[512];
	double began = 0;
	size_t before;

	follow_request(request, sizeof(request), argv[1]);
	clients_dial(&all, atoi(argv[0]), n, request);
	while (all.heads < n)
		if (!clients_read(&all, 10000))
			die("no answer");
	printf("here\n");
	fflush(stdout);
	before = all.body;
	while (all.ended < n) {
		if (!clients_read(&all, 60000))
			die("nothing comes any more");
		if (!began && all.body > before)
			began = now_s();
	}
	printf("bytes %zu seconds %.3f same %d\n", all.body, now_s() - began,
	       all.body % n == 0);
	return 0;
}

static int
bench_idle(char **argv)
{
	struct linger hard = { .l_onoff = 1, .l_linger = 0 };
	size_t n = strtoul(argv[2], NULL, 10);
	struct clients all;
	char request[512];

	follow_request(request, sizeof(request), argv[1]);
	clients_dial(&all, atoi(argv[0]), n, request);
	while (all.heads < n)
		if (!clients_read(&all, 10000))
			die("no answer");
	/* What follows the head. */
	while (clients_read(&all, 1000))
		;
	printf("here\n");
	fflush(stdout);
	if (getchar() == EOF)
		return 0;
	for (size_t i = 0; i < n; i++) {
		setsockopt(all.c[i].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(all.c[i].fd);
	}
	printf("gone\n");
	fflush(stdout);
	getchar();
	return 0;
}

/* The parser's own speed */

static struct strbuf answer;

static void
on_bare_request(evhtp_request_t *req, void *arg)
{
	evbuffer_add_reference(req->buffer_out, answer.data, answer.len, NULL, NULL);
	evhtp_headers_add_header(req->headers_out,
				 evhtp_header_new("Content-Type", arg, 0, 0));
	evhtp_send_reply(req, EVHTP_RES_OK);
}

static void
on_stdin(evutil_socket_t fd, short what, void *arg)
{
	char c;

	if (read(fd, &c, 1) <= 0)
		event_base_loopbreak(arg);
}

static int
bench_evhtp(char **argv)
{
	struct event_base *base = event_base_new();
	evhtp_t *htp = evhtp_new(base, NULL);
	FILE *f = fopen(argv[0], "r");
	int port, fd = listen_any(&port);
	char buf[4096];
	size_t n;

	if (!f)
		die(argv[0]);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		strbuf_add(&answer, buf, n);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	evhtp_set_gencb(htp, on_bare_request, argv[1]);
	evhtp_accept_socket(htp, fd, 1024);
	event_add(event_new(base, 0, EV_READ | EV_PERSIST, on_stdin, base), NULL);
	printf("port %d\n", port);
	fflush(stdout);
	event_base_dispatch(base);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **argv);
	} modes[] = {
		{ "raw", 3, bench_raw },       { "stream", 3, bench_stream },
		{ "follow", 3, bench_follow }, { "idle", 3, bench_idle },
		{ "evhtp", 2, bench_evhtp },
	};
	struct rlimit rl;

	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0 && argc - 2 >= modes[i].args)
			return modes[i].run(argv + 2);
	fprintf(stderr, "readers: see the head of readers.c\n");
	return 64;
}
