/*
 * http_gate: what a request's head must satisfy before a handler runs. Knows no
 * sockets: http.c fills http_fields from the parsed head and acts on the verdict.
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
	uint64_t body_bytes;	   /* reserved by all requests under way */
};

struct http_fields {
	bool known_version;
	bool standard_method; /* of the HTTP standard, though maybe not one of ours */
	bool absolute;	      /* the target names a scheme and host */
	const char *path, *query; /* raw; NULL when absent */
	/* The rest is filled by http_gate_field(). */
	const char *host, *origin, *type, *expect, *length;
	unsigned hosts, lengths;
	bool encoded;
	bool malformed;
};

enum http_verdict {
	HTTP_GO_ON,	 /* read the body; a refusal is answered after it */
	HTTP_SAY_GO_ON,	 /* the same, and the client waits for a 100 */
	HTTP_REFUSE_NOW, /* the body's end is unknown or not worth waiting for */
};

void http_gate_field(struct http_fields *f, const char *name, const char *value);
enum http_verdict http_gate_check(struct http_conn *c, struct http_policy *p,
				  const struct http_fields *f);
/* The request is over: gives back what its body had reserved. */
void http_gate_release(struct http_conn *c, struct http_policy *p);
