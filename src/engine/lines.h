/*
 * lines: the line index of one attempt's log, and windows read with its help. Blocking,
 * pool threads; one thread at a time for each object.
 *
 * The file `lines` beside the log holds where every LINES_STRIDE-th line begins. It is
 * made when somebody looks, grows as the log does, and is worth nothing by itself: what
 * does not fit the log (damaged, of another log, of a log that was cut) is made anew.
 * Its content follows from the log alone, and the head, written last, vouches for what
 * it counts; so two that write it at the same time write the same, and no lock is
 * needed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "linescan.h"
#include "logsource.h"
#include "slipway/job.h"
#include "slipway/lineindex.h"

#define LINES_STRIDE 256

/* What the head of the file tells; pure. */
struct lines_head {
	uint64_t lines;		/* complete ones */
	struct line_place next; /* where the one after them begins */
	uint64_t seen;		/* a frame that was read, 0: none; how it began: */
	uint8_t seen_head[FRAME_HEADER_LEN];
	uint64_t first[JOB_STEPS_MAX]; /* the line each step begins with, 0: none */
};

#define LINES_HEAD_LEN (8 + 8 + 17 + 8 + FRAME_HEADER_LEN + 8 * JOB_STEPS_MAX + 8)
#define LINES_MARK_LEN (17 + 8)

void lines_head_encode(const struct lines_head *h, uint8_t out[LINES_HEAD_LEN]);
/* false: damaged, or of another version. */
bool lines_head_decode(struct lines_head *h, const uint8_t in[LINES_HEAD_LEN]);
/* index: which mark it is; one at a wrong place does not decode. */
void lines_mark_encode(const struct line_place *p, uint64_t index,
		       uint8_t out[LINES_MARK_LEN]);
bool lines_mark_decode(struct line_place *p, uint64_t index,
		       const uint8_t in[LINES_MARK_LEN]);

/* An index in use. */
struct lines {
	int fd; /* -1: it cannot be stored, and lives in memory */
	struct lines_head head;
	struct linescan scan;
	uint64_t at;	       /* where reading goes on */
	struct strbuf unsaved; /* marks from saved on */
	uint64_t saved;
	bool open; /* a line that is not complete follows */
};

/* Takes up what is stored as far as it fits the log. */
void lines_open(struct lines *l, const char *dir, struct logsource *log);
void lines_close(struct lines *l);
/* Forget all that is known. */
void lines_reset(struct lines *l);
/* Read up to max bytes of log; *more when there may be more to read. */
int lines_extend(struct lines *l, struct logsource *log, uint64_t max, bool *more,
		 struct err *e);
/* The lines that w asks for, which the index knows; ERR_CORRUPT when the index leads
 * astray. Looks through at most max bytes for w->find; *more when that was too little:
 * next time from w->from. */
int lines_window(struct lines *l, struct logsource *log, struct line_window *w,
		 uint64_t max, bool *more, struct err *e);
