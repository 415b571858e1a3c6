/*
 * client: HTTP to the daemon, over TCP or its unix socket, through libcurl.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/err.h"
#include "slipway/strbuf.h"

#define CLIENT_BODY_MAX (64u << 20)

struct client;

struct response {
	long status;
	struct strbuf body;
	char etag[128];
};
void response_free(struct response *r);
#define cleanup_response __attribute__((cleanup(response_free)))

/* server: "http://HOST:PORT", "https://...", "unix:PATH", or NULL for the default: the
 * daemon's unix socket when something listens there, else http://127.0.0.1:8080.
 * token may be NULL; it is copied. */
struct client *client_new(const char *server, const char *token, struct err *e);
void client_free(struct client *c);
/* For messages: where it talks to. */
const char *client_where(const struct client *c);

/* -1 (ERR_CONNECT, or ERR_PROTOCOL) when there was no whole answer; any status is one.
 * body NULL: GET, else POST of JSON. timeout_s 0: 30 s. */
int client_call(struct client *c, const char *path, const struct strbuf *body,
		long timeout_s, struct response *r, struct err *e);

struct client_stream {
	const char *path;
	const char *accept;
	const char *last_id; /* "" for none */
	/* Of a 200 only; other bodies go to r. False ends the stream. */
	bool (*on_data)(void *arg, const char *data, size_t len);
	/* About once a second, or more often. False ends the stream. May be NULL. */
	bool (*on_tick)(void *arg);
	void *arg;
};
/* Reads until the server or a callback ends it: 0 with r->status. Nothing for 60 s
 * (servers send comments while nothing happens) counts as broken. */
int client_read(struct client *c, const struct client_stream *s, struct response *r,
		struct err *e);
