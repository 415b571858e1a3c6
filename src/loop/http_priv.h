/*
 * http_priv: what http.c (connections, evhtp), http_input.c (requests come in) and
 * http_req.c (requests and answers) share. A connection has at most one request at a time.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "http_guard.h"
#include "http_query.h"
#include "slipway/http.h"
#include "slipway/loop.h"
#include "slipway/strbuf.h"

struct bufferevent;
struct evhtp_connection;
struct evhtp_request;
struct http_policy;

enum http_phase {
	HTTP_IDLE,   /* between requests */
	HTTP_HEAD,   /* some bytes of a head are here */
	HTTP_BODY,   /* the head is accepted */
	HTTP_READY,  /* complete or refused; the handler's turn comes */
	HTTP_WAIT,   /* the handler ran or runs, no answer yet */
	HTTP_FLUSH,  /* answered; bytes on their way */
	HTTP_LINGER, /* the same, and input is thrown away before the close */
	HTTP_PHASES
};

struct http_request {
	enum http_method method;
	const char *method_name; /* NULL when it is unknown */
	const struct http_route *route;
	bool head;
	bool http10;
	bool keep; /* the client wants the connection to stay */
	struct strbuf path;
	struct http_query *query; /* NULL: no query */
	struct http_query *form;  /* NULL: not asked for yet, or none */
	struct strbuf headers;	  /* lines of the answer's head */
	int refused;		  /* status to answer instead of calling the handler */
	struct strbuf refusal;
	struct strbuf body;
	size_t body_len; /* counted against the budget */
	int status; /* answered with, or 0 */
	void *data; /* the owner's */
	void (*on_close)(void *);
	void *on_close_arg;
	void (*on_drain)(void *);
	void *on_drain_arg;
};

struct http_conn {
	TAILQ_ENTRY(http_conn) next;
	struct http *http;
	struct http_policy *policy;
	struct loop *loop;
	struct evhtp_connection *ev; /* NULL once the connection is gone */
	/* From its head until its answer has left; NULL when evhtp never saw it. */
	struct evhtp_request *req;
	/* evhtp's parser, behind http_input. */
	void (*evhtp_read)(struct bufferevent *bev, void *ev);
	struct loop_timer *deadline;
	enum http_phase phase;
	struct http_guard guard; /* of the head that comes or came */
	uint64_t body_left;	 /* bytes of the body that are to come */
	bool is_unix;
	bool detached; /* its slot belongs to a stream */
	bool excess; /* bytes follow which are not the request's: close after it */
	uint32_t slot;
	unsigned served;
	char peer[64];
	bool has_uid; /* of the process at the other end of a unix socket */
	uid_t uid;
	struct http_request r;
};

/* http_req.c: the request of a connection, and its handle. A request that is answered
 * by a stream has that in its slot instead. */
struct http_stream;
void http_slot_take(struct http_conn *c);
void http_slot_release(uint32_t slot);
/* The handle dies. */
void http_slot_end(uint32_t slot);
/* NULL when r is dead, or not a stream. */
struct http_stream *http_slot_stream(struct http_req r);
void http_request_begin(struct http_conn *c);
/* The handle dies, on_close is deferred; strings stay until the clear. */
void http_request_end(struct http_conn *c);
void http_request_clear(struct http_conn *c);
/* Answer with an error instead of calling the handler; returns -1. */
int http_request_refuse(struct http_conn *c, int status, const char *code,
			const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int http_request_refuse_err(struct http_conn *c, const struct err *e);
/* Run the handler or answer the refusal. */
void http_request_dispatch(struct http_conn *c, void *handler_arg);

/* http_msg.c: what evhtp knows of the connection and the message. */
void http_conn_set_peer(struct http_conn *c);
const char *http_conn_header(const struct http_conn *c, const char *name);
size_t http_conn_header_all(const struct http_conn *c, const char *name,
			    struct strbuf *out);
const char *http_conn_body(const struct http_conn *c, size_t *len);
/* http.c: the connection under a request. */
/* It ends when its output is empty. */
void http_conn_give_up(struct http_conn *c);
/* Gives away the socket and the slot; the rest of c is gone after this turn. */
int http_conn_detach(struct http_conn *c);
struct http_streams *http_conn_streams(const struct http_conn *c);
void http_conn_flush(struct http_conn *c);
void http_conn_write(struct http_conn *c, const void *data, size_t len);
/* The same for an answer in parts, which leaves at once as far as the socket takes it. */
struct iovec;
void http_conn_send(struct http_conn *c, const struct iovec *parts, int n);
size_t http_conn_pending(const struct http_conn *c);
bool http_conn_may_keep(const struct http_conn *c);
/* The answer is written completely. */
void http_conn_finish(struct http_conn *c, bool keep);
