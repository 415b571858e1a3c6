#include <criterion/criterion.h>
#include <string.h>

#include "http_guard.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

#define H "Host: a\r\n"
#define END "\r\n"

static struct http_guard g;

static enum http_guard_verdict
check_bytes(const char *bytes, size_t len)
{
	memset(&g, 0, sizeof(g));
	return http_guard_check(&g, bytes, len);
}

/* Byte by byte the answer must be the same, come at the same byte, and stay. */
static void
assert_same_in_pieces(const char *bytes, size_t len)
{
	struct http_guard whole = g;
	enum http_guard_verdict v, first = HTTP_GUARD_MORE;

	memset(&g, 0, sizeof(g));
	for (size_t n = 0; n <= len; n++) {
		char *copy = xmemdup(n ? bytes : "", n ? n : 1);

		v = http_guard_check(&g, copy, n);
		free(copy);
		if (first != HTTP_GUARD_MORE)
			cr_assert_eq(v, first);
		first = v;
	}
	cr_assert_eq(memcmp(&g, &whole, sizeof(g)), 0);
}

static void
assert_refused(const char *bytes, size_t len, int status, const char *text)
{
	cr_assert_eq(check_bytes(bytes, len), HTTP_GUARD_REFUSED, "'%s'", bytes);
	cr_assert_eq(g.refusal->status, status, "%d '%s' for '%s'", g.refusal->status,
		     g.refusal->text, bytes);
	cr_assert(strstr(g.refusal->text, text), "'%s' for '%s'", g.refusal->text,
		  bytes);
	assert_same_in_pieces(bytes, len);
}

static void
assert_head(const char *bytes, size_t len)
{
	cr_assert_eq(check_bytes(bytes, len), HTTP_GUARD_HEAD, "%s for '%s'",
		     g.refusal ? g.refusal->text : "more", bytes);
	assert_same_in_pieces(bytes, len);
}

Test(http_guard, a_plain_head_is_taken_apart)
{
	static const char head[] =
		"POST /a/b?c=d HTTP/1.1\r\nX: y\r\nhost:  ci.example.org:80 \t\r\n"
		"CONTENT-LENGTH: 0042  \r\nContent-Type:application/json\r\n"
		"expect: 100-Continue\r\n\r\n";
	static const char rest[] = "body and more";
	char *all = xasprintf("%s%s", head, rest);

	assert_head(all, strlen(all));
	cr_assert_eq(g.begin, 0);
	cr_assert_eq(g.end, strlen(head));
	cr_assert_str_eq(g.method, "POST");
	cr_assert_eq(g.target.len, strlen("/a/b?c=d"));
	cr_assert_eq(memcmp(all + g.target.at, "/a/b?c=d", g.target.len), 0);
	cr_assert_not(g.http10);
	cr_assert(g.expects);
	cr_assert_eq(g.content_length, 42);
	cr_assert_eq(g.has, 1 << HTTP_FIELD_HOST | 1 << HTTP_FIELD_LENGTH |
				    1 << HTTP_FIELD_TYPE | 1 << HTTP_FIELD_EXPECT);
	cr_assert_eq(g.fields[HTTP_FIELD_HOST].len, strlen("ci.example.org:80"));
	cr_assert_eq(memcmp(all + g.fields[HTTP_FIELD_HOST].at, "ci.example.org:80",
			    g.fields[HTTP_FIELD_HOST].len),
		     0);
	cr_assert_eq(memcmp(all + g.fields[HTTP_FIELD_TYPE].at, "application/json", 16),
		     0);
	free(all);
}

Test(http_guard, odd_but_clear_heads_pass)
{
	static const char *const heads[] = {
		"GET / HTTP/1.0\r\n" H END,
		"\r\nGET / HTTP/1.1\r\n" H END,
		"\r\n\r\nGET / HTTP/1.1\r\n" H END,
		"GET /?a=b?c&%00 HTTP/1.1\r\n" H END,
		"GET //../\\^`{|}\"<>#;=@ HTTP/1.1\r\n" H END,
		"GET / HTTP/1.1\r\nHost:\r\n" END,
		"GET / HTTP/1.1\r\nHost:    \t \r\n" END,
		"GET / HTTP/1.1\r\nhOsT:a\r\n" END,
		"GET / HTTP/1.1\r\n" H "X:a\tb\xff\x80 \r\n" END,
		"GET / HTTP/1.1\r\n" H "!#$%&'*+-.^_`|~09aZ: x\r\n" END,
		"GET / HTTP/1.1\r\n" H "Content-Length: 18446744073709551615\r\n" END,
		"GET / HTTP/1.1\r\n" H "Content-Length: 00000000000000000000\r\n" END,
		"GET / HTTP/1.1\r\n" H "Cookie: a\r\nCookie: b\r\n" END,
		"GET / HTTP/1.1\r\n" H "TE: trailers\r\nTransfer: x\r\n" END,
		"HEAD / HTTP/1.1\r\n" H END,
		"PUT / HTTP/1.1\r\n" H END,
		"DELETE / HTTP/1.1\r\n" H END,
		"OPTIONS / HTTP/1.1\r\n" H END,
		"PATCH / HTTP/1.1\r\n" H END,
		"TRACE / HTTP/1.1\r\n" H END,
	};

	for (size_t i = 0; i < ARRAY_LEN(heads); i++)
		assert_head(heads[i], strlen(heads[i]));
}

Test(http_guard, empty_lines_before_a_head_are_not_part_of_it)
{
	static const char head[] = "\r\n\r\nGET /x HTTP/1.1\r\n" H END "more";

	assert_head(head, strlen(head));
	cr_assert_eq(g.begin, 4);
	cr_assert_eq(g.end, strlen(head) - 4);
	cr_assert_eq(g.target.at, 8);
}

Test(http_guard, an_unfinished_head_waits)
{
	static const char head[] = "GET /x HTTP/1.1\r\n" H "X: y\r\n\r\n";

	for (size_t n = 0; n < strlen(head); n++)
		cr_assert_eq(check_bytes(head, n), HTTP_GUARD_MORE, "%zu", n);
	cr_assert_eq(check_bytes(head, strlen(head)), HTTP_GUARD_HEAD);
}

Test(http_guard, what_is_not_clear_is_refused)
{
	static const struct {
		const char *head;
		int status;
		const char *text;
	} bad[] = {
		{ "\r\n\r\n\r\n", 400, "method" },
		{ "\rGET / HTTP/1.1\r\n" H END, 400, "CR LF" },
		{ "\nGET / HTTP/1.1\r\n" H END, 400, "method" },
		{ " GET / HTTP/1.1\r\n" H END, 400, "method" },
		{ "\x16\x03\x01", 400, "method" },
		{ "GET\t/ HTTP/1.1\r\n" H END, 400, "method" },
		{ "G(T / HTTP/1.1\r\n" H END, 400, "method" },
		{ "G\xc3\xbcT / HTTP/1.1\r\n" H END, 400, "method" },
		{ "get / HTTP/1.1\r\n" H END, 501, "method" },
		{ "FOO / HTTP/1.1\r\n" H END, 501, "method" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 501, "method" },
		{ "GETGETGETGETGETGET / HTTP/1.1\r\n" H END, 501, "method" },
		{ "CONNECT a:443 HTTP/1.1\r\n" H END, 405, "proxy" },
		{ "CONNECT / HTTP/1.1\r\n" H END, 405, "proxy" },
		{ "GET http://a/ HTTP/1.1\r\n" H END, 400, "target" },
		{ "GET a:443 HTTP/1.1\r\n" H END, 400, "target" },
		{ "OPTIONS * HTTP/1.1\r\n" H END, 400, "target" },
		{ "GET  / HTTP/1.1\r\n" H END, 400, "target" },
		{ "GET /a\tb HTTP/1.1\r\n" H END, 400, "target" },
		{ "GET /\x01 HTTP/1.1\r\n" H END, 400, "target" },
		{ "GET /\x7f HTTP/1.1\r\n" H END, 400, "target" },
		{ "GET /\xc3\xbc HTTP/1.1\r\n" H END, 400, "target" },
		{ "GET /\r\n", 400, "request line" },
		{ "GET /\n", 400, "request line" },
		{ "GET / \r\n", 400, "request line" },
		{ "GET /  HTTP/1.1\r\n" H END, 400, "request line" },
		{ "GET / HTTP/1.1 \r\n" H END, 400, "request line" },
		{ "GET / HTTP/1.1\n" H END, 400, "request line" },
		{ "GET / HTTP/11\r\n" H END, 400, "request line" },
		{ "GET / HTTP/1.10\r\n" H END, 400, "request line" },
		{ "GET / http/1.1\r\n" H END, 400, "request line" },
		{ "GET / HTTPS/1.1\r\n" H END, 400, "request line" },
		{ "GET / HTTP/1.x\r\n" H END, 400, "request line" },
		{ "GET / HTTP/9.9\r\n" H END, 505, "1.0 or 1.1" },
		{ "GET / HTTP/2.0\r\n" H END, 505, "1.0 or 1.1" },
		{ "GET / HTTP/1.2\r\n" H END, 505, "1.0 or 1.1" },
		{ "GET / HTTP/0.9\r\n" H END, 505, "1.0 or 1.1" },
		{ "GET / HTTP/1.1\r\r\n" H END, 400, "CR LF" },
		{ "GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "CR LF" },
		{ "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400, "CR LF" },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "CR LF" },
		{ "GET / HTTP/1.1\r\nHost: a\r\n\rx", 400, "CR LF" },
		{ "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "folded" },
		{ "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400, "folded" },
		{ "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400, "folded" },
		{ "GET / HTTP/1.1\r\n" H ": a\r\n\r\n", 400, "name" },
		{ "GET / HTTP/1.1\r\n" H "X : a\r\n\r\n", 400, "name" },
		{ "GET / HTTP/1.1\r\n" H "X\t: a\r\n\r\n", 400, "name" },
		{ "GET / HTTP/1.1\r\n" H "X\r\n\r\n", 400, "name" },
		{ "GET / HTTP/1.1\r\n" H "X(: a\r\n\r\n", 400, "name" },
		{ "GET / HTTP/1.1\r\n" H "\xc3\xbc: a\r\n\r\n", 400, "name" },
		{ "GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", 400, "control" },
		{ "GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", 400, "control" },
		{ "GET / HTTP/1.1\r\n\r\n", 400, "no Host" },
		{ "GET / HTTP/1.0\r\n\r\n", 400, "no Host" },
		{ "GET / HTTP/1.1\r\n" H "host: a\r\n\r\n", 400, "one Host" },
		{ "GET / HTTP/1.1\r\n" H "Origin: a\r\nOrigin: a\r\n", 400, "Origin" },
		{ "GET / HTTP/1.1\r\n" H "Content-Type: a\r\ncontent-type: a\r\n", 400,
		  "Content-Type" },
		{ "GET / HTTP/1.1\r\n" H "Authorization: a\r\nAuthorization: b\r\n",
		  400, "Authorization" },
		{ "GET / HTTP/1.1\r\n" H "Expect: tea\r\n", 417, "Expect" },
		{ "GET / HTTP/1.1\r\n" H "Expect:\r\n", 417, "Expect" },
		{ "GET / HTTP/1.1\r\n" H "Expect: 100-continue, tea\r\n", 417,
		  "Expect" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(bad[i].head, strlen(bad[i].head), bad[i].status,
			       bad[i].text);
}

Test(http_guard, a_nul_is_refused_wherever_it_is)
{
	static const char head[] = "GET /x HTTP/1.1\r\n" H "X: y\r\n\r\n";
	char copy[sizeof(head)];

	for (size_t i = 0; i < sizeof(head) - 1; i++) {
		memcpy(copy, head, sizeof(head));
		copy[i] = '\0';
		assert_refused(copy, sizeof(head) - 1, 400, "");
	}
}

#define LENGTH(value) "POST / HTTP/1.1\r\n" H "Content-Length:" value "\r\n\r\n"

Test(http_guard, a_length_is_at_most_twenty_digits_within_64_bits)
{
	static const char *const bad[] = {
		LENGTH(""),
		LENGTH(" "),
		LENGTH(" -1"),
		LENGTH(" +1"),
		LENGTH(" 0x10"),
		LENGTH(" 1,1"),
		LENGTH(" 1 1"),
		LENGTH(" 1.0"),
		LENGTH(" 1\t1"),
		LENGTH("\t1"),
		LENGTH(" 18446744073709551616"),
		LENGTH(" 99999999999999999999"),
		LENGTH(" 000000000000000000001"),
		"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\ncontent-length: 1\r\n",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(bad[i], strlen(bad[i]), 400, "Content-Length");
}

#define CODED(version, fields) "POST / HTTP/" version "\r\n" H fields END

Test(http_guard, transfer_encoding_is_never_read)
{
	static const struct {
		const char *head;
		int status;
	} bad[] = {
		{ CODED("1.1", "Transfer-Encoding: chunked\r\n"), 411 },
		{ CODED("1.1", "transfer-encoding:CHUNKED \t\r\n"), 411 },
		{ CODED("1.1", "Transfer-Encoding: gzip, chunked\r\n"), 501 },
		{ CODED("1.1", "Transfer-Encoding: identity\r\n"), 501 },
		{ CODED("1.1", "Transfer-Encoding: xchunked\r\n"), 501 },
		{ CODED("1.1", "Transfer-Encoding: chunke\r\n"), 501 },
		{ CODED("1.1", "Transfer-Encoding:\tchunked\r\n"), 501 },
		{ CODED("1.1", "Transfer-Encoding: \"chunked\"\r\n"), 501 },
		{ CODED("1.1", "Transfer-Encoding:\r\n"), 501 },
		{ CODED("1.0", "Transfer-Encoding: chunked\r\n"), 400 },
		{ CODED("1.1", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
		  400 },
		{ CODED("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"),
		  400 },
		{ CODED("1.1", "Content-Length: 3\r\nTransfer-Encoding: x\r\n"), 400 },
		{ CODED("1.1", "Transfer-Encoding: chunked\r\n"
			       "Transfer-Encoding: identity\r\n"),
		  400 },
		{ CODED("1.1", "Transfer-Encoding : chunked\r\n"), 400 },
		{ CODED("1.1", "Transfer_Encoding: x\r\nTransfer-Encoding\x0b: x\r\n"),
		  400 },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_refused(bad[i].head, strlen(bad[i].head), bad[i].status, "");
}

Test(http_guard, http_1_0_does_not_wait_for_a_100)
{
	static const char head[] = "POST / HTTP/1.0\r\n" H
				   "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n";

	assert_head(head, strlen(head));
	cr_assert(g.http10);
	cr_assert_not(g.expects);
}

/* A head with n bytes of something in the middle. */
static struct strbuf
stretched(const char *before, size_t n, const char *after)
{
	struct strbuf b = { 0 };

	strbuf_adds(&b, before);
	for (size_t i = 0; i < n; i++)
		strbuf_addc(&b, 'x');
	strbuf_adds(&b, after);
	return b;
}

static void
assert_limit(const char *before, size_t limit, const char *after, int status)
{
	struct strbuf at = stretched(before, limit, after);
	struct strbuf past = stretched(before, limit + 1, after);

	assert_head(at.data, at.len);
	assert_refused(past.data, past.len, status, "");
	strbuf_free(&at);
	strbuf_free(&past);
}

Test(http_guard, each_limit_holds_to_the_byte)
{
	assert_limit("GET /", HTTP_TARGET_MAX - 1, " HTTP/1.1\r\n" H END, 414);
	assert_limit("GET / HTTP/1.1\r\n" H "X:", HTTP_FIELD_MAX - 2, "\r\n" END, 431);
	assert_limit("GET / HTTP/1.1\r\n" H, HTTP_FIELD_MAX - 1, ":\r\n" END, 431);
}

Test(http_guard, a_head_is_as_long_as_its_limit_at_most)
{
	static const char first[] = "GET / HTTP/1.1\r\n" H "X: ", second[] = "\r\nY: ",
			  last[] = "\r\nZ: ", end[] = "\r\n\r\n";
	const size_t rest = HTTP_HEAD_MAX - strlen(first) - 7000 - strlen(second) -
			    7000 - strlen(last) - strlen(end);

	for (size_t over = 0; over < 2; over++) {
		struct strbuf a = stretched(first, 7000, second);
		struct strbuf b = stretched(last, rest + over, end);
		struct strbuf all = stretched(a.data, 7000, b.data);

		cr_assert_eq(all.len, HTTP_HEAD_MAX + over);
		if (over)
			assert_refused(all.data, all.len, 431, "16384");
		else
			assert_head(all.data, all.len);
		strbuf_free(&a);
		strbuf_free(&b);
		strbuf_free(&all);
	}
}

Test(http_guard, sixty_four_headers_pass_and_one_more_does_not)
{
	struct strbuf b = { 0 };

	strbuf_adds(&b, "GET / HTTP/1.1\r\n" H);
	for (int i = 1; i < HTTP_FIELDS_MAX; i++)
		strbuf_addf(&b, "X-%d: y\r\n", i);
	strbuf_adds(&b, END);
	assert_head(b.data, b.len);
	b.len -= 2;
	strbuf_adds(&b, "X: y\r\n" END);
	assert_refused(b.data, b.len, 431, "64");
	strbuf_free(&b);
}

Test(http_guard, a_refusal_does_not_wait_for_the_end_of_a_line)
{
	struct strbuf b = stretched("GET /", HTTP_TARGET_MAX, "");

	cr_assert_eq(check_bytes(b.data, b.len), HTTP_GUARD_REFUSED);
	cr_assert_eq(g.refusal->status, 414);
	cr_assert_eq(check_bytes("GET / HTTP/2", 12), HTTP_GUARD_MORE);
	cr_assert_eq(check_bytes("GET h", 5), HTTP_GUARD_REFUSED);
	strbuf_free(&b);
}
