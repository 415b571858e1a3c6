/*
 * output: one pipe of one step, masked and cut into frames.
 *
 * Bytes go pipe -> mask -> pending -> frames. A frame ends with the last newline
 * within FRAME_PAYLOAD_MAX; what follows it waits for more, for OUTPUT_DELAY_MS, or
 * for the end of the pipe. What the mask holds back is never written before it is
 * known not to begin a secret. Times are of util_now_ms().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/mask.h"

#include "spoolw.h"

#define OUTPUT_DELAY_MS 100
#define OUTPUT_READ (256u << 10)

/* Where all outputs of a job end up. */
struct output_sink {
	struct spoolw *spool;
	const struct mask *mask;
	uint64_t left; /* bytes of output the log still takes */
	bool full;     /* it took no more, and a note said so */
	uint8_t *buf;  /* OUTPUT_READ bytes, shared by all reads */
};

struct output {
	int fd;
	uint8_t type;
	uint16_t step;
	struct mask_stream *stream;
	uint8_t *pending;
	size_t len, cap;
	uint64_t flush_at; /* 0: nothing pending */
	uint64_t read_at;  /* when bytes came last */
	bool ended;
};

/* log_max 0: no limit. False when memory is out. */
bool output_sink_init(struct output_sink *sink, struct spoolw *spool,
		      const struct mask *mask, uint64_t log_max);
void output_sink_clear(struct output_sink *sink);

/* Takes over fd, which must be non-blocking. NULL when memory is out (fd closed). */
struct output *output_new(const struct output_sink *sink, int fd, uint8_t type,
			  uint16_t step);
void output_free(struct output *o);
/* One read; at the end of the pipe also output_end(). */
void output_read(struct output *o, struct output_sink *sink, uint64_t now);
/* Write what is pending, up to its last byte. */
void output_flush(struct output *o, struct output_sink *sink);
/* No more will be read: write what the mask held back, too. */
void output_end(struct output *o, struct output_sink *sink);
