#include "http_rig.h"

TestSuite(http_gate, .init = set_up, .fini = stop, .timeout = 30);

Test(http_gate, unknown_paths_are_404_and_keep_the_connection)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "GET /nothing HTTP/1.1\r\n" HOST "\r\n");
	read_until(fd, &in, "}");
	cr_assert(begins(&in, "HTTP/1.1 404 Not Found\r\n"));
	cr_assert(has(&in, "\"code\":\"not_found\""));
	cr_assert(has(&in, "Content-Type: application/json\r\n"));
	strbuf_reset(&in);
	send_all(fd, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	read_until(fd, &in, "\r\n\r\nhello");
	close(fd);
	strbuf_free(&in);
}

Test(http_gate, wrong_methods_are_405_with_allow)
{
	assert_answer(POST("/hello", "Content-Length: 0\r\n", ""), "HTTP/1.1 405 ",
		      "\r\nAllow: GET, HEAD\r\n");
	assert_answer("OPTIONS /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		      "HTTP/1.1 405 ", "\r\nAllow: POST\r\n");
	assert_answer("PATCH /nothing HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		      "HTTP/1.1 404 ", "not_found");
	assert_answer("FOO /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		      "HTTP/1.1 501 ", "not_implemented");
}

Test(http_gate, the_host_must_be_there_once_and_be_ours)
{
#define WITH(hosts) "GET /hello HTTP/1.1\r\n" hosts "Connection: close\r\n\r\n"
	assert_answer(WITH(""), "HTTP/1.1 400 ", "no Host");
	assert_answer(WITH("Host: localhost\r\nHost: localhost\r\n"), "HTTP/1.1 400 ",
		      "more than one Host");
	assert_answer(WITH("Host: evil.example.org\r\n"), "HTTP/1.1 403 ",
		      "\"code\":\"forbidden\"");
	assert_answer(WITH("Host: 127.0.0.1:99\r\n"), "HTTP/1.1 200 ", "hello");
	assert_answer(WITH("Host: ci.example.org\r\n"), "HTTP/1.1 403 ", "forbidden");
#undef WITH
}

static void
allow_ci(void *arg)
{
	static const char *const names[] = { "ci.example.org" };

	http_set_hosts(http, names, 1);
}

Test(http_gate, further_hosts_can_be_allowed)
{
	on_server(allow_ci, NULL);
	assert_answer("GET /hello HTTP/1.1\r\nHost: ci.example.org\r\n"
		      "Connection: close\r\n\r\n",
		      "HTTP/1.1 200 ", "hello");
	assert_answer(GET("/hello"), "HTTP/1.1 200 ", "hello");
}

#define JSON "Content-Type: application/json; charset=utf-8\r\n"

Test(http_gate, a_change_from_a_foreign_page_is_refused)
{
	assert_answer(POST("/echo",
			   JSON "Origin: https://evil.org\r\nContent-Length: 2\r\n",
			   "{}"),
		      "HTTP/1.1 403 ", "Origin");
	assert_answer(POST("/echo", JSON "Origin: null\r\nContent-Length: 2\r\n", "{}"),
		      "HTTP/1.1 403 ", "Origin");
	assert_answer(POST("/echo",
			   JSON
			   "Origin: http://localhost:3000\r\nContent-Length: 2\r\n",
			   "{}"),
		      "HTTP/1.1 200 ", "\r\n\r\n{}");
	assert_answer(POST("/raw", "Origin: https://evil.org\r\nContent-Length: 2\r\n",
			   "{}"),
		      "HTTP/1.1 200 ", "\r\n\r\n{}");
}

Test(http_gate, a_change_must_be_json)
{
	assert_answer(POST("/echo", "Content-Length: 2\r\n", "{}"), "HTTP/1.1 415 ",
		      "application/json");
	assert_answer(POST("/echo", "Content-Type: text/plain\r\nContent-Length: 2\r\n",
			   "{}"),
		      "HTTP/1.1 415 ", "application/json");
	assert_answer(POST("/echo", JSON "Content-Length: 2\r\n", "{}"),
		      "HTTP/1.1 200 ", "\r\n\r\n{}");
	assert_answer(POST("/echo", "Content-Length: 0\r\n", ""), "HTTP/1.1 200 ",
		      "Content-Length: 0\r\n");
	assert_answer(POST("/echo", "Origin: http://localhost\r\nContent-Length: 0\r\n",
			   ""),
		      "HTTP/1.1 415 ", "application/json");
	assert_answer("DELETE /rest/x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n",
		      "HTTP/1.1 200 ", "\r\n\r\nx");
}

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"

Test(http_gate, a_change_may_be_a_form_where_it_says_so)
{
	assert_answer(POST("/form",
			   FORM "Origin: https://evil.org\r\nContent-Length: 3\r\n",
			   "a=b"),
		      "HTTP/1.1 403 ", "Origin");
	assert_answer(POST("/form",
			   FORM "Origin: http://localhost\r\nContent-Length: 3\r\n",
			   "a=b"),
		      "HTTP/1.1 200 ", "\r\n\r\na=b");
	assert_answer(POST("/form", JSON "Content-Length: 2\r\n", "{}"),
		      "HTTP/1.1 415 ", "form-urlencoded");
	assert_answer(POST("/form", "Content-Length: 3\r\n", "a=b"), "HTTP/1.1 415 ",
		      "form-urlencoded");
	assert_answer(POST("/form", "Content-Length: 0\r\n", ""), "HTTP/1.1 200 ",
		      "Content-Length: 0\r\n");
	assert_answer(POST("/echo", FORM "Content-Length: 3\r\n", "a=b"),
		      "HTTP/1.1 415 ", "application/json");
}

static struct strbuf
post_bytes(size_t n)
{
	cleanup_strbuf struct strbuf request = { 0 };

	strbuf_addf(&request, POST("/raw", "Content-Length: %zu\r\n", ""), n);
	for (size_t i = 0; i < n; i++)
		strbuf_addc(&request, 'x');
	return ask(request.data);
}

Test(http_gate, a_body_at_the_limit_passes)
{
	struct strbuf in = post_bytes(MAX_BODY);

	cr_assert(begins(&in, "HTTP/1.1 200 "));
	cr_assert_eq(strlen(strstr(in.data, "\r\n\r\n") + 4), MAX_BODY);
	strbuf_free(&in);
}

Test(http_gate, a_body_one_past_the_limit_is_413)
{
	struct strbuf in = post_bytes(MAX_BODY + 1);

	cr_assert(begins(&in, "HTTP/1.1 413 "));
	cr_assert(has(&in, "\"code\":\"too_large\""));
	strbuf_free(&in);
}

Test(http_gate, a_huge_body_is_refused_before_it_is_sent)
{
	assert_answer("POST /raw HTTP/1.1\r\n" HOST
		      "Content-Length: 999999999999\r\n\r\n",
		      "HTTP/1.1 413 ", "Connection: close\r\n");
}

Test(http_gate, a_413_arrives_although_the_client_goes_on_sending)
{
	char block[4096] = { 0 };
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "POST /raw HTTP/1.1\r\n" HOST "Content-Length: 400000\r\n\r\n");
	for (int i = 0; i < 20; i++)
		cr_assert_gt(send(fd, block, sizeof(block), MSG_NOSIGNAL), 0);
	read_until(fd, &in, "}");
	cr_assert(begins(&in, "HTTP/1.1 413 "));
	close(fd);
	strbuf_free(&in);
}

Test(http_gate, a_body_in_pieces_is_put_together)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "POST /raw HTTP/1.1\r\n" HOST
		     "Connection: close\r\nContent-Length: 6\r\n\r\nab");
	send_all(fd, "cd");
	send_all(fd, "ef");
	read_to_end(fd, &in);
	cr_assert(has(&in, "\r\n\r\nabcdef"));
	close(fd);
	strbuf_free(&in);
}

Test(http_gate, ambiguous_framing_is_refused)
{
	assert_answer("POST /raw HTTP/1.1\r\n" HOST
		      "Transfer-Encoding: chunked\r\n\r\n",
		      "HTTP/1.1 411 ", "Connection: close\r\n");
	assert_answer("POST /raw HTTP/1.1\r\n" HOST
		      "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		      "HTTP/1.1 400 ", "Connection: close\r\n");
	assert_answer("POST /raw HTTP/1.1\r\n" HOST
		      "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		      "HTTP/1.1 400 ", "Content-Length");
	assert_answer("POST /raw HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc",
		      "HTTP/1.1 400 ", "malformed");
	assert_answer("GET /hello HTTP/9.9\r\n" HOST "\r\n", "HTTP/1.1 505 ",
		      "version");
	assert_answer("GET http://localhost/hello HTTP/1.1\r\n" HOST
		      "Connection: close\r\n\r\n",
		      "HTTP/1.1 400 ", "target");
}

Test(http_gate, a_100_is_sent_only_when_the_request_may_go_on)
{
	struct strbuf in = { 0 };
	int fd = dial();

	send_all(fd, "POST /raw HTTP/1.1\r\n" HOST
		     "Connection: close\r\nExpect: 100-continue\r\n"
		     "Content-Length: 3\r\n\r\n");
	read_until(fd, &in, "HTTP/1.1 100 Continue\r\n\r\n");
	send_all(fd, "abc");
	read_to_end(fd, &in);
	cr_assert(has(&in, "HTTP/1.1 200 OK\r\n"));
	cr_assert(has(&in, "\r\n\r\nabc"));
	close(fd);
	strbuf_free(&in);
	assert_answer("POST /raw HTTP/1.1\r\n" HOST
		      "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n",
		      "HTTP/1.1 413 ", "too_large");
	assert_answer("POST /echo HTTP/1.1\r\n" HOST
		      "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
		      "HTTP/1.1 415 ", "Connection: close");
	assert_answer("POST /raw HTTP/1.1\r\n" HOST
		      "Expect: tea\r\nContent-Length: 5\r\n\r\n",
		      "HTTP/1.1 417 ", "Connection: close");
}

Test(http_gate, a_prefix_route_gets_the_decoded_rest)
{
	assert_answer(GET("/rest/a%20b/c"), "HTTP/1.1 200 ", "\r\n\r\na b/c");
	assert_answer(GET("/rest/../hello"), "HTTP/1.1 400 ", "invalid");
	assert_answer(GET("/rest/%2e%2e/x"), "HTTP/1.1 400 ", "invalid");
	assert_answer(GET("/rest/a%2fb"), "HTTP/1.1 400 ", "invalid");
	assert_answer(GET("/rest/%00"), "HTTP/1.1 400 ", "invalid");
}

Test(http_gate, header_injection_is_dropped)
{
	struct strbuf in = ask(GET("/rest/x"));

	cr_assert(has(&in, "X-Good: yes\r\n"));
	cr_assert_not(has(&in, "X-Bad"));
	cr_assert_not(has(&in, "X-Injected"));
	strbuf_free(&in);
}

Test(http_gate, query_values_are_decoded_and_bad_ones_refused)
{
	assert_answer(GET("/query?a=b%2Fc+d"), "HTTP/1.1 200 ", "\r\n\r\nb/c d");
	assert_answer(GET("/query"), "HTTP/1.1 200 ", "\r\n\r\n-");
	assert_answer(GET("/query?"), "HTTP/1.1 200 ", "\r\n\r\n-");
	assert_answer(GET("/query?a"), "HTTP/1.1 200 ", "Content-Length: 0\r\n");
	assert_answer(GET("/query?a=1&a=2"), "HTTP/1.1 400 ", "\"field\":\"a\"");
	assert_answer(GET("/query?a=%00"), "HTTP/1.1 400 ", "invalid");
	assert_answer(GET("/query?a=1&z=2"), "HTTP/1.1 400 ",
		      "{\"error\":\"unknown \\\"value\\\"\",\"code\":\"invalid\","
		      "\"field\":\"z\"}");
}
