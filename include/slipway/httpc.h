/*
 * httpc: HTTP client requests on the loop, through a curl multi handle. Loop thread only.
 *
 * Knows TCP, TLS and unix sockets. No redirects, no proxies from the environment, no
 * netrc, http and https only; answers are bounded. A request calls back exactly once;
 * after httpc_cancel() it does not call back any more.
 */
#pragma once

#include <stdint.h>

#include "slipway/err.h"
#include "slipway/loop.h"
#include "slipway/strbuf.h"

struct httpc;
struct httpc_req;

struct httpc_opts {
	const char *method; /* "GET" ... */
	const char *url;
	const char *unix_socket; /* NULL: TCP */
	const char *const *headers; /* "Name: value", ends with NULL; may be NULL */
	const void *body;
	size_t body_len;
	int64_t timeout_ms; /* whole request */
	size_t max_answer;
	/* When given, body bytes go here as they come, instead of into the answer;
	 * return -1 to end the request. */
	int (*on_data)(void *arg, const void *data, size_t len);
	/* err is NULL on any complete HTTP answer; body is valid during the call. */
	void (*on_done)(void *arg, const struct err *err, long status,
			const struct strbuf *body);
	void *arg;
};

struct httpc *httpc_new(struct loop *l, struct err *e);
/* Cancels what is under way. */
void httpc_free(struct httpc *c);
/* Everything in o is copied. NULL when it could not be started; nothing is called. */
struct httpc_req *httpc_start(struct httpc *c, const struct httpc_opts *o,
			      struct err *e);
void httpc_cancel(struct httpc_req *r);
unsigned httpc_active(const struct httpc *c);
