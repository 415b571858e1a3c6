/*
 * place: finds where in a log a stream is to begin. Loop thread only.
 *
 * What clients name is not trusted to be the begin of a frame: output could imitate one.
 * All streams of a feed that come with an offset share one walk over the log, in order
 * of their offsets: after a restart of the daemon they come at once and thousandfold.
 */
#pragma once

#include "feed.h"
#include "stream.h"

struct place;

/* s->place until the stream joins its feed there, or is ended because the log cannot be
 * read. r: how the stream is to be rendered. */
void place_find(struct stream *s, const struct stream_opts *o, const struct render *r);
/* The stream has gone before. */
void place_forget(struct place *p);
/* The feed has: nobody is left to be placed. NULL is fine. */
void placing_free(struct placing *all);
