/*
 * spool: the daemon's hand on the log of one live attempt. Loop thread only.
 *
 * slipway-init writes the spool directly; the daemon only tails it (inotify while there
 * is an init, with a slow timer as backstop) for the frames that tell of steps, hopping
 * over output without reading it. The two write in turns: the daemon its notes before
 * the start and after the exit, init between. What is read is outside bytes: lengths,
 * types and order are checked, damage ends the readable log at the last good frame.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/frame.h"
#include "slipway/loop.h"
#include "slipway/mask.h"

struct spools; /* the inotify watch shared by all */
struct spool;

struct spool_events {
	/* One per frame but output, in order; payload only for those that carry
	 * structure or names, else NULL. */
	void (*on_frame)(void *arg, const struct frame *f, const uint8_t *payload);
	/* Once per batch of new frames: the log grew. */
	void (*on_grown)(void *arg);
	void *arg;
};

struct spools *spools_new(struct loop *l, struct err *e);
void spools_free(struct spools *s);

/* Make dir/spool with its header; blocking, pool threads. */
int spool_create(const char *dir, struct err *e);
/* Open dir/spool for notes and tailing from its beginning. */
struct spool *spool_open(struct spools *s, const char *dir, const struct spool_events *ev,
			 struct err *e);
void spool_close(struct spool *sp);
/* For the runner: O_APPEND. */
int spool_fd(const struct spool *sp);
/* Secrets to hide in notes from now on; m stays the caller's. */
void spool_set_mask(struct spool *sp, const struct mask *m);
/* Append a note; only before the start and after the exit. Failures are logged. */
void spool_note(struct spool *sp, const char *text, unsigned flags);
/* From now on somebody else writes: be told of it, and read what is there. */
void spool_watch(struct spool *sp);
/* init is gone: read to the end, cut a torn tail or damage (with a note), then call
 * done. The log is complete after that, but for further notes. */
void spool_finish(struct spool *sp, void (*done)(void *arg), void *arg);
/* Offset after the last good frame. */
uint64_t spool_offset(const struct spool *sp);
