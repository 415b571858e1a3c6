/*
 * stream: sends the log of a job to one client, from a place on, while it is written.
 * Loop thread only.
 *
 * A stream is {job, offset} and a socket: what it needs beyond that it shares, in a feed
 * (feed.h), with all others that read the same attempt.
 */
#pragma once

#include "render.h"
#include "web_priv.h"

/* What the client asked for; checked already. */
struct stream_opts {
	const char *id;
	const struct render_form *form;
	unsigned attempt; /* where to begin */
	bool pinned;	  /* this attempt only: a retry is not followed */
	bool follow;
	bool times;		    /* text only */
	uint64_t offset;	    /* LOGREAD_START: from the beginning */
	uint64_t tail;		    /* lines; 0: all */
	int step;		    /* or RENDER_ALL_STEPS */
	const struct jobspec *spec; /* when it is at hand; may be NULL */
	const struct job_view *view;
};

/* Answers the request from here on. */
void stream_begin(struct web *w, struct http_req r, const struct stream_opts *o);
