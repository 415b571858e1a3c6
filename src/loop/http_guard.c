#include "http_guard.h"

#include <string.h>
#include <strings.h>

#include "slipway/mem.h"

#define METHOD_MAX 16
#define EMPTY_LINES_MAX 2
#define LENGTH_DIGITS_MAX 20 /* libevhtp takes no more */
#define VERSION_LEN 8	     /* HTTP/1.1 */

/* Classes of bytes; a token's are in all of them. */
#define TOKEN 1u
#define TARGET 2u
#define VALUE 4u

static const unsigned char classes[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = TOKEN | TARGET | VALUE,
	['"'] = TARGET | VALUE,
	['#' ... '\''] = TOKEN | TARGET | VALUE,
	['(' ... ')'] = TARGET | VALUE,
	['*' ... '+'] = TOKEN | TARGET | VALUE,
	[','] = TARGET | VALUE,
	['-' ... '.'] = TOKEN | TARGET | VALUE,
	['/'] = TARGET | VALUE,
	['0' ... '9'] = TOKEN | TARGET | VALUE,
	[':' ... '@'] = TARGET | VALUE,
	['A' ... 'Z'] = TOKEN | TARGET | VALUE,
	['[' ... ']'] = TARGET | VALUE,
	['^' ... 'z'] = TOKEN | TARGET | VALUE,
	['{'] = TARGET | VALUE,
	['|'] = TOKEN | TARGET | VALUE,
	['}'] = TARGET | VALUE,
	['~'] = TOKEN | TARGET | VALUE,
	[0x80 ... 0xff] = VALUE,
};

enum state {
	AT_START,
	AT_EMPTY_LF,
	IN_METHOD,
	IN_TARGET,
	IN_VERSION,
	AT_LINE_LF,
	AT_FIELD,
	IN_NAME,
	IN_VALUE,
	AT_LAST_LF,
	COMPLETE,
};

static const struct http_refusal
	bad_method = { 400, "invalid", "bad byte in the method" },
	unknown_method = { 501, "not_implemented", "unknown method" },
	is_connect = { 405, "method_not_allowed", "this is no proxy" },
	bad_target = { 400, "invalid",
		       "bad request target: not a path on this server" },
	long_target = { 414, "uri_too_long", "the request target is over 4096 bytes" },
	no_version = { 400, "invalid", "malformed request line" },
	bad_version = { 505, "version", "HTTP/1.0 or 1.1 only" },
	bad_line_end = { 400, "invalid", "malformed head: lines end with CR LF" },
	folded = { 400, "invalid", "malformed header: folded line" },
	bad_name = { 400, "invalid", "malformed header: bad byte in a name" },
	bad_value = { 400, "invalid", "malformed header: control byte in a value" },
	many_fields = { 431, "header_too_large", "more than 64 headers" },
	long_field = { 431, "header_too_large", "a header of more than 8000 bytes" },
	long_head = { 431, "header_too_large", "more than 16384 bytes of headers" },
	no_host = { 400, "invalid", "no Host header" },
	bad_length = { 400, "invalid", "bad Content-Length" },
	bad_expect = { 417, "expectation", "unknown Expect" },
	two_lengths = { 400, "invalid", "Transfer-Encoding in doubt about the length" },
	no_length = { 411, "length_required", "send Content-Length instead of chunks" },
	bad_encoding = { 501, "not_implemented", "unknown Transfer-Encoding" };

static void
refuse(struct http_guard *g, const struct http_refusal *why)
{
	g->refusal = why;
}

static bool
is_text(const unsigned char *b, size_t len, const char *text)
{
	return len == strlen(text) && !strncasecmp((const char *)b, text, len);
}

/* The fields whose values matter here. */

static void
take_length(struct http_guard *g, const unsigned char *value, size_t len)
{
	uint64_t n = 0;

	if (!len || len > LENGTH_DIGITS_MAX) {
		refuse(g, &bad_length);
		return;
	}
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9' ||
		    __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(value[i] - '0'), &n)) {
			refuse(g, &bad_length);
			return;
		}
	}
	g->content_length = n;
}

static void
take_encoding(struct http_guard *g, const unsigned char *value, size_t len)
{
	g->chunked = is_text(value, len, "chunked");
}

static void
take_expect(struct http_guard *g, const unsigned char *value, size_t len)
{
	if (!is_text(value, len, "100-continue"))
		refuse(g, &bad_expect);
	else
		g->expects = !g->http10;
}

#define NAME(name) name, sizeof(name) - 1

static const struct {
	const char *name;
	size_t len;
	void (*take)(struct http_guard *g, const unsigned char *value, size_t len);
} fields[HTTP_GUARD_FIELDS] = {
	[HTTP_FIELD_HOST] = { NAME("Host"), NULL },
	[HTTP_FIELD_LENGTH] = { NAME("Content-Length"), take_length },
	[HTTP_FIELD_ENCODING] = { NAME("Transfer-Encoding"), take_encoding },
	[HTTP_FIELD_EXPECT] = { NAME("Expect"), take_expect },
	[HTTP_FIELD_TYPE] = { NAME("Content-Type"), NULL },
	[HTTP_FIELD_ORIGIN] = { NAME("Origin"), NULL },
	[HTTP_FIELD_AUTHORIZATION] = { NAME("Authorization"), NULL },
};

static const struct http_refusal twice[HTTP_GUARD_FIELDS] = {
	[HTTP_FIELD_HOST] = { 400, "invalid", "more than one Host header" },
	[HTTP_FIELD_LENGTH] = { 400, "invalid", "more than one Content-Length" },
	[HTTP_FIELD_ENCODING] = { 400, "invalid", "more than one Transfer-Encoding" },
	[HTTP_FIELD_EXPECT] = { 400, "invalid", "more than one Expect header" },
	[HTTP_FIELD_TYPE] = { 400, "invalid", "more than one Content-Type" },
	[HTTP_FIELD_ORIGIN] = { 400, "invalid", "more than one Origin header" },
	[HTTP_FIELD_AUTHORIZATION] = { 400, "invalid", "more than one Authorization" },
};

static uint8_t
field_find(const unsigned char *name, size_t len)
{
	uint8_t f = 0;

	while (f < HTTP_GUARD_FIELDS &&
	       (fields[f].len != len ||
		strncasecmp(fields[f].name, (const char *)name, len) != 0))
		f++;
	return f;
}

static void
field_take(struct http_guard *g, const unsigned char *b)
{
	size_t at = g->at, end = g->seen;
	uint8_t f = g->field;

	if (f == HTTP_GUARD_FIELDS)
		return;
	/* A tab here is one to libevhtp, too: it skips spaces only. */
	while (at < end && b[at] == ' ')
		at++;
	while (end > at && (b[end - 1] == ' ' || b[end - 1] == '\t'))
		end--;
	if (g->has & 1u << f) {
		refuse(g, &twice[f]);
		return;
	}
	g->has |= (uint8_t)(1u << f);
	g->fields[f] = (struct http_span){ (uint16_t)at, (uint16_t)(end - at) };
	if (fields[f].take)
		fields[f].take(g, b + at, end - at);
}

/* The states: each begins with a byte to look at, at g->seen. */

static void
enter(struct http_guard *g, enum state state)
{
	g->state = state;
	g->at = g->seen;
}

/* Passes bytes of a class, at most max of them since g->at; true when there is one more,
 * which is of another class or too much. */
static bool
pass(struct http_guard *g, const unsigned char *b, size_t len, unsigned class,
     size_t max)
{
	size_t end = g->at + max < len ? g->at + max : len;

	while (g->seen < end && classes[b[g->seen]] & class)
		g->seen++;
	return g->seen < len;
}

static void
on_start(struct http_guard *g, const unsigned char *b, size_t len)
{
	if (b[g->seen] == '\r' && g->empty_lines < EMPTY_LINES_MAX) {
		g->empty_lines++;
		g->seen++;
		enter(g, AT_EMPTY_LF);
	} else {
		g->begin = g->seen;
		enter(g, IN_METHOD);
	}
}

static void
pass_lf(struct http_guard *g, const unsigned char *b, enum state next)
{
	if (b[g->seen++] == '\n')
		enter(g, next);
	else
		refuse(g, &bad_line_end);
}

static void
on_empty_lf(struct http_guard *g, const unsigned char *b, size_t len)
{
	pass_lf(g, b, AT_START);
}

static void
on_method(struct http_guard *g, const unsigned char *b, size_t len)
{
	static const char *const methods[] = { "GET",	  "HEAD",    "POST",  "PUT",
					       "DELETE",  "OPTIONS", "PATCH", "TRACE",
					       "CONNECT", NULL };
	const char *const *m = methods;
	size_t n;

	if (!pass(g, b, len, TOKEN, METHOD_MAX))
		return;
	n = g->seen - g->at;
	if (b[g->seen] != ' ' || !n) {
		refuse(g, classes[b[g->seen]] & TOKEN ? &unknown_method : &bad_method);
		return;
	}
	while (*m && (strlen(*m) != n || memcmp(*m, b + g->at, n) != 0))
		m++;
	if (!*m)
		refuse(g, &unknown_method);
	else if (!strcmp(*m, "CONNECT"))
		refuse(g, &is_connect);
	g->method = *m;
	g->seen++;
	enter(g, IN_TARGET);
}

static void
on_target(struct http_guard *g, const unsigned char *b, size_t len)
{
	unsigned char c;

	if (b[g->at] != '/') {
		refuse(g, &bad_target);
		return;
	}
	if (!pass(g, b, len, TARGET, HTTP_TARGET_MAX))
		return;
	c = b[g->seen];
	if (c != ' ') {
		refuse(g, classes[c] & TARGET	   ? &long_target
			  : c == '\r' || c == '\n' ? &no_version
						   : &bad_target);
		return;
	}
	g->target = (struct http_span){ g->at, (uint16_t)(g->seen - g->at) };
	g->seen++;
	enter(g, IN_VERSION);
}

static bool
version_takes(size_t i, unsigned char c)
{
	static const unsigned char form[VERSION_LEN + 2] = "HTTP/0.0\r";

	return form[i] == '0' ? c >= '0' && c <= '9' : c == form[i];
}

static void
on_version(struct http_guard *g, const unsigned char *b, size_t len)
{
	const unsigned char *v = b + g->at;

	for (; g->seen < len; g->seen++) {
		size_t i = g->seen - g->at;

		if (!version_takes(i, b[g->seen])) {
			refuse(g, &no_version);
			return;
		}
		if (i == VERSION_LEN)
			break;
	}
	if (g->seen == len)
		return;
	if (v[5] != '1' || v[7] > '1')
		refuse(g, &bad_version);
	else
		g->http10 = v[7] == '0';
	g->seen++;
	enter(g, AT_LINE_LF);
}

static void
on_line_lf(struct http_guard *g, const unsigned char *b, size_t len)
{
	pass_lf(g, b, AT_FIELD);
}

static void
on_field(struct http_guard *g, const unsigned char *b, size_t len)
{
	unsigned char c = b[g->seen];

	if (c == '\r') {
		g->seen++;
		enter(g, AT_LAST_LF);
		return;
	}
	if (c == ' ' || c == '\t')
		refuse(g, &folded);
	else if (c == '\n')
		refuse(g, &bad_line_end);
	else if (!(classes[c] & TOKEN))
		refuse(g, &bad_name);
	else if (g->n_fields == HTTP_FIELDS_MAX)
		refuse(g, &many_fields);
	g->n_fields++;
	g->line = g->seen;
	enter(g, IN_NAME);
}

static void
on_name(struct http_guard *g, const unsigned char *b, size_t len)
{
	if (!pass(g, b, len, TOKEN, HTTP_FIELD_MAX - 1))
		return;
	if (b[g->seen] != ':') {
		refuse(g, classes[b[g->seen]] & TOKEN ? &long_field : &bad_name);
		return;
	}
	g->field = field_find(b + g->at, g->seen - g->at);
	g->seen++;
	enter(g, IN_VALUE);
}

static void
on_value(struct http_guard *g, const unsigned char *b, size_t len)
{
	size_t name_len = g->at - g->line;
	unsigned char c;

	if (!pass(g, b, len, VALUE, HTTP_FIELD_MAX - name_len))
		return;
	c = b[g->seen];
	if (c != '\r') {
		refuse(g, classes[c] & VALUE ? &long_field
			  : c == '\n'	     ? &bad_line_end
					     : &bad_value);
		return;
	}
	field_take(g, b);
	g->seen++;
	enter(g, AT_LINE_LF);
}

static void
on_last_lf(struct http_guard *g, const unsigned char *b, size_t len)
{
	bool has_length = g->has & 1u << HTTP_FIELD_LENGTH;

	pass_lf(g, b, COMPLETE);
	if (g->refusal)
		return;
	g->end = g->seen;
	if (!(g->has & 1u << HTTP_FIELD_HOST))
		refuse(g, &no_host);
	else if (g->has & 1u << HTTP_FIELD_ENCODING)
		refuse(g, has_length || g->http10 ? &two_lengths
			  : g->chunked		  ? &no_length
						  : &bad_encoding);
}

enum http_guard_verdict
http_guard_check(struct http_guard *g, const void *bytes, size_t len)
{
	static void (*const steps[])(struct http_guard *, const unsigned char *,
				     size_t) = {
		[AT_START] = on_start,	   [AT_EMPTY_LF] = on_empty_lf,
		[IN_METHOD] = on_method,   [IN_TARGET] = on_target,
		[IN_VERSION] = on_version, [AT_LINE_LF] = on_line_lf,
		[AT_FIELD] = on_field,	   [IN_NAME] = on_name,
		[IN_VALUE] = on_value,	   [AT_LAST_LF] = on_last_lf,
	};
	size_t end = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;

	while (g->seen < end && g->state != COMPLETE && !g->refusal)
		steps[g->state](g, bytes, end);
	if (g->refusal)
		return HTTP_GUARD_REFUSED;
	if (g->state == COMPLETE)
		return HTTP_GUARD_HEAD;
	if (g->seen < HTTP_HEAD_MAX)
		return HTTP_GUARD_MORE;
	refuse(g, &long_head);
	return HTTP_GUARD_REFUSED;
}
