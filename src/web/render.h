/*
 * render: a log's frames as text for clients, in one of two forms: Server-Sent Events
 * (sse.c) and plain text (log_text.c). Pure, any thread.
 *
 * A render keeps what a form must remember between pieces of one attempt's log. Input
 * is whole frames, as logread gives them; what cannot be a frame ends the piece.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/frame.h"
#include "slipway/job.h"
#include "slipway/strbuf.h"

#define RENDER_ALL_STEPS (-1)

struct render {
	unsigned attempt;
	int step;	  /* show this one only, or RENDER_ALL_STEPS */
	size_t nsteps;	  /* of the spec; 0 when it is not known */
	char **names;	  /* nsteps */
	int64_t *started; /* nsteps; ms, 0 = not seen */
	uint64_t skip;	  /* lines of output still to be left out (tail=) */
	bool skip_open;	  /* the last of them has not ended yet */
	bool times;	  /* text: each line begins with its time */
	int section;	  /* text: the step whose header was printed last, or -1 */
	bool in_line;	  /* text: the last byte printed was not a newline */
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
	/* data begins at offset of the spool. */
	void (*frames)(struct render *r, const uint8_t *data, size_t len,
		       uint64_t offset, struct strbuf *out);
	void (*note)(struct render *r, const char *text, bool error,
		     struct strbuf *out);
	void (*status)(const struct render_status *s, struct strbuf *out);
	void (*end)(const struct render_status *s, struct strbuf *out);
};

extern const struct render_form render_sse, render_text;

/* Begin another attempt: forget everything but step and names. */
void render_restart(struct render *r, unsigned attempt);

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
