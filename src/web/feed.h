/*
 * feed: the log of one attempt, for all streams that follow it. Loop thread only.
 *
 * Streams at the same place that are to see the same bytes form a group. A group reads,
 * renders and moves on as one: its streams get references to one buffer. Who cannot take
 * more for now stays behind in a group of those that are blocked there, and goes on from
 * that place when its socket is empty. Groups that meet become one; at the end of the
 * log that is nearly everybody. So there is one reader for an attempt, and a stream
 * costs no more than its own struct.
 *
 * A feed lives while it has streams. feed.c moves the bytes; what the job's state means
 * for the streams is stream.c's, which feed.c calls when a group has read all there is.
 */
#pragma once

#include <sys/queue.h>
#include <uthash.h>

#include "render.h"
#include "slipway/logread.h"
#include "web_priv.h"

struct stream;
TAILQ_HEAD(stream_list, stream);

enum feed_doing {
	FEED_READY,   /* waits for its turn to read */
	FEED_READING, /* one group of a feed at a time; it lives until that is done */
	FEED_AT_END,  /* until the log grows or the job changes */
	FEED_BLOCKED, /* until a stream's socket is empty: never reads */
};

struct feed_group {
	TAILQ_ENTRY(feed_group) link;
	TAILQ_ENTRY(feed_group) turn; /* FEED_READY */
	struct feed *feed;
	enum feed_doing doing;
	struct stream_list streams;
	struct render render;
	uint64_t offset;
	bool damaged;	    /* the log cannot be read on from here */
	bool behind;	    /* there was more to read than a little */
	bool read_over;	    /* feed->over when the last read began */
	uint64_t read_news; /* feed->news then */
};
TAILQ_HEAD(feed_groups, feed_group);

struct feed {
	UT_hash_handle hh; /* by key */
	struct web *web;
	char id[JOB_ID_MAX + 1];
	unsigned attempt;
	unsigned refs; /* streams */
	struct logread *log;
	struct render_steps steps;
	struct feed_groups groups, ready;
	struct feed_group *reading;
	uint64_t news;	/* grows with each event */
	unsigned reads; /* in this turn */
	struct loop_timer *again;
	struct bus_sub *sub;
	/* What stream.c knows of the job. */
	bool over;   /* nothing more will come to the log */
	bool queued; /* nothing will come until it starts */
	bool looking;
	struct placing *placing; /* streams that look for their place; place.c */
	char key[];
};

struct stream {
	struct web_task task;
	TAILQ_ENTRY(stream) link; /* of its group */
	struct feed *feed;
	struct feed_group *group; /* NULL: looking for its place */
	struct place *place;	  /* then */
	const struct render_form *form;
	bool pinned, follow;
	/* What the client was told of the job. */
	bool shown;
	uint8_t shown_state, shown_phase;
	unsigned shown_attempt;
};

/* The feed of an attempt, made when there is none; refs is one more. spec: NULL when it
 * is not at hand. */
struct feed *feed_get(struct web *w, const char *id, unsigned attempt,
		      const struct jobspec *spec, const struct attempt *a);
void feed_unref(struct feed *f);
/* s reads on from offset; r is copied. */
void feed_join(struct feed *f, struct stream *s, uint64_t offset,
	       const struct render *r, bool damaged);
void feed_leave(struct stream *s);
/* Something happened: who is at the end looks again. */
void feed_wake(struct feed *f);
/* Everything again, from the log's beginning. */
void feed_restart(struct feed *f);
/* A line for each feed. */
void feeds_dump(const struct web *w, struct strbuf *out);

/* stream.c: g has read all of the log and the attempt is over. Takes all streams out. */
void stream_settle(struct feed_group *g);
/* The job itself changed: look at it. */
void stream_look(struct feed *f);
/* The stream's answer ends here. */
void stream_end(struct stream *s);
