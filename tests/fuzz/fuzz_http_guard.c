/*
 * Heads of requests, whole and in pieces; the first byte tells where they are cut. What
 * passes must keep the promises of http_guard.h, and libevhtp's parser must understand
 * it alike: the same end, the same fields, the same length of the body.
 */
#include <evhtp/evhtp.h>

#include "fuzz.h"
#include "http_guard.h"

struct seen {
	size_t fields, path_len, query_len;
	bool whole_head;
};

static int
on_path(htparser *p, const char *path, size_t len)
{
	struct seen *s = htparser_get_userdata(p);

	s->path_len = len;
	return 0;
}

static int
on_query(htparser *p, const char *query, size_t len)
{
	struct seen *s = htparser_get_userdata(p);
	evhtp_query_t *q = evhtp_parse_query_wflags(
		query, len,
		EVHTP_PARSE_QUERY_FLAG_LENIENT |
			EVHTP_PARSE_QUERY_FLAG_IGNORE_FRAGMENTS);

	s->query_len = len + 1;
	fuzz_must(q != NULL);
	evhtp_query_free(q);
	return 0;
}

static int
on_field(htparser *p, const char *name, size_t len)
{
	struct seen *s = htparser_get_userdata(p);

	s->fields++;
	return 0;
}

static int
on_head(htparser *p)
{
	struct seen *s = htparser_get_userdata(p);

	s->whole_head = true;
	return 0;
}

static void
parse_alike(const struct http_guard *g, const char *bytes)
{
	htparse_hooks hooks = { .path = on_path,
				.args = on_query,
				.hdr_key = on_field,
				.on_hdrs_complete = on_head };
	htparser *p = htparser_new();
	struct seen s = { 0 };
	size_t len = (size_t)(g->end - g->begin), read;
	/* Of its own, for the sanitizer to see what is read beyond. */
	char *head = malloc(len);

	if (!head || !p)
		abort();
	memcpy(head, bytes + g->begin, len);
	htparser_init(p, htp_type_request);
	htparser_set_userdata(p, &s);
	read = htparser_run(p, &hooks, head, len);
	fuzz_must(read == len && htparser_get_error(p) == htparse_error_none);
	fuzz_must(s.whole_head && s.fields == g->n_fields);
	fuzz_must(htparser_get_content_length(p) == g->content_length);
	fuzz_must(!strcmp(htparser_get_methodstr(p), g->method));
	fuzz_must(htparser_get_major(p) == 1 && htparser_get_minor(p) == !g->http10);
	fuzz_must(s.path_len + s.query_len == g->target.len);
	free(head);
	free(p);
}

static void
keep_promises(const struct http_guard *g, const char *bytes)
{
	size_t len = (size_t)(g->end - g->begin), lines = 0;

	fuzz_must(g->end <= HTTP_HEAD_MAX && g->target.len <= HTTP_TARGET_MAX);
	fuzz_must(g->n_fields <= HTTP_FIELDS_MAX && bytes[g->target.at] == '/');
	fuzz_must(g->has & 1u << HTTP_FIELD_HOST);
	fuzz_must(!(g->has & 1u << HTTP_FIELD_ENCODING));
	fuzz_must(!memcmp(bytes + g->end - 4, "\r\n\r\n", 4));
	for (size_t i = g->begin; i < g->end; i++) {
		fuzz_must(bytes[i] && bytes[i] != 0x7f);
		fuzz_must((bytes[i] == '\n') == (i > 0 && bytes[i - 1] == '\r'));
		lines += bytes[i] == '\n';
	}
	fuzz_must(lines == g->n_fields + 2u && len > 4);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_guard whole = { 0 }, pieces = { 0 };
	enum http_guard_verdict verdict, before = HTTP_GUARD_MORE;
	size_t step;
	const char *bytes;

	if (!size)
		return 0;
	step = data[0] + 1u;
	bytes = (const char *)data + 1;
	size--;
	verdict = http_guard_check(&whole, bytes, size);
	for (size_t n = 0; n <= size;
	     n = n < size && size - n < step ? size : n + step) {
		enum http_guard_verdict now = http_guard_check(&pieces, bytes, n);

		fuzz_must(before == HTTP_GUARD_MORE || now == before);
		before = now;
	}
	fuzz_must(before == verdict && !memcmp(&whole, &pieces, sizeof(whole)));
	fuzz_must((verdict == HTTP_GUARD_REFUSED) == (whole.refusal != NULL));
	if (verdict != HTTP_GUARD_HEAD)
		return 0;
	keep_promises(&whole, bytes);
	parse_alike(&whole, bytes);
	return 0;
}
