/*
 * http_query: decoding of a request target's path and query. Pure.
 *
 * Both are percent-decoded exactly once and must be valid UTF-8 without NUL. Nothing
 * that two readers could understand differently passes: encoded slashes, control
 * bytes, empty, "." and ".." segments in a path; a key named twice in a query.
 */
#pragma once

#include <stddef.h>

#include "slipway/err.h"
#include "slipway/strbuf.h"

#define HTTP_QUERY_MAX 64

struct http_query {
	char *text; /* what the pairs point into */
	size_t n, room;
	struct http_pair {
		const char *key, *value;
	} *pairs;
};

/* Replaces what is in out. */
int http_path_decode(const char *raw, size_t len, struct strbuf *out, struct err *e);
/* q is overwritten; free it also after a failure. '+' means a space. */
int http_query_parse(const char *raw, size_t len, struct http_query *q, struct err *e);
/* Append what decodes to the same again; the query begins with '?'. */
void http_path_encode(const char *path, struct strbuf *out);
void http_query_encode(const struct http_query *q, struct strbuf *out);
/* NULL when absent. */
const char *http_query_get(const struct http_query *q, const char *key);
void http_query_free(struct http_query *q);
