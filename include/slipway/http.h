/*
 * http: the HTTP/1.1 server side, over libevhtp. Loop thread only.
 *
 * http.c is the only file that sees evhtp. Requests are known by value handles with a
 * generation: a handle whose request is gone (answered, or its client left) is dead,
 * calls on it do nothing and return NULL or false; so nobody can hold a stale pointer.
 * Before a handler runs, http has checked: method and path against the exact route
 * table (404, 405 with Allow), Host against the allow-list (403), for routes that
 * change things Origin (403) and `application/json` (415), body size (413). Raw bytes
 * are to be validated by a guard in front of evhtp's parser: http_guard takes its
 * place at the accept, see http_on_accept() in http.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/loop.h"
#include "slipway/strbuf.h"

struct http;

struct http_req {
	uint32_t slot, gen;
};

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_DELETE, HTTP_METHODS };

#define HTTP_ROUTE_CHANGES 1u /* Origin and content type are checked */
#define HTTP_ROUTE_PREFIX 2u  /* path ends in "/": matches everything below it */
#define HTTP_ROUTE_FORM 4u    /* a change by an HTML form instead of JSON */

struct http_route {
	enum http_method method; /* a GET route answers HEAD, too, without a body */
	const char *path;
	unsigned flags;
	void (*handler)(struct http_req r, void *arg);
};

struct http_opts {
	struct loop *loop;
	const struct http_route *routes; /* ends with path NULL */
	void *arg;			 /* for handlers */
	size_t max_body;
	unsigned max_connections;
	/* Absolute limits in ms for a head, a body and the idle time between requests;
	 * 0 takes the defaults of 10 s, 30 s and 15 s. */
	int64_t head_ms, body_ms, idle_ms;
};

struct http *http_new(const struct http_opts *o, struct err *e);
/* Closes listeners and connections; pending handles die. Not from a handler. */
void http_free(struct http *h);
/* "127.0.0.1:8080" or "[::1]:0"; the bound port goes to *port. */
int http_listen_tcp(struct http *h, const char *addr, uint16_t *port, struct err *e);
/* Replaces a stale socket file (none answers it); mode 0660. */
int http_listen_unix(struct http *h, const char *path, struct err *e);
/* Stop accepting; existing connections go on. */
void http_stop_listening(struct http *h);
/* Allowed values of Host, without port, lower case; the listen addresses and localhost
 * are always allowed, requests over the unix socket always pass. Copies. */
void http_set_hosts(struct http *h, const char *const *hosts, size_t n);
/* One line per connection, for the dump on SIGUSR1. */
void http_dump(const struct http *h, struct strbuf *out);
unsigned http_connections(const struct http *h);

/* Reading a request. Strings live as long as the request. */
bool http_req_alive(struct http_req r);
enum http_method http_req_method(struct http_req r);
const char *http_req_path(struct http_req r); /* decoded */
/* What follows a PREFIX route's path, decoded; "" when nothing. */
const char *http_req_rest(struct http_req r);
/* A decoded query value; NULL when absent, "" when empty. The request is refused with
 * 400 earlier when the query does not decode or names a key twice. */
const char *http_req_query(struct http_req r, const char *key);
/* First query key not in allowed[] (ends with NULL), or NULL. */
const char *http_req_unknown_query(struct http_req r, const char *const *allowed);
const char *http_req_header(struct http_req r, const char *name);
/* Body bytes, not terminated. */
const char *http_req_body(struct http_req r, size_t *len);
/* "127.0.0.1:4711" or "unix". */
const char *http_req_peer(struct http_req r);
bool http_req_is_unix(struct http_req r);
/* Called once, from a defer, when the request has ended for any reason, an answer
 * included; r is dead then. Whoever uses it frees arg there and nowhere else. */
void http_req_on_close(struct http_req r, void (*fn)(void *), void *arg);

/* Answering: headers first, then one of the replies; then r is dead. Names and values
 * with control bytes are dropped. */
void http_set_header(struct http_req r, const char *name, const char *value);
void http_reply(struct http_req r, int status, const char *type, const void *body,
		size_t len);
/* {"error","code","field"?} with the status that follows from e. */
void http_reply_err(struct http_req r, const struct err *e);

/* Streaming: start, write as the socket drains, end. HTTP/1.0 clients get an unchunked
 * body that ends with the connection. */
void http_stream_start(struct http_req r, int status, const char *type);
void http_stream_write(struct http_req r, const void *data, size_t len);
/* Bytes written and not yet taken by the socket. */
size_t http_stream_pending(struct http_req r);
/* fn runs (from the loop, never from inside a write) each time pending falls to 0. */
void http_stream_on_drain(struct http_req r, void (*fn)(void *), void *arg);
void http_stream_end(struct http_req r);
