#include "render.h"

#include <string.h>

void
render_restart(struct render *r, unsigned attempt)
{
	r->attempt = attempt;
	r->skip = 0;
	r->skip_open = false;
	r->section = -1;
	r->in_line = false;
}

bool
render_same(const struct render *a, const struct render *b)
{
	return a->form == b->form && a->attempt == b->attempt && a->step == b->step &&
	       a->skip == b->skip && a->skip_open == b->skip_open &&
	       a->times == b->times && a->in_line == b->in_line &&
	       a->section == b->section;
}

void
frame_walk_init(struct frame_walk *w, const uint8_t *data, size_t len, uint64_t offset)
{
	w->p = data;
	w->end = data + len;
	w->offset = offset;
}

bool
frame_walk_next(struct frame_walk *w, struct frame *f, const uint8_t **payload)
{
	size_t left = (size_t)(w->end - w->p);

	if (left < FRAME_HEADER_LEN)
		return false;
	frame_decode(f, w->p);
	if (f->len > FRAME_PAYLOAD_MAX || f->len > left - FRAME_HEADER_LEN)
		return false;
	*payload = w->p + FRAME_HEADER_LEN;
	w->p += FRAME_HEADER_LEN + f->len;
	w->offset += FRAME_HEADER_LEN + f->len;
	return true;
}

bool
frame_is_output(const struct frame *f)
{
	return f->type == FRAME_STDOUT || f->type == FRAME_STDERR;
}

bool
render_wants(const struct render *r, const struct frame *f)
{
	return r->step == RENDER_ALL_STEPS || r->step == f->step;
}

uint64_t
render_frames(struct render *r, const uint8_t *data, size_t len, uint64_t offset,
	      size_t max, struct strbuf *out)
{
	struct frame_walk w;
	const uint8_t *p;
	struct frame f;

	frame_walk_init(&w, data, len, offset);
	while (out->len < max && frame_walk_next(&w, &f, &p))
		if (f.type < FRAME_TYPES && r->form->frame[f.type] &&
		    render_wants(r, &f))
			r->form->frame[f.type](r, &f, p, w.offset, out);
	return w.offset;
}

uint64_t
render_count(const struct render *r, const uint8_t *data, size_t len, bool *open)
{
	struct frame_walk w;
	const uint8_t *p;
	uint64_t lines = 0;
	struct frame f;

	frame_walk_init(&w, data, len, 0);
	while (frame_walk_next(&w, &f, &p)) {
		if (!render_wants(r, &f))
			continue;
		if (f.type == FRAME_STEP_START)
			*open = false;
		if (!frame_is_output(&f))
			continue;
		for (uint32_t i = 0; i < f.len; i++) {
			lines += !*open;
			*open = p[i] != '\n';
		}
	}
	return lines;
}

bool
render_skip(struct render *r, const uint8_t **payload, uint32_t *len)
{
	while (r->skip > 0 && *len > 0) {
		const uint8_t *nl = memchr(*payload, '\n', *len);
		uint32_t line = nl ? (uint32_t)(nl - *payload) + 1 : *len;

		*payload += line;
		*len -= line;
		r->skip -= nl != NULL;
		r->skip_open = !nl;
	}
	return *len > 0;
}

bool
render_skip_step(struct render *r)
{
	if (r->skip > 0 && r->skip_open)
		r->skip--;
	r->skip_open = false;
	return r->skip > 0;
}
