/*
 * http_stream: answers that are sent bit by bit, for hours and to thousands of clients.
 * Loop thread only.
 *
 * A stream leaves the HTTP parser behind: what stays is a socket, a few hundred bytes,
 * and references to what the socket has not taken yet. It ends with its connection. What
 * is written in a turn leaves at its end, by one call, and waits for the poll only when
 * the socket is full. Clients that take nothing of it for http_opts.stall_ms are cut
 * off; those that vanish end their request at once.
 *
 * When a stream starts, the strings of its request die; only http_req_peer() is still
 * answered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/http.h"

/* Bytes that any number of streams share until the last of their sockets has taken
 * them. Counted references. */
struct http_buf;

/* Copies; the reference is the caller's. len > 0. */
struct http_buf *http_buf_new(const void *data, size_t len);
void http_buf_unref(struct http_buf *b); /* NULL is fine */
/* Bytes in all buffers there are. Above HTTP_BUF_BUDGET, write only what is short: the
 * clients that hold most of it are soon cut off. */
size_t http_buf_total(void);
#define HTTP_BUF_BUDGET (64u << 20)

/* HTTP/1.0 clients get a body without chunks. */
void http_stream_start(struct http_req r, int status, const char *type);
/* Takes a reference of its own. */
void http_stream_send(struct http_req r, struct http_buf *b);
void http_stream_write(struct http_req r, const void *data, size_t len);
/* Bytes written and not yet taken by the socket. */
size_t http_stream_pending(struct http_req r);
/* fn runs (from the loop, never from inside a write) each time pending falls to 0. NULL:
 * no more. */
void http_stream_on_drain(struct http_req r, void (*fn)(void *), void *arg);
/* Sent by itself whenever nothing was for http_opts.beat_ms. Static text, the same for
 * all streams. */
void http_stream_set_beat(struct http_req r, const char *text);
/* Nothing more may come for long: from now on a client that has closed its side counts
 * as gone. Until then it gets the whole answer. */
void http_stream_await(struct http_req r);
void http_stream_end(struct http_req r);
