/*
 * lineindex: windows of lines of one attempt's log, by their numbers, while it is
 * written and after it was sealed. Loop thread only; the reading is done by the pool.
 *
 * Lines count from 1: lines of output and of notes, and the start of each step. An
 * index beside the log makes a window cost what it shows, however long the log is; it
 * is made and brought up to date by the first who asks, in slices, and nothing happens
 * while nobody does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/ansi.h"
#include "slipway/err.h"
#include "slipway/job.h"
#include "slipway/loop.h"
#include "slipway/pool.h"
#include "slipway/strbuf.h"

#define LINES_MAX 2000		 /* of a window */
#define LINES_FIND_MAX 200	 /* bytes of a text to look for */
#define LINES_BYTES (512u << 10) /* of text in a window: it ends early, after a line */

struct log_line {
	uint8_t type;  /* enum frame_type: output, note, or start of a step */
	uint8_t flags; /* of the frame */
	bool open;     /* the last of a log that grows: more of it may come */
	uint16_t step;
	uint64_t time_ms;
	struct ansi_style style; /* that it begins with */
	size_t text, len;	 /* where it is in the window's text */
};

struct line_window {
	/* What is asked for. */
	uint64_t from;	/* first line, from 1 */
	unsigned count; /* at most LINES_MAX */
	bool tail;	/* the last count lines instead */
	/* Instead of lines: the first from `from` on that has this text, without regard
	 * to the case of ASCII; escape sequences are no text. "": nothing. */
	char find[LINES_FIND_MAX + 1];
	/* What is answered; from is the number of the first line given. */
	struct log_line *lines;
	size_t n;
	struct strbuf text;
	uint64_t total; /* lines in the log */
	uint64_t end;	/* offset in the spool up to which that holds */
	uint64_t found; /* the line, 0: none */
	uint64_t
		first[JOB_STEPS_MAX]; /* the line each step begins with, 0: not begun */
};

void line_window_free(struct line_window *w);

struct lineindex;

struct lineindex *lineindex_new(struct loop *l, struct pool *p, const char *state_dir,
				const char *job, unsigned attempt);
/* No callback comes any more after this. */
void lineindex_free(struct lineindex *x);

/* err: NULL, or why there are no lines (ERR_NOT_FOUND: no log (any more)). w and out
 * are valid during the call; out is what format made of w. */
typedef void lineindex_fn(void *arg, const struct err *err, const struct line_window *w,
			  const struct strbuf *out);
/* Runs on a pool thread. */
typedef void lineindex_format_fn(const struct line_window *w, struct strbuf *out);
/* One at a time. want is copied; format may be NULL. */
void lineindex_get(struct lineindex *x, const struct line_window *want,
		   lineindex_format_fn *format, lineindex_fn *fn, void *arg);
