/*
 * http_gate: may this request come in? What a head that has passed http_guard must
 * satisfy before a handler runs: path, query, Host, route, Origin, content type, size.
 * Knows no sockets: http.c acts on the verdict.
 *
 * A body counts against the budget of all bodies as its bytes arrive, not as they are
 * announced: else a few clients who announce much and send nothing would lock out the
 * others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "http_check.h"
#include "http_priv.h"

struct http_policy {
	struct http_opts opts;
	struct http_hosts own; /* localhost and what we listen on */
	struct http_hosts given;
	struct http_hosts origins; /* whole ones, besides those of our hosts */
	size_t body_bytes; /* of all requests under way */
};

enum http_verdict {
	HTTP_GO_ON,	 /* read the body; a refusal is answered after it */
	HTTP_SAY_GO_ON,	 /* the same, and the client waits for a 100 */
	HTTP_REFUSE_NOW, /* the body is too much, or not worth waiting for */
};

/* c->guard is of the head. */
enum http_verdict http_gate_check(struct http_conn *c, const struct http_policy *p,
				  const char *head);
/* len more bytes of the body are here; -1 with a refusal when there is no room. */
int http_gate_reserve(struct http_conn *c, struct http_policy *p, size_t len);
/* The request is over: gives back what its body had reserved. */
void http_gate_release(struct http_conn *c, struct http_policy *p);
