/*
 * render: a log's frames as text for clients, in one of two forms: Server-Sent Events
 * (sse.c) and plain text (log_text.c). Pure, any thread.
 *
 * A render keeps what a form must remember between pieces of one attempt's log, little
 * enough to be copied and compared: clients whose renders are the same see the same
 * bytes from there on. Input is whole frames, as logread gives them; what cannot be a
 * frame ends the piece.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/frame.h"
#include "slipway/job.h"
#include "slipway/strbuf.h"

#define RENDER_ALL_STEPS (-1)

/* The steps of an attempt, for all of its renders. */
struct render_steps {
	size_t n;	  /* 0 when the spec is not known */
	char **names;	  /* n */
	int64_t *started; /* n; ms, 0 = not seen */
};

struct render {
	const struct render_form *form;
	struct render_steps *steps;
	unsigned attempt;
	int step;	/* show this one only, or RENDER_ALL_STEPS */
	uint64_t skip;	/* lines of output still to be left out (tail=) */
	bool skip_open; /* the last of them has not ended yet */
	bool times;	/* text: each line begins with its time */
	bool in_line;	/* text: the last byte printed was not a newline */
	int section;	/* text: the step whose header was printed last, or -1 */
};

/* What is told about the job itself. */
struct render_status {
	const char *id;
	enum job_state state;
	enum job_reason reason;
	enum job_phase phase; /* PHASE_NONE: not running */
	unsigned attempt;
	const char *error;	 /* or "" */
	const char *wait_reason; /* or "" */
	long position;		 /* 0: not queued */
	int64_t started_at, finished_at;
};

struct render_form {
	const char *type; /* Content-Type */
	const char *beat; /* sent now and then while nothing happens; NULL: nothing */
	/* By enum frame_type; NULL: not shown. offset: where the frame ends. */
	void (*frame[FRAME_TYPES])(struct render *r, const struct frame *f,
				   const uint8_t *payload, uint64_t offset,
				   struct strbuf *out);
	void (*note)(const struct render *r, const char *text, size_t len, bool error,
		     struct strbuf *out);
	/* NULL: the form does not tell of the job. */
	void (*status)(const struct render_status *s, struct strbuf *out);
	void (*end)(const struct render_status *s, struct strbuf *out);
};

extern const struct render_form render_sse, render_text;

/* Begin another attempt: forget what was printed. */
void render_restart(struct render *r, unsigned attempt);
/* Do both show the same of what follows? */
bool render_same(const struct render *a, const struct render *b);
/* Append frames of a piece that begins at offset of the spool, until out has grown to
 * max or more; returns where the last of them ends. */
uint64_t render_frames(struct render *r, const uint8_t *data, size_t len,
		       uint64_t offset, size_t max, struct strbuf *out);

/* Walking a piece. */
struct frame_walk {
	const uint8_t *p, *end;
	uint64_t offset; /* after the frame that was given last */
};
void frame_walk_init(struct frame_walk *w, const uint8_t *data, size_t len,
		     uint64_t offset);
/* The next whole frame; its payload lies in the piece. */
bool frame_walk_next(struct frame_walk *w, struct frame *f, const uint8_t **payload);
bool frame_is_output(const struct frame *f);

/* Is anything of f to be shown, as r filters? */
bool render_wants(const struct render *r, const struct frame *f);
/* Lines of output in the piece, of the steps that r shows; one without its newline
 * counts once, however many partial frames it came in. *open keeps that between
 * pieces. A step that begins ends a line. */
uint64_t render_count(const struct render *r, const uint8_t *data, size_t len,
		      bool *open);
/* Drop r->skip lines from the front of an output payload; false when all went. */
bool render_skip(struct render *r, const uint8_t **payload, uint32_t *len);
/* A step begins: false when it is shown. */
bool render_skip_step(struct render *r);
