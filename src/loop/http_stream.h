/*
 * http_stream (inner side): all streams of a server, and how one begins.
 *
 * http_streams.c has what concerns all of them: the poll, the time, the flush at the end
 * of a turn; http_stream.c has one of them; http_buf.c what they share.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "http_priv.h"
#include "slipway/http_stream.h"
#include "slipway/slab.h"

struct http_buf {
	uint32_t refs;
	uint8_t head; /* length of the chunk's size line */
	bool raw;     /* never sent as a chunk */
	size_t len;   /* of the content */
	char data[];  /* size line, content, line end */
};

struct http_node {
	STAILQ_ENTRY(http_node) next;
	struct http_buf *buf;
};

struct http_stream {
	TAILQ_ENTRY(http_stream) link;	/* flowing or stuck */
	STAILQ_ENTRY(http_stream) next; /* dirty */
	struct http_streams *all;
	int fd; /* -1: closed, about to be freed */
	uint32_t slot;
	int64_t progress_ms;
	STAILQ_HEAD(, http_node) nodes;
	size_t taken; /* bytes of the first node */
	size_t pending;
	uint32_t junk;
	bool chunked, dirty, stuck, ended, beats;
	bool half;     /* the client has closed its side */
	bool awaiting; /* then it is gone */
	void (*on_close)(void *);
	void *on_close_arg;
	void (*on_drain)(void *);
	void *on_drain_arg;
};
TAILQ_HEAD(http_stream_list, http_stream);
STAILQ_HEAD(http_stream_queue, http_stream);

struct http_streams {
	struct loop *loop;
	int epoll;
	struct loop_fd *watch;
	struct loop_timer *tick, *trim;
	int64_t stall_ms, beat_ms, tick_ms;
	struct http_stream_list flowing, stuck;
	struct http_stream_queue dirty;
	struct slab *slab;
	unsigned n, moved;
	struct http_buf *beat;
	uint64_t cut; /* clients that were stuck for too long */
};

/* Never sent as a chunk. */
struct http_buf *http_buf_new_raw(const void *data, size_t len);

/* http_streams.c */
struct http_streams *http_streams_new(struct loop *l, int64_t stall_ms, int64_t beat_ms,
				      struct err *e);
/* Closes them all. */
void http_streams_free(struct http_streams *all);
unsigned http_streams_count(const struct http_streams *all);
/* A line for all of them, and one for each of the first that are stuck. */
void http_streams_dump(const struct http_streams *all, struct strbuf *out);
/* s has something to write at the end of this turn. */
void http_streams_touch(struct http_streams *all, struct http_stream *s);
/* s made progress now, or has just become stuck. */
void http_streams_progress(struct http_stream *s, int64_t now, bool stuck);
void http_streams_add(struct http_streams *all, struct http_stream *s);
void http_streams_remove(struct http_stream *s);

/* http_stream.c */
struct http_stream_start {
	int fd; /* taken over; non-blocking */
	uint32_t slot;
	bool chunked;
	void (*on_close)(void *); /* of its request */
	void *on_close_arg;
	void (*on_drain)(void *);
	void *on_drain_arg;
};
/* head: what goes out before all else. */
struct http_stream *http_stream_new(struct http_streams *all,
				    const struct http_stream_start *o,
				    const struct strbuf *head);
void http_stream_set_close(struct http_stream *s, void (*fn)(void *), void *arg);
void http_stream_set_drain(struct http_stream *s, void (*fn)(void *), void *arg);
/* Valid until the next call. */
const char *http_stream_peer(const struct http_stream *s);
void http_stream_append(struct http_stream *s, struct http_buf *b);
void http_stream_flush(struct http_stream *s, int64_t now);
/* epoll tells of s. */
void http_stream_ready(struct http_stream *s, uint32_t what, int64_t now);
/* Ends the request, closes the socket; the memory goes after this turn. */
void http_stream_gone(struct http_stream *s);
