/*
 * http_accept: listeners, and how many connections come in.
 *
 * Over the cap a connection is told 503 and closed. When accept() fails for want of
 * descriptors or memory the listener rests for a moment: the waiting client stays in the
 * kernel's queue and is served when there is room. (A descriptor kept in reserve, to take
 * such clients and turn them away, would only turn a short wait into an error.)
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "slipway/err.h"
#include "slipway/loop.h"

struct evhtp_connection;
struct http_listener;

struct http_acceptor {
	struct loop *loop;
	unsigned max;			 /* connections */
	unsigned (*on_count)(void *arg); /* how many there are */
	int64_t told_full, told_error;	 /* when the log was */
	void (*on_connection)(struct evhtp_connection *ev, bool is_unix, void *arg);
	void *arg;
	TAILQ_HEAD(, http_listener) listeners;
};

/* loop, callbacks and arg are set. Caps max below the limit of open files: a quarter
 * of them is for jobs, logs and the store. */
void http_accept_init(struct http_acceptor *a, unsigned max);
/* Takes fd over, also when it fails; path is of a unix socket, else NULL. */
int http_accept_on(struct http_acceptor *a, int fd, const char *path, struct err *e);
void http_accept_stop(struct http_acceptor *a);
void http_accept_free(struct http_acceptor *a);
