/*
 * frames_fixture: pieces of a log, frame by frame, and a render of a job with the steps
 * "build" and "test".
 */
#pragma once

#include <string.h>

#include "slipway/frame.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"
#include "web/render.h"

static inline void
add_frame(struct strbuf *log, const struct frame *like, const void *payload, size_t len)
{
	struct frame f = *like;
	uint8_t head[FRAME_HEADER_LEN];

	f.len = (uint32_t)len;
	frame_encode(&f, head);
	strbuf_add(log, head, sizeof(head));
	strbuf_add(log, payload, len);
}

static inline void
add_output(struct strbuf *log, uint16_t step, const char *text)
{
	size_t len = strlen(text);
	bool whole = len && text[len - 1] == '\n';

	add_frame(log,
		  &(struct frame){ .type = FRAME_STDOUT,
				   .step = step,
				   .flags = whole ? 0 : FRAME_PARTIAL },
		  text, len);
}

static inline void
add_step_start(struct strbuf *log, uint16_t step, const char *name, uint64_t ms)
{
	add_frame(log,
		  &(struct frame){
			  .type = FRAME_STEP_START, .step = step, .time_ms = ms },
		  name, strlen(name));
}

static inline void
add_step_end(struct strbuf *log, uint16_t step, int exit_code, uint8_t flags,
	     uint64_t ms)
{
	const struct step_end end = { .exit_code = exit_code, .flags = flags };
	uint8_t payload[STEP_END_LEN];

	step_end_encode(&end, payload);
	add_frame(log,
		  &(struct frame){
			  .type = FRAME_STEP_END, .step = step, .time_ms = ms },
		  payload, sizeof(payload));
}

static inline void
add_note(struct strbuf *log, const char *text, uint8_t flags)
{
	add_frame(log,
		  &(struct frame){
			  .type = FRAME_NOTE, .step = FRAME_NO_STEP, .flags = flags },
		  text, strlen(text));
}

struct render_fixture {
	char *names[2];
	int64_t started[2];
	struct render_steps steps;
	struct render r;
};

static inline struct render *
render_begin(struct render_fixture *x, const struct render_form *form)
{
	static char build[] = "build", test[] = "test";

	memset(x, 0, sizeof(*x));
	x->names[0] = build;
	x->names[1] = test;
	x->steps = (struct render_steps){ 2, x->names, x->started };
	x->r.form = form;
	x->r.step = RENDER_ALL_STEPS;
	x->r.steps = &x->steps;
	render_restart(&x->r, 2);
	return &x->r;
}

static inline void
render_log(struct render *r, const struct strbuf *log, struct strbuf *out)
{
	render_frames(r, (const uint8_t *)log->data, log->len, SPOOL_HEADER_LEN,
		      SIZE_MAX, out);
}
