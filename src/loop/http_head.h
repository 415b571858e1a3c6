/*
 * http_head: the head of an answer, and the body of an error. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/strbuf.h"

enum http_framing {
	HTTP_FRAME_LENGTH,  /* Content-Length */
	HTTP_FRAME_CHUNKED, /* HTTP/1.1 streams */
	HTTP_FRAME_CLOSE,   /* ends with the connection, or there is no body */
};

struct http_head {
	int status;
	const char *type;	    /* NULL: no Content-Type */
	const struct strbuf *extra; /* finished header lines */
	enum http_framing framing;
	size_t length;
	bool http10;
	bool keep;
};

void http_head_add(struct strbuf *out, const struct http_head *h);
/* May an answer with this status have a body? */
bool http_status_has_body(int status);
/* {"error", "code", "field"?}; field may be NULL or empty. */
void http_error_add(struct strbuf *out, const char *msg, const char *code,
		    const char *field);
