/*
 * http: the HTTP/1.1 server side, over libevhtp. Loop thread only.
 *
 * A request's bytes pass http_guard (the grammar) and http_gate (the rules below) before
 * libevhtp sees any of them, and only its own: what follows a message is dropped, and
 * the connection ends after the answer. Requests are known by value handles with a
 * generation: a handle whose request is gone (answered, or its client left) is dead,
 * calls on it do nothing and return NULL or false; so nobody can hold a stale pointer.
 * Before a handler runs, http has checked: method and path against the exact route
 * table (404, 405 with Allow), Host against the allow-list (403), for routes that
 * change things Origin (403) and `application/json` (415), body size (413).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "slipway/err.h"
#include "slipway/loop.h"
#include "slipway/strbuf.h"

struct http;

struct http_req {
	uint32_t slot, gen;
};

enum http_method {
	HTTP_GET,
	HTTP_POST,
	HTTP_PUT,
	HTTP_DELETE,
	HTTP_OPTIONS,
	HTTP_METHODS
};

#define HTTP_ROUTE_CHANGES 1u /* Origin and content type are checked */
#define HTTP_ROUTE_PREFIX 2u  /* path ends in "/": matches everything below it */
#define HTTP_ROUTE_FORM 4u    /* a change by an HTML form instead of JSON */
/* Bits from 8 to 23 are the table owner's. */
/* Takes bodies of up to n MiB (1 to 255) instead of max_body. */
#define HTTP_ROUTE_BODY_MIB(n) ((unsigned)(n) << HTTP_ROUTE_BODY_SHIFT)
#define HTTP_ROUTE_BODY_SHIFT 24

struct http_route {
	/* A GET route answers HEAD, too, without a body. Routes of OPTIONS are looked up
	 * by themselves: they say nothing about which paths there are. */
	enum http_method method;
	const char *path;
	unsigned flags;
	void (*handler)(struct http_req r, void *arg);
};

struct http_opts {
	struct loop *loop;
	const struct http_route *routes; /* ends with path NULL */
	void *arg;			 /* for handlers */
	/* Runs before the handler, or before the answer that refuses the request; may
	 * set headers. And at the request's end, with the status of its answer, 0 when
	 * its client left before one; must not answer. Both may be NULL. */
	void (*on_request)(struct http_req r, void *arg);
	void (*on_end)(struct http_req r, int status, void *arg);
	size_t max_body;	  /* of routes that say nothing else */
	size_t body_budget;	  /* of all bodies at once; 0: 64 MiB */
	unsigned max_connections; /* fewer when the limit of open files is low */
	/* Absolute limits in ms for a head (from the accept or its first byte on), a body
	 * and the idle time between requests; 0 takes the defaults of 10 s, 30 s, 15 s. */
	int64_t head_ms, body_ms, idle_ms;
	/* Streams (http_stream.h): how long a client may take nothing, and after how
	 * much silence a beat is sent. 0: 60 s and 15 s. */
	int64_t stall_ms, beat_ms;
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
/* Further origins ("https://app.example.org") that may change things. Copies. */
void http_set_origins(struct http *h, const char *const *origins, size_t n);
/* One line per connection, for the dump on SIGUSR1. */
void http_dump(const struct http *h, struct strbuf *out);
unsigned http_connections(const struct http *h); /* streams included */
unsigned http_streams(const struct http *h);
unsigned http_max_connections(const struct http *h);

/* Reading a request. Strings live as long as the request. */
bool http_req_alive(struct http_req r);
enum http_method http_req_method(struct http_req r);
const char *http_req_method_name(struct http_req r);
/* NULL when no route fits. */
const struct http_route *http_req_route(struct http_req r);
const char *http_req_path(struct http_req r); /* decoded */
/* Path and query, encoded (again). */
void http_req_target(struct http_req r, struct strbuf *out);
/* What follows a PREFIX route's path, decoded; "" when nothing. */
const char *http_req_rest(struct http_req r);
/* A decoded query value; NULL when absent, "" when empty. The request is refused with
 * 400 earlier when the query does not decode or names a key twice. */
const char *http_req_query(struct http_req r, const char *key);
/* First query key not in allowed[] (ends with NULL), or NULL. */
const char *http_req_unknown_query(struct http_req r, const char *const *allowed);
const char *http_req_header(struct http_req r, const char *name);
/* All of that name, joined by ", "; how many there are. */
size_t http_req_header_all(struct http_req r, const char *name, struct strbuf *out);
/* Body bytes, not terminated. */
const char *http_req_body(struct http_req r, size_t *len);
/* A field of a form; NULL when absent, or when the body is no form of at most 16 KiB. */
const char *http_req_form(struct http_req r, const char *key);
/* "127.0.0.1:4711" or "unix". */
const char *http_req_peer(struct http_req r);
bool http_req_is_unix(struct http_req r);
/* The user at the other end of the unix socket; false when it is not known. */
bool http_req_uid(struct http_req r, uid_t *uid);
/* Something of the owner's that goes with the request; on_end is the last to see it. */
void http_req_set_data(struct http_req r, void *data);
void *http_req_data(struct http_req r);
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
