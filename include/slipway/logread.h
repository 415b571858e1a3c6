/*
 * logread: reads the log of one attempt from any offset, while it is written and after
 * it was sealed. Loop thread only.
 *
 * Offsets count bytes of the spool (its file header included) and always lie between
 * frames; they stay the same after sealing. Hot logs are read on the loop, in
 * bounded pieces, as far as they are in the page cache; cold and sealed ones by the pool.
 * Reads never block the loop.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/frame.h"
#include "slipway/loop.h"
#include "slipway/pool.h"

#define LOGREAD_START SPOOL_HEADER_LEN /* offset of the first frame */

struct logread;

/* err: NULL, or why reading ends here (ERR_NOT_FOUND: no log (any more); ERR_CORRUPT:
 * damage at this offset). data: whole frames only, valid during the call; len 0 = no
 * more for now (wait for BUS_LOG) or, when the attempt is over, the end. next: the
 * offset after the last frame given. */
typedef void logread_fn(void *arg, const struct err *err, const uint8_t *data,
			size_t len, uint64_t next);

struct logread *logread_new(struct loop *l, struct pool *p, const char *state_dir,
			    const char *job, unsigned attempt);
/* No callback comes any more after this. */
void logread_free(struct logread *r);
/* One read at a time: up to max bytes (at least one frame) from offset. The callback
 * comes later in this turn, or in a later one. offset must lie between frames: a
 * foreign one (from a client) is checked with logread_find_boundary first. */
void logread_get(struct logread *r, uint64_t offset, size_t max, logread_fn *fn, void *arg);
/* Does a frame begin (or the log end) exactly at offset? Walks headers, in the pool
 * when that is long; answers by fn with len 0 and next = offset, or the nearest frame
 * boundary before it. */
void logread_find_boundary(struct logread *r, uint64_t offset, logread_fn *fn, void *arg);
/* The same, walking on from a frame that is known to begin at from. */
void logread_find_boundary_from(struct logread *r, uint64_t from, uint64_t offset,
				logread_fn *fn, void *arg);
/* Walks back from the end: next = the offset from which about `lines` lines follow. */
void logread_find_tail(struct logread *r, unsigned lines, logread_fn *fn, void *arg);
/* Bytes now in the log (0 when there is none); cheap. */
uint64_t logread_size(struct logread *r);
