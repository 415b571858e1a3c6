/*
 * Client and server on one loop; answers that a correct server would not give come from
 * a plain listening socket.
 */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "slipway/http.h"
#include "slipway/http_stream.h"
#include "slipway/httpc.h"
#include "slipway/mem.h"

static struct loop *loop;
static struct http *http;
static struct httpc *client;
static uint16_t port;
static char url[128];
static struct http_req pending;
static int seen_pending;

/* What on_done saw. */
static struct result {
	int calls;
	enum err_code code;
	long status;
	struct strbuf body;
} result;
static int stop_after;

static void
handle_echo(struct http_req r, void *arg)
{
	size_t len;
	const char *body = http_req_body(r, &len);
	const char *value = http_req_header(r, "X-Value");

	http_set_header(r, "X-Type", http_req_header(r, "Content-Type") ? "yes" : "no");
	if (value)
		http_reply(r, 201, "text/plain", value, strlen(value));
	else
		http_reply(r, 200, "text/plain", body, len);
}

static void
handle_stream(struct http_req r, void *arg)
{
	http_stream_start(r, 200, "text/plain");
	for (int i = 0; i < 100; i++)
		http_stream_write(r, "0123456789", 10);
	http_stream_end(r);
}

static void
handle_hold(struct http_req r, void *arg)
{
	pending = r;
	seen_pending++;
	loop_stop(loop);
}

static void
handle_redirect(struct http_req r, void *arg)
{
	http_set_header(r, "Location", "/echo");
	http_reply(r, 302, NULL, NULL, 0);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/echo", 0, handle_echo },
	{ HTTP_POST, "/echo", 0, handle_echo },
	{ HTTP_PUT, "/echo", 0, handle_echo },
	{ HTTP_DELETE, "/echo", 0, handle_echo },
	{ HTTP_GET, "/stream", 0, handle_stream },
	{ HTTP_GET, "/hold", 0, handle_hold },
	{ HTTP_GET, "/redirect", 0, handle_redirect },
	{ 0, NULL, 0, NULL },
};

static void
on_done(void *arg, const struct err *err, long status, const struct strbuf *body)
{
	result.calls++;
	result.code = err ? err->code : ERR_NONE;
	result.status = status;
	strbuf_reset(&result.body);
	strbuf_add(&result.body, strbuf_str(body), body->len);
	if (err)
		cr_assert(err->msg[0]);
	if (result.calls == stop_after)
		loop_stop(loop);
}

static void
set_up(void)
{
	struct http_opts o = { .routes = routes,
			       .max_body = 1 << 20,
			       .max_connections = 50 };
	struct err e = { 0 };

	/* A proxy in the environment must not be used. */
	setenv("http_proxy", "http://127.0.0.1:9", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
	o.loop = loop = loop_new(&e);
	http = http_new(&o, &e);
	cr_assert_eq(http_listen_tcp(http, "127.0.0.1:0", &port, &e), 0, "%s", e.msg);
	client = httpc_new(loop, &e);
	cr_assert(client);
	stop_after = 1;
}

static void
tear_down(void)
{
	httpc_free(client);
	http_free(http);
	loop_free(loop);
	strbuf_free(&result.body);
}

TestSuite(httpc, .init = set_up, .fini = tear_down, .timeout = 30);

static struct httpc_opts
get(const char *path)
{
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", port, path);
	return (struct httpc_opts){ .method = "GET",
				    .url = url,
				    .timeout_ms = 10000,
				    .max_answer = 100000,
				    .on_done = on_done };
}

static void
run(const struct httpc_opts *o)
{
	struct err e = { 0 };

	cr_assert(httpc_start(client, o, &e), "%s", e.msg);
	loop_run(loop);
}

Test(httpc, a_get_brings_status_and_body)
{
	struct httpc_opts o = get("/stream");

	run(&o);
	cr_assert_eq(result.code, ERR_NONE);
	cr_assert_eq(result.status, 200);
	cr_assert_eq(result.body.len, 1000);
	cr_assert_eq(httpc_active(client), 0);
}

Test(httpc, an_error_status_is_an_answer)
{
	struct httpc_opts o = get("/nowhere");

	run(&o);
	cr_assert_eq(result.code, ERR_NONE);
	cr_assert_eq(result.status, 404);
	cr_assert(strstr(strbuf_str(&result.body), "not_found"));
}

Test(httpc, methods_headers_and_bodies_arrive)
{
	static const char *const headers[] = { "X-Value: 42", NULL };
	struct httpc_opts o = get("/echo");

	o.method = "POST";
	o.body = "a\0b";
	o.body_len = 3;
	run(&o);
	cr_assert_eq(result.status, 200);
	cr_assert_eq(result.body.len, 3);
	cr_assert_eq(memcmp(result.body.data, "a\0b", 3), 0);

	o.method = "PUT";
	o.headers = headers;
	stop_after = 2;
	run(&o);
	cr_assert_eq(result.status, 201);
	cr_assert_str_eq(strbuf_str(&result.body), "42");

	o = get("/echo");
	o.method = "DELETE";
	stop_after = 3;
	run(&o);
	cr_assert_eq(result.status, 200);
	o.method = "HEAD";
	stop_after = 4;
	run(&o);
	cr_assert_eq(result.status, 200);
	o.method = "POST";
	stop_after = 5;
	run(&o);
	cr_assert_eq(result.status, 200);
	cr_assert_eq(result.body.len, 0);
}

Test(httpc, inputs_are_copied)
{
	char method[] = "POST", body[] = "text", header[] = "X-Other: 1", own[128];
	const char *headers[] = { header, NULL };
	struct httpc_opts o = get("/echo");

	STR_COPY(own, url);
	o.url = own;
	o.method = method;
	o.headers = headers;
	o.body = body;
	o.body_len = 4;
	cr_assert(httpc_start(client, &o, NULL));
	memset(own, 'x', sizeof(own) - 1);
	memset(method, 'x', sizeof(method) - 1);
	memset(body, 'x', sizeof(body) - 1);
	memset(header, 'x', sizeof(header) - 1);
	loop_run(loop);
	cr_assert_str_eq(strbuf_str(&result.body), "text");
}

Test(httpc, redirects_are_not_followed)
{
	struct httpc_opts o = get("/redirect");

	run(&o);
	cr_assert_eq(result.status, 302);
}

Test(httpc, an_answer_at_the_limit_passes)
{
	struct httpc_opts o = get("/stream");

	o.max_answer = 1000;
	run(&o);
	cr_assert_eq(result.code, ERR_NONE);
	cr_assert_eq(result.body.len, 1000);
}

Test(httpc, an_answer_one_past_the_limit_fails)
{
	struct httpc_opts o = get("/stream");

	o.max_answer = 999;
	run(&o);
	cr_assert_eq(result.code, ERR_TOO_LARGE);
}

static size_t streamed;

static int
on_data(void *arg, const void *data, size_t len)
{
	streamed += len;
	return 0;
}

static int
on_data_end(void *arg, const void *data, size_t len)
{
	streamed += len;
	return -1;
}

Test(httpc, on_data_gets_the_body_whatever_its_size)
{
	struct httpc_opts o = get("/stream");

	o.max_answer = 1;
	o.on_data = on_data;
	run(&o);
	cr_assert_eq(result.code, ERR_NONE);
	cr_assert_eq(result.status, 200);
	cr_assert_eq(streamed, 1000);
	cr_assert_eq(result.body.len, 0);
}

Test(httpc, on_data_can_end_the_request)
{
	struct httpc_opts o = get("/stream");

	o.on_data = on_data_end;
	run(&o);
	cr_assert_eq(result.code, ERR_CLOSED);
	cr_assert_gt(streamed, 0);
}

static struct httpc_req *cancelled;

static int
on_data_cancel(void *arg, const void *data, size_t len)
{
	httpc_cancel(cancelled);
	return 0;
}

static void
stop(void *arg)
{
	if (!httpc_active(client))
		loop_stop(loop);
}

Test(httpc, a_request_can_be_cancelled_from_its_own_data)
{
	struct httpc_opts o = get("/stream");

	o.on_data = on_data_cancel;
	cancelled = httpc_start(client, &o, NULL);
	loop_on_turn_end(loop, stop, NULL);
	loop_run(loop);
	cr_assert_eq(result.calls, 0);
}

Test(httpc, a_cancelled_request_does_not_call_back)
{
	struct httpc_opts o = get("/hold");
	struct httpc_req *running = httpc_start(client, &o, NULL), *fresh;

	loop_run(loop);
	cr_assert_eq(seen_pending, 1);
	fresh = httpc_start(client, &o, NULL);
	httpc_cancel(fresh);
	httpc_cancel(running);
	o = get("/echo");
	run(&o);
	cr_assert_eq(result.calls, 1);
	cr_assert_eq(result.status, 200);
	cr_assert_eq(httpc_active(client), 0);
}

Test(httpc, the_deadline_ends_a_request)
{
	struct httpc_opts o = get("/hold");

	o.timeout_ms = 50;
	cr_assert(httpc_start(client, &o, NULL));
	loop_run(loop);
	loop_run(loop);
	cr_assert_eq(seen_pending, 1);
	cr_assert_eq(result.code, ERR_TIMEOUT);
}

Test(httpc, freeing_cancels_what_is_under_way)
{
	struct httpc_opts o = get("/hold");

	cr_assert(httpc_start(client, &o, NULL));
	loop_run(loop);
	cr_assert(httpc_start(client, &o, NULL));
	httpc_free(client);
	client = NULL;
	cr_assert_eq(result.calls, 0);
}

static void
on_done_free(void *arg, const struct err *err, long status, const struct strbuf *body)
{
	httpc_free(client);
	client = NULL;
	on_done(arg, err, status, body);
}

Test(httpc, the_client_may_be_freed_in_on_done)
{
	struct httpc_opts o = get("/echo");

	o.on_done = on_done_free;
	run(&o);
	cr_assert_eq(result.status, 200);
}

static void
on_done_again(void *arg, const struct err *err, long status, const struct strbuf *body)
{
	struct httpc_opts o = get("/echo");

	if (result.calls < 9)
		o.on_done = on_done_again;
	if (result.calls < 10)
		httpc_start(client, &o, NULL);
	on_done(arg, err, status, body);
}

Test(httpc, requests_can_be_started_in_on_done)
{
	struct httpc_opts o = get("/echo");

	stop_after = 11;
	o.on_done = on_done_again;
	run(&o);
	cr_assert_eq(result.calls, 11);
}

Test(httpc, many_requests_at_once_all_come_back)
{
	struct httpc_opts o = get("/stream");

	stop_after = 40;
	for (int i = 0; i < 40; i++)
		cr_assert(httpc_start(client, &o, NULL));
	cr_assert_eq(httpc_active(client), 40);
	loop_run(loop);
	cr_assert_eq(result.calls, 40);
}

Test(httpc, a_closed_port_is_a_connect_error)
{
	struct httpc_opts o = get("/echo");

	http_stop_listening(http);
	run(&o);
	cr_assert_eq(result.code, ERR_CONNECT);
}

Test(httpc, other_schemes_and_bad_urls_are_refused)
{
	static const char *const bad[] = { "file:///etc/passwd", "ftp://127.0.0.1/",
					   "gopher://127.0.0.1/", "http://[::1" };
	struct httpc_opts o = get("/echo");

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		o.url = bad[i];
		stop_after = result.calls + 1;
		run(&o);
		cr_assert_eq(result.code, ERR_INVALID, "%s", bad[i]);
	}
}

Test(httpc, a_unix_socket_is_a_place_like_any_other)
{
	char dir[] = "/tmp/test-httpc-XXXXXX", path[64];
	struct httpc_opts o = get("/echo");
	struct err e = { 0 };

	cr_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	cr_assert_eq(http_listen_unix(http, path, &e), 0, "%s", e.msg);
	o.url = "http://docker/echo";
	o.unix_socket = path;
	run(&o);
	cr_assert_eq(result.status, 200);
	http_stop_listening(http);
	o.unix_socket = "/nonexistent/socket";
	stop_after = 2;
	run(&o);
	cr_assert_eq(result.code, ERR_CONNECT);
	rmdir(dir);
}

/* A server that sends a text and its end, whatever it is asked. */
static struct loop_fd *raw_watch;
static const char *raw_text;
static int raw_fd;

static void
on_raw_client(int fd, unsigned what, void *arg)
{
	raw_fd = accept(fd, NULL, NULL);
	cr_assert_eq(send(raw_fd, raw_text, strlen(raw_text), MSG_NOSIGNAL),
		     (ssize_t)strlen(raw_text));
	shutdown(raw_fd, SHUT_WR);
}

static enum err_code
ask_raw(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct httpc_opts o;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	cr_assert_eq(listen(fd, 5), 0);
	getsockname(fd, (struct sockaddr *)&in, &len);
	port = ntohs(in.sin_port);
	o = get("/");
	raw_text = text;
	raw_watch = loop_fd_new(loop, fd, LOOP_READ, on_raw_client, NULL);
	stop_after = result.calls + 1;
	run(&o);
	loop_fd_free(raw_watch);
	close(raw_fd);
	close(fd);
	return result.code;
}

Test(httpc, broken_answers_are_errors)
{
	cr_assert_eq(ask_raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"),
		     ERR_CONNECT);
	cr_assert_eq(ask_raw("SSH-2.0-OpenSSH\r\n"), ERR_INVALID);
	cr_assert_eq(
		ask_raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
		ERR_CONNECT);
	cr_assert_eq(ask_raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"),
		     ERR_NONE);
}

Test(httpc, endless_headers_are_cut)
{
	cleanup_strbuf struct strbuf text = { 0 };

	strbuf_adds(&text, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
	while (text.len <= 64 * 1024)
		strbuf_adds(&text, "X-More: and more and more and more and more\r\n");
	strbuf_adds(&text, "\r\n");
	cr_assert_eq(ask_raw(text.data), ERR_TOO_LARGE);
}
