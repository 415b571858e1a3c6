#include "http_query.h"

#include <stdbool.h>
#include <string.h>

#include "slipway/mem.h"
#include "slipway/utf8.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The byte written as %XX at raw, or -1. */
static int
percent_byte(const char *raw, const char *end)
{
	int high, low;

	if (end - raw < 3)
		return -1;
	high = hex_digit(raw[1]);
	low = hex_digit(raw[2]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool
is_control(int c)
{
	return c < 0x20 || c == 0x7f;
}

static int
check_segment(const char *segment, size_t len, bool last, struct err *e)
{
	if (!len && !last)
		return err_set(e, ERR_INVALID, "empty segment in the path");
	if ((len == 1 && segment[0] == '.') ||
	    (len == 2 && segment[0] == '.' && segment[1] == '.'))
		return err_set(e, ERR_INVALID, "'.' or '..' in the path");
	return 0;
}

static int
check_segments(const char *path, struct err *e)
{
	const char *slash;

	for (path++; (slash = strchr(path, '/')); path = slash + 1) {
		if (check_segment(path, (size_t)(slash - path), false, e) < 0)
			return -1;
	}
	return check_segment(path, strlen(path), true, e);
}

int
http_path_decode(const char *raw, size_t len, struct strbuf *out, struct err *e)
{
	const char *end = raw + len;

	strbuf_reset(out);
	if (!len || raw[0] != '/')
		return err_set(e, ERR_INVALID, "the path does not begin with '/'");
	for (; raw < end; raw++) {
		int c = (unsigned char)*raw;

		if (c == '#' || c == '?')
			return err_set(e, ERR_INVALID, "'%c' in the path", c);
		if (c == '%') {
			c = percent_byte(raw, end);
			if (c < 0)
				return err_set(e, ERR_INVALID, "bad %% in the path");
			if (c == '/')
				return err_set(e, ERR_INVALID, "%%2f in the path");
			raw += 2;
		}
		if (is_control(c))
			return err_set(e, ERR_INVALID, "control byte in the path");
		strbuf_addc(out, (char)c);
	}
	if (!utf8_is_valid(out->data, out->len))
		return err_set(e, ERR_INVALID, "the path is not UTF-8");
	return check_segments(out->data, e);
}

/* Decodes in place; the result is never longer. */
static int
decode_text(char *text, struct err *e)
{
	const char *in = text, *end = text + strlen(text);
	char *out = text;

	for (; in < end; in++) {
		int c = (unsigned char)*in;

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			c = percent_byte(in, end);
			if (c < 0)
				return err_set(e, ERR_INVALID, "bad %% in the query");
			if (!c)
				return err_set(e, ERR_INVALID, "%%00 in the query");
			in += 2;
		}
		*out++ = (char)c;
	}
	*out = '\0';
	if (!utf8_is_valid(text, (size_t)(out - text)))
		return err_set(e, ERR_INVALID, "the query is not UTF-8");
	return 0;
}

static int
add_pair(struct http_query *q, char *pair, struct err *e)
{
	char *value = strchr(pair, '=');

	if (value)
		*value++ = '\0';
	else
		value = pair + strlen(pair);
	if (decode_text(pair, e) < 0 || decode_text(value, e) < 0)
		return -1;
	if (!pair[0])
		return err_set(e, ERR_INVALID, "a query value without a name");
	if (http_query_get(q, pair))
		return err_field(e, ERR_INVALID, pair, "'%s' is given twice", pair);
	if (q->n == HTTP_QUERY_MAX)
		return err_set(e, ERR_INVALID, "more than %d query values",
			       HTTP_QUERY_MAX);
	if (q->n == q->room) {
		q->room = q->room ? q->room * 2 : 4;
		q->pairs = xreallocarray(q->pairs, q->room, sizeof(*q->pairs));
	}
	q->pairs[q->n++] = (struct http_pair){ pair, value };
	return 0;
}

int
http_query_parse(const char *raw, size_t len, struct http_query *q, struct err *e)
{
	char *rest, *pair;

	*q = (struct http_query){ 0 };
	for (size_t i = 0; i < len; i++) {
		if (is_control((unsigned char)raw[i]) || raw[i] == '#')
			return err_set(e, ERR_INVALID,
				       "control byte or '#' in the query");
	}
	q->text = rest = xmalloc(len + 1);
	memcpy(q->text, raw, len);
	q->text[len] = '\0';
	while ((pair = strsep(&rest, "&"))) {
		if (*pair && add_pair(q, pair, e) < 0)
			return -1;
	}
	return 0;
}

const char *
http_query_get(const struct http_query *q, const char *key)
{
	for (size_t i = 0; i < q->n; i++) {
		if (!strcmp(q->pairs[i].key, key))
			return q->pairs[i].value;
	}
	return NULL;
}

void
http_query_free(struct http_query *q)
{
	free(q->text);
	free(q->pairs);
	*q = (struct http_query){ 0 };
}

static void
encode(const char *text, const char *plain, struct strbuf *out)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') || strchr(plain, c))
			strbuf_addc(out, *text);
		else
			strbuf_addf(out, "%%%02X", c);
	}
}

void
http_path_encode(const char *path, struct strbuf *out)
{
	encode(path, "/-._~", out);
}

void
http_query_encode(const struct http_query *q, struct strbuf *out)
{
	for (size_t i = 0; i < q->n; i++) {
		strbuf_addc(out, i ? '&' : '?');
		encode(q->pairs[i].key, "-._~", out);
		strbuf_addc(out, '=');
		encode(q->pairs[i].value, "-._~", out);
	}
}
