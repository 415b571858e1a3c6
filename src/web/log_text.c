#include "render.h"

#include <string.h>

#include "slipway/clock.h"

/*
 * The log for people: a line "[name]" before each step's output, and again where output
 * of an earlier step's left-over processes comes in between; then its bytes as printed.
 * Notes are lines that begin with "* ". With times, lines of output and notes begin with
 * the time at which the first of their bytes was written to the log.
 */

static void
text_line_begin(struct render *r, struct strbuf *out)
{
	if (r->in_line)
		strbuf_addc(out, '\n');
	r->in_line = false;
}

static void
text_section(struct render *r, unsigned step, const void *name, size_t len,
	     struct strbuf *out)
{
	if (r->section == (int)step)
		return;
	r->section = (int)step;
	text_line_begin(r, out);
	strbuf_addc(out, '[');
	strbuf_add(out, name, len);
	strbuf_adds(out, "]\n");
}

static void
text_step_start(struct render *r, const struct frame *f, const uint8_t *p,
		uint64_t offset, struct strbuf *out)
{
	if (!render_skip_step(r))
		text_section(r, f->step, p, f->len, out);
}

static void
text_time(const struct render *r, int64_t ms, struct strbuf *out)
{
	char time[CLOCK_ISO_SIZE];

	if (!r->times)
		return;
	clock_format_iso(ms, time);
	strbuf_addf(out, "%s ", time);
}

static void
text_timed(const struct render *r, const struct frame *f, const uint8_t *p, size_t len,
	   struct strbuf *out)
{
	const uint8_t *end = p + len, *nl;
	bool begins = !r->in_line;

	for (; p < end; p = nl) {
		nl = memchr(p, '\n', (size_t)(end - p));
		nl = nl ? nl + 1 : end;
		if (begins)
			text_time(r, (int64_t)f->time_ms, out);
		strbuf_add(out, p, (size_t)(nl - p));
		begins = true;
	}
}

static void
text_output(struct render *r, const struct frame *f, const uint8_t *p, uint64_t offset,
	    struct strbuf *out)
{
	const char *name = f->step < r->steps->n ? r->steps->names[f->step] : "?";
	uint32_t len = f->len;

	if (len == 0 || !render_skip(r, &p, &len))
		return;
	text_section(r, f->step, name, strlen(name), out);
	if (r->times)
		text_timed(r, f, p, len, out);
	else
		strbuf_add(out, p, len);
	r->in_line = p[len - 1] != '\n';
}

static void
text_note_line(const void *text, size_t len, struct strbuf *out)
{
	strbuf_adds(out, "* ");
	strbuf_add(out, text, len);
	strbuf_addc(out, '\n');
}

static void
text_note_frame(struct render *r, const struct frame *f, const uint8_t *p,
		uint64_t offset, struct strbuf *out)
{
	if (r->skip > 0)
		return;
	text_line_begin(r, out);
	text_time(r, (int64_t)f->time_ms, out);
	text_note_line(p, f->len, out);
}

/* Alone on its line, whatever was before: who adds it goes on behind it. */
static void
text_note(const struct render *r, const char *text, size_t len, bool error,
	  struct strbuf *out)
{
	if (r->in_line)
		strbuf_addc(out, '\n');
	text_time(r, clock_wall_ms(), out);
	text_note_line(text, len, out);
}

const struct render_form render_text = {
	.type = "text/plain; charset=utf-8",
	.frame = {
		[FRAME_STEP_START] = text_step_start,
		[FRAME_STDOUT] = text_output,
		[FRAME_STDERR] = text_output,
		[FRAME_NOTE] = text_note_frame,
	},
	.note = text_note,
};
