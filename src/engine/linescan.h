/*
 * linescan: the frames of a log as the lines that people count. Pure, any thread.
 *
 * A line is a line of output, of a note, or the start of a step (its text: the name).
 * Output without a newline is ended by whatever is not output of the same step and
 * stream; a line of over LINE_MAX bytes goes on as another line. What begins a line
 * depends on nothing before it but the style, so a scan can begin at any line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/ansi.h"
#include "slipway/frame.h"
#include "slipway/strbuf.h"

#define LINE_MAX_BYTES (16u << 10)

/* Where a line begins: so many bytes into the payload of the frame at this offset of
 * the spool, in this style (of the steps' output; notes in between have none). */
struct line_place {
	uint64_t frame;
	uint32_t skip;
	struct ansi_style style;
};

struct scanned_line {
	struct frame frame; /* the one it began in */
	struct line_place at;
	const uint8_t *text; /* without its newline; valid during the call */
	size_t len;
	bool open; /* more of it may come */
};

/* false ends the scan; it cannot go on after that. */
typedef bool linescan_fn(void *arg, const struct scanned_line *l);

struct linescan {
	struct line_place next;	  /* where the first line not yet given begins */
	struct scanned_line line; /* the open one */
	struct strbuf part;	  /* what is known of it */
	bool open, stopped, damaged;
};

/* Begins with a line that is at this place. */
void linescan_init(struct linescan *s, const struct line_place *at);
void linescan_free(struct linescan *s);
/* Takes the whole frames at the front of data, the first of which is at offset of the
 * spool; how many bytes that was. damaged is set at what cannot be a frame. */
size_t linescan_feed(struct linescan *s, const uint8_t *data, size_t len,
		     uint64_t offset, linescan_fn *fn, void *arg);
/* Gives the open line, if there is one. */
void linescan_finish(struct linescan *s, linescan_fn *fn, void *arg);
