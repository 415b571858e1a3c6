/*
 * query: values that clients put into queries and headers. Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/strbuf.h"

/* Decimal digits only, at most max. */
bool query_uint(const char *s, uint64_t max, uint64_t *out);
/* "1", "true" or "0", "false" */
bool query_bool(const char *s, bool *out);
/* A place in a log: "<offset>" (*attempt = 0) or "<attempt>-<offset>". */
bool query_place(const char *s, unsigned *attempt, uint64_t *offset);
/* Does an If-None-Match header name this ETag (quotes included), or "*"? */
bool query_etag_matches(const char *header, const char *etag);
/* Does an Accept header name this type ("text/html") with a quality above 0? */
bool query_accepts(const char *header, const char *type);
/* Is it a host as Host headers have them: name or address, maybe a port? */
bool query_host_ok(const char *s);
/* Append "key=value", percent-encoded, with '?' or '&' before it. */
void query_append(struct strbuf *url, const char *key, const char *value);
