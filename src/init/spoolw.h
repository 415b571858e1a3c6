/*
 * spoolw: the writing end of the spool.
 *
 * Whole frames only, as few writes as possible; between two calls the file ends at
 * the end of a frame. The first failed write (disk full, I/O error) is final: later
 * frames are dropped and `failed` tells. Owns nothing; the descriptor is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/frame.h"

#define SPOOLW_BATCH 16

struct spoolw {
	int fd;
	int failed; /* errno of the first failed write */
};

struct spoolw_frame {
	uint8_t type;
	uint8_t flags;
	uint16_t step;
	const void *payload;
	size_t len; /* at most FRAME_PAYLOAD_MAX */
};

/* Takes over an open file; an empty one gets the file header. */
void spoolw_init(struct spoolw *w, int fd);
/* Up to SPOOLW_BATCH frames in one write. False once the spool has failed. */
bool spoolw_frames(struct spoolw *w, const struct spoolw_frame *frames, size_t n);
bool spoolw_frame(struct spoolw *w, const struct spoolw_frame *frame);
