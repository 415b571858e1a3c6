/*
 * http_rig: a server on a thread of its own, with raw blocking sockets as clients; what
 * the tests of http share. Everything is static: each test file has its own.
 */
#pragma once

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "slipway/http.h"
#include "slipway/http_stream.h"
#include "slipway/mem.h"

#define MAX_BODY 1000
#define BIG (4 << 20)
#define HOST "Host: localhost\r\n"

static struct loop *loop;
static struct http *http;
static pthread_t thread;
static uint16_t port;
static sem_t ran, closed;
static struct http_req pending;
static size_t big_left;
static _Atomic size_t big_peak;
static _Atomic int drains;

static void
handle_hello(struct http_req r, void *arg)
{
	http_reply(r, 200, "text/plain", "hello", 5);
	/* Dead now: all of these must do nothing. */
	http_reply(r, 500, "text/plain", "twice", 5);
	http_set_header(r, "X-Late", "yes");
	http_stream_write(r, "late", 4);
}

static void
handle_echo(struct http_req r, void *arg)
{
	size_t len;
	const char *body = http_req_body(r, &len);

	http_reply(r, 200, "application/octet-stream", body, len);
}

static void
handle_count(struct http_req r, void *arg)
{
	char text[32];
	size_t len;

	http_req_body(r, &len);
	snprintf(text, sizeof(text), "%zu bytes", len);
	http_reply(r, 200, "text/plain", text, strlen(text));
}

static void
on_closed(void *arg)
{
	cr_assert_not(http_req_alive(pending));
	sem_post(&closed);
}

static void
handle_later(struct http_req r, void *arg)
{
	pending = r;
	http_req_on_close(r, on_closed, NULL);
	sem_post(&ran);
}

static void
handle_stream(struct http_req r, void *arg)
{
	http_stream_start(r, 200, "text/plain");
	http_stream_write(r, "one", 3);
	http_stream_write(r, "", 0);
	http_stream_write(r, "two", 3);
	http_stream_end(r);
}

static void
on_big_drained(void *arg)
{
	static const char block[64 * 1024];
	size_t n = big_left < sizeof(block) ? big_left : sizeof(block);

	drains++;
	cr_assert_eq(http_stream_pending(pending), 0);
	if (!n) {
		http_stream_end(pending);
		return;
	}
	http_stream_write(pending, block, n);
	big_left -= n;
	if (http_stream_pending(pending) > big_peak)
		big_peak = http_stream_pending(pending);
}

static void
handle_big(struct http_req r, void *arg)
{
	pending = r;
	big_left = BIG;
	http_stream_on_drain(r, on_big_drained, NULL);
	http_stream_start(r, 200, "application/octet-stream");
}

static void
handle_open(struct http_req r, void *arg)
{
	pending = r;
	http_req_on_close(r, on_closed, NULL);
	http_stream_start(r, 200, "text/event-stream");
	http_stream_write(r, "first", 5);
	http_stream_await(r);
	sem_post(&ran);
}

static void
handle_rest(struct http_req r, void *arg)
{
	const char *rest = http_req_rest(r);

	http_set_header(r, "X-Good", "yes");
	http_set_header(r, "X-Bad", "a\r\nX-Injected: b");
	http_reply(r, 200, "text/plain", rest, strlen(rest));
}

static void
handle_query(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "a", NULL };
	const char *value = http_req_query(r, "a");
	struct err e;

	if (http_req_unknown_query(r, allowed)) {
		err_field(&e, ERR_INVALID, http_req_unknown_query(r, allowed),
			  "unknown \"value\"");
		http_reply_err(r, &e);
		return;
	}
	http_reply(r, 200, "text/plain", value ? value : "-",
		   value ? strlen(value) : 1);
}

static void
handle_about(struct http_req r, void *arg)
{
	cleanup_strbuf struct strbuf b = { 0 };
	const char *value = http_req_header(r, "x-VALUE");

	strbuf_addf(&b, "%s|%s|%s|%d", http_req_path(r), http_req_peer(r),
		    value ? value : "none", http_req_is_unix(r));
	http_reply(r, 200, "text/plain", b.data, b.len);
}

static void
handle_empty(struct http_req r, void *arg)
{
	http_reply(r, 204, NULL, NULL, 0);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/hello", 0, handle_hello },
	{ HTTP_POST, "/echo", HTTP_ROUTE_CHANGES, handle_echo },
	{ HTTP_POST, "/raw", 0, handle_echo },
	{ HTTP_POST, "/large", HTTP_ROUTE_BODY_MIB(2), handle_count },
	{ HTTP_POST, "/form", HTTP_ROUTE_CHANGES | HTTP_ROUTE_FORM, handle_echo },
	{ HTTP_GET, "/later", 0, handle_later },
	{ HTTP_GET, "/stream", 0, handle_stream },
	{ HTTP_GET, "/big", 0, handle_big },
	{ HTTP_GET, "/open", 0, handle_open },
	{ HTTP_GET, "/rest/", HTTP_ROUTE_PREFIX, handle_rest },
	{ HTTP_DELETE, "/rest/", HTTP_ROUTE_PREFIX | HTTP_ROUTE_CHANGES, handle_rest },
	{ HTTP_GET, "/query", 0, handle_query },
	{ HTTP_GET, "/about", 0, handle_about },
	{ HTTP_GET, "/empty", 0, handle_empty },
	{ 0, NULL, 0, NULL },
};

static void *
serve(void *arg)
{
	loop_run(loop);
	return NULL;
}

static void
start(struct http_opts o)
{
	struct err e = { 0 };

	o.loop = loop = loop_new(&e);
	o.routes = routes;
	o.max_body = MAX_BODY;
	http = http_new(&o, &e);
	cr_assert_eq(http_listen_tcp(http, "127.0.0.1:0", &port, &e), 0, "%s", e.msg);
	sem_init(&ran, 0, 0);
	sem_init(&closed, 0, 0);
	pthread_create(&thread, NULL, serve, NULL);
}

__attribute__((unused)) static void
set_up(void)
{
	start((struct http_opts){ .max_connections = 50 });
}

static void
stop_loop(void *arg)
{
	loop_stop(loop);
}

__attribute__((unused)) static void
stop(void)
{
	loop_post(loop, stop_loop, NULL);
	pthread_join(thread, NULL);
	http_free(http);
	loop_free(loop);
}

struct call {
	void (*fn)(void *);
	void *arg;
	sem_t done;
};

static void
run_call(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	sem_post(&c->done);
}

/* Run fn on the server's loop and wait for it. */
__attribute__((unused)) static void
on_server(void (*fn)(void *), void *arg)
{
	struct call c = { .fn = fn, .arg = arg };

	sem_init(&c.done, 0, 0);
	loop_post(loop, run_call, &c);
	sem_wait(&c.done);
}

static int
dial(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct timeval patience = { .tv_sec = 10 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	cr_assert_eq(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

__attribute__((unused)) static void
send_all(int fd, const char *text)
{
	size_t len = strlen(text);

	cr_assert_eq(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Until the text has come; what was read so far is in in. */
__attribute__((unused)) static void
read_until(int fd, struct strbuf *in, const char *text)
{
	char buf[4096];
	ssize_t n;

	while (!strstr(strbuf_str(in), text)) {
		n = recv(fd, buf, sizeof(buf), 0);
		cr_assert_gt(n, 0, "no '%s' in '%s'", text, strbuf_str(in));
		strbuf_add(in, buf, (size_t)n);
	}
}

/* Until the server closes; a reset or a time-out fails the test. */
__attribute__((unused)) static void
read_to_end(int fd, struct strbuf *in)
{
	char buf[65536];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		strbuf_add(in, buf, (size_t)n);
	cr_assert_eq(n, 0, "not closed after '%s'", strbuf_str(in));
}

__attribute__((unused)) static bool
begins(const struct strbuf *in, const char *text)
{
	return !strncmp(strbuf_str(in), text, strlen(text));
}

__attribute__((unused)) static bool
has(const struct strbuf *in, const char *text)
{
	return strstr(strbuf_str(in), text) != NULL;
}

/* One request on a connection of its own, and the whole answer. */
__attribute__((unused)) static struct strbuf
ask(const char *request)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, request);
	read_to_end(fd, &in);
	close(fd);
	return in;
}

__attribute__((unused)) static void
assert_answer(const char *request, const char *status, const char *text)
{
	struct strbuf in = ask(request);

	cr_assert(begins(&in, status), "'%s' for '%s'", strbuf_str(&in), request);
	cr_assert(has(&in, text), "'%s' for '%s'", strbuf_str(&in), request);
	strbuf_free(&in);
}

#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n"
#define POST(path, headers, body)                                                      \
	"POST " path " HTTP/1.1\r\n" HOST "Connection: close\r\n" headers "\r\n" body

__attribute__((unused)) static void
answer_pending(void *arg)
{
	cr_assert(http_req_alive(pending));
	http_reply(pending, 200, "text/plain", arg, strlen(arg));
	cr_assert_not(http_req_alive(pending));
}
