#include "linescan.h"

#include <string.h>

void
linescan_init(struct linescan *s, const struct line_place *at)
{
	memset(s, 0, sizeof(*s));
	s->next = *at;
}

void
linescan_free(struct linescan *s)
{
	strbuf_free(&s->part);
}

static bool
frame_is_output(const struct frame *f)
{
	return f->type == FRAME_STDOUT || f->type == FRAME_STDERR;
}

/* A frame under way: what is left of its payload. */
struct piece {
	const struct frame *f;
	uint64_t at; /* of the frame */
	const uint8_t *start, *p, *end;
	linescan_fn *fn;
	void *arg;
};

static void
line_begin(struct linescan *s, const struct piece *x)
{
	s->next.frame = x->at;
	s->next.skip = (uint32_t)(x->p - x->start);
	s->line.frame = *x->f;
	s->line.at = s->next;
	strbuf_reset(&s->part);
	s->open = true;
}

/* Gives the line that began with part and goes on with n bytes here. */
static void
line_end(struct linescan *s, const uint8_t *more, size_t n, linescan_fn *fn, void *arg)
{
	struct scanned_line *l = &s->line;

	if (s->part.len) {
		strbuf_add(&s->part, more, n);
		l->text = (const uint8_t *)s->part.data;
		l->len = s->part.len;
	} else {
		l->text = more;
		l->len = n;
	}
	l->open = false;
	s->open = false;
	if (!fn(arg, l))
		s->stopped = true;
	if (frame_is_output(&l->frame))
		ansi_skip(&s->next.style, l->text, l->len);
}

/* The next line begins where the piece is now, or with the next frame. */
static void
line_next(struct linescan *s, const struct piece *x)
{
	bool inside = x->p < x->end;

	s->next.frame = inside ? x->at : x->at + FRAME_HEADER_LEN + x->f->len;
	s->next.skip = inside ? (uint32_t)(x->p - x->start) : 0;
}

static void
piece_lines(struct linescan *s, struct piece *x)
{
	while (x->p < x->end && !s->stopped) {
		const uint8_t *from, *nl;
		size_t left = (size_t)(x->end - x->p), room;

		if (!s->open)
			line_begin(s, x);
		room = LINE_MAX_BYTES - s->part.len;
		from = x->p;
		nl = memchr(from, '\n', left < room + 1 ? left : room + 1);
		if (!nl && left <= room) {
			strbuf_add(&s->part, from, left);
			x->p = x->end;
			return;
		}
		x->p = nl ? nl + 1 : from + room;
		line_end(s, from, nl ? (size_t)(nl - from) : room, x->fn, x->arg);
		line_next(s, x);
	}
}

static void
piece_step_start(struct linescan *s, struct piece *x)
{
	size_t len = (size_t)(x->end - x->p);

	s->next.style = (struct ansi_style){ 0 };
	line_begin(s, x);
	x->p = x->end;
	line_end(s, x->start, len < LINE_MAX_BYTES ? len : LINE_MAX_BYTES, x->fn,
		 x->arg);
	line_next(s, x);
}

static void
piece_note(struct linescan *s, struct piece *x)
{
	if (x->f->len == 0)
		line_begin(s, x);
	piece_lines(s, x);
	if (s->open)
		line_end(s, x->end, 0, x->fn, x->arg);
	line_next(s, x);
}

static void
scan_frame(struct linescan *s, struct piece *x)
{
	if (s->open &&
	    (x->f->type != s->line.frame.type || x->f->step != s->line.frame.step)) {
		line_end(s, x->start, 0, x->fn, x->arg);
		x->p = x->start;
		s->next.frame = x->at;
		s->next.skip = 0;
	}
	if (s->stopped)
		return;
	if (frame_is_output(x->f))
		piece_lines(s, x);
	else if (x->f->type == FRAME_STEP_START)
		piece_step_start(s, x);
	else if (x->f->type == FRAME_NOTE)
		piece_note(s, x);
}

size_t
linescan_feed(struct linescan *s, const uint8_t *data, size_t len, uint64_t offset,
	      linescan_fn *fn, void *arg)
{
	size_t at = 0;
	struct frame f;

	while (!s->stopped && len - at >= FRAME_HEADER_LEN) {
		struct piece x = { .f = &f, .at = offset + at, .fn = fn, .arg = arg };
		uint32_t skip = 0;

		frame_decode(&f, data + at);
		if (f.len > FRAME_PAYLOAD_MAX || f.type == 0 || f.type >= FRAME_TYPES) {
			s->damaged = true;
			break;
		}
		if (len - at - FRAME_HEADER_LEN < f.len)
			break;
		if (!s->open && s->next.frame == x.at)
			skip = s->next.skip < f.len ? s->next.skip : f.len;
		x.start = data + at + FRAME_HEADER_LEN;
		x.p = x.start + skip;
		x.end = x.start + f.len;
		scan_frame(s, &x);
		at += FRAME_HEADER_LEN + f.len;
	}
	return at;
}

void
linescan_finish(struct linescan *s, linescan_fn *fn, void *arg)
{
	if (!s->open || s->stopped)
		return;
	s->line.text = (const uint8_t *)strbuf_str(&s->part);
	s->line.len = s->part.len;
	s->line.open = true;
	fn(arg, &s->line);
}
