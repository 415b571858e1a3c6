/*
 * sse_parse: Server-Sent Events out of a stream of bytes that comes in any pieces.
 * Pure.
 *
 * Follows the format's own rules: lines end with LF, CR or CRLF; an event is what lies
 * before an empty line and has data; ids stay in force until the next one. A comment
 * ": partial" inside an event says that its data does not end with a newline.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/strbuf.h"

#define SSE_LINE_MAX (1u << 20)
#define SSE_DATA_MAX (4u << 20)

struct sse_event {
	const char *id;	  /* the last one, "" before any */
	const char *name; /* "message" when not given */
	const char *data; /* terminated, may hold NULs */
	size_t len;
	bool partial;
};

struct sse_parser {
	void (*on_event)(void *arg, const struct sse_event *ev);
	void *arg;
	struct strbuf line, data, name, id, next_id;
	bool begun, after_cr, has_data, has_id, partial;
};

/* -1 when a line or an event is longer than its limit: the stream is not to be read
 * on. */
int sse_parser_feed(struct sse_parser *p, const char *data, size_t len);
/* A new stream: what is half read is dropped, the last id stays. */
void sse_parser_restart(struct sse_parser *p);
void sse_parser_free(struct sse_parser *p);
