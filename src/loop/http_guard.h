/*
 * http_guard: is this the head of a request that every reader understands alike? Pure.
 *
 * Holds what a client sent against the grammar before any other parser sees a byte of
 * it, and refuses what RFC 9112 forbids or leaves to taste: the answer is a function of
 * the bytes alone, however they were cut on their way. Each byte is looked at once.
 *
 *	request line	METHOD SP /target SP HTTP/1.0 or 1.1, single spaces
 *	method		GET HEAD POST PUT DELETE OPTIONS PATCH TRACE; others 501, CONNECT
 *			405, because its target is no path
 *	target		begins with '/', visible ASCII, what it says is http_query's;
 *			absolute, authority and '*' forms are 400, longer than
 *			HTTP_TARGET_MAX 414
 *	version		none (HTTP/0.9) 400, any other than the two 505
 *	fields		NAME ":" value, names are tokens, values have no control byte but
 *			tab; no folding; lines end with CR LF and nothing else; more or
 *			longer than the limits 431
 *	Host		exactly one, also in HTTP/1.0: its value guards against rebinding
 *	Content-Length	at most one, digits
 *	Transfer-Encoding is never read. RFC 9112, 6.1 and 6.3: beside Content-Length or
 *			in HTTP/1.0 the end of the message is in doubt, 400; chunked
 *			alone 411, the client may send a length; any other coding 501
 *	Expect		100-continue, else 417
 *	before it all	two empty lines, which old clients send after a body
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 16384
#define HTTP_TARGET_MAX 4096
#define HTTP_FIELDS_MAX 64
/* One field with its name: libevhtp's buffer holds 8 KiB. */
#define HTTP_FIELD_MAX 8000

enum http_guard_verdict { HTTP_GUARD_MORE, HTTP_GUARD_HEAD, HTTP_GUARD_REFUSED };

/* Those which may come once only. */
enum http_guard_field {
	HTTP_FIELD_HOST,
	HTTP_FIELD_LENGTH,
	HTTP_FIELD_ENCODING,
	HTTP_FIELD_EXPECT,
	HTTP_FIELD_TYPE,
	HTTP_FIELD_ORIGIN,
	HTTP_FIELD_AUTHORIZATION,
	HTTP_GUARD_FIELDS
};

struct http_refusal {
	int status;
	const char *code, *text;
};

/* Offsets count from the first byte given. */
struct http_span {
	uint16_t at, len;
};

/* Zero before a message's first byte. */
struct http_guard {
	/* Progress. */
	uint16_t seen, at, line;
	uint8_t state, empty_lines, n_fields, field;
	/* Of a refusal. */
	const struct http_refusal *refusal;
	/* Of a whole head, which is the bytes from begin up to end. */
	uint16_t begin, end;
	const char *method;
	struct http_span target;
	bool http10;
	bool chunked;
	bool expects; /* the client waits for a 100 before it sends the body */
	uint8_t has;  /* bits 1 << enum http_guard_field */
	struct http_span fields[HTTP_GUARD_FIELDS];
	uint64_t content_length; /* 0 when there is none */
};

/* bytes are all that came since the message's first; only what is new is looked at.
 * HEAD: the head is complete, further bytes are its body's or the next message's. */
enum http_guard_verdict http_guard_check(struct http_guard *g, const void *bytes,
					 size_t len);
