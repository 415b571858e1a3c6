#include "lines_view.h"

#include <stdio.h>
#include <string.h>

#include "html.h"
#include "slipway/clock.h"
#include "slipway/frame.h"
#include "slipway/utf8.h"

#define CLASSES_MAX 32

static const char *
stream_name(const struct log_line *l)
{
	switch (l->type) {
	case FRAME_STDERR: return "stderr";
	case FRAME_STEP_START: return "step";
	case FRAME_NOTE: return l->flags & FRAME_ERROR ? "error" : "note";
	default: return "stdout";
	}
}

static void
class_colour(char *out, size_t *len, char ground, unsigned colour)
{
	if (colour == 0)
		*len += (size_t)snprintf(out + *len, CLASSES_MAX - *len, "%ci ",
					 ground);
	else
		*len += (size_t)snprintf(out + *len, CLASSES_MAX - *len, "%c%u ",
					 ground, colour - 1);
}

/* "b f1 g g4" */
static void
classes_of(const struct ansi_style *s, char out[CLASSES_MAX])
{
	static const char letters[] = "bdiu\0s";
	bool inverse = s->attrs & ANSI_INVERSE;
	uint16_t fg = inverse ? s->bg : s->fg, bg = inverse ? s->fg : s->bg;
	size_t len = 0;

	for (unsigned i = 0; i < 6; i++) {
		if (!(s->attrs & 1u << i) || !letters[i])
			continue;
		out[len++] = letters[i];
		out[len++] = ' ';
	}
	if (fg)
		class_colour(out, &len, 'f', fg);
	if (bg || inverse) {
		out[len++] = 'g';
		out[len++] = ' ';
		class_colour(out, &len, 'g', bg);
	}
	out[len ? len - 1 : 0] = '\0';
}

/* JSON */

static void
json_escaped(struct strbuf *out, const char *s, size_t len)
{
	const char *good = s, *end = s + len;

	for (; s < end; s++) {
		if ((unsigned char)*s >= 0x20 && *s != '"' && *s != '\\')
			continue;
		strbuf_add(out, good, (size_t)(s - good));
		if (*s == '"' || *s == '\\')
			strbuf_addf(out, "\\%c", *s);
		else
			strbuf_addf(out, "\\u%04x", (unsigned)*s);
		good = s + 1;
	}
	strbuf_add(out, good, (size_t)(end - good));
}

void
json_quote(struct strbuf *out, const char *s, size_t len)
{
	cleanup_strbuf struct strbuf valid = { 0 };

	strbuf_add_utf8(&valid, s, len);
	strbuf_addc(out, '"');
	json_escaped(out, strbuf_str(&valid), valid.len);
	strbuf_addc(out, '"');
}

struct json_line {
	struct strbuf *text, *spans, *run;
	struct ansi_style style; /* of the span under way */
	uint64_t units, from;
};

static uint64_t
utf16_units(const char *s, size_t len)
{
	uint64_t n = 0;

	/* A character beyond the first plane begins with 0xf0 or more. */
	for (size_t i = 0; i < len; i++)
		n += ((unsigned char)s[i] & 0xc0) != 0x80;
	for (size_t i = 0; i < len; i++)
		n += (unsigned char)s[i] >= 0xf0;
	return n;
}

static void
span_end(struct json_line *j)
{
	char classes[CLASSES_MAX];

	if (!ansi_style_is_plain(&j->style) && j->units > j->from) {
		classes_of(&j->style, classes);
		strbuf_addf(j->spans, "%s[%llu,%llu,\"%s\"]", j->spans->len ? "," : "",
			    (unsigned long long)j->from,
			    (unsigned long long)(j->units - j->from), classes);
	}
	j->from = j->units;
}

static void
on_json_run(void *arg, const struct ansi_style *style, const char *text, size_t len)
{
	struct json_line *j = arg;

	if (!ansi_style_same(style, &j->style)) {
		span_end(j);
		j->style = *style;
	}
	strbuf_reset(j->run);
	strbuf_add_utf8(j->run, text, len);
	j->units += utf16_units(j->run->data, j->run->len);
	json_escaped(j->text, j->run->data, j->run->len);
}

static void
json_line(const struct line_window *w, size_t i, struct strbuf *out,
	  struct strbuf *spans, struct strbuf *run)
{
	const struct log_line *l = &w->lines[i];
	struct ansi_style style = l->style;
	struct json_line j = { .text = out, .spans = spans, .run = run };

	strbuf_addf(out, "%s{\"n\":%llu,", i ? "," : "",
		    (unsigned long long)(w->from + i));
	if (l->step != FRAME_NO_STEP)
		strbuf_addf(out, "\"step\":%u,", l->step);
	strbuf_addf(out, "\"stream\":\"%s\",\"time\":%lld,\"text\":\"", stream_name(l),
		    (long long)(l->time_ms & INT64_MAX));
	strbuf_reset(spans);
	ansi_line(&style, strbuf_str(&w->text) + l->text, l->len, on_json_run, &j);
	span_end(&j);
	strbuf_addc(out, '"');
	if (spans->len)
		strbuf_addf(out, ",\"spans\":[%s]", spans->data);
	if (l->open)
		strbuf_adds(out, ",\"open\":true");
	strbuf_addc(out, '}');
}

void
lines_json(const struct line_window *w, struct strbuf *out)
{
	cleanup_strbuf struct strbuf spans = { 0 }, run = { 0 };

	strbuf_addc(out, '[');
	for (size_t i = 0; i < w->n; i++)
		json_line(w, i, out, &spans, &run);
	strbuf_addc(out, ']');
}

/* HTML */

struct html_line {
	struct strbuf *out;
	struct ansi_style style;
	struct strbuf run;
};

static void
html_span_end(struct html_line *h)
{
	if (!ansi_style_is_plain(&h->style))
		strbuf_adds(h->out, "</span>");
}

static void
on_html_run(void *arg, const struct ansi_style *style, const char *text, size_t len)
{
	struct html_line *h = arg;
	char classes[CLASSES_MAX];

	if (!ansi_style_same(style, &h->style)) {
		html_span_end(h);
		h->style = *style;
		classes_of(style, classes);
		if (*classes)
			strbuf_addf(h->out, "<span class=\"%s\">", classes);
	}
	strbuf_reset(&h->run);
	strbuf_add(&h->run, text, len);
	html_text(h->out, h->run.data);
}

/* "12:34:56.789"; the script makes it local. */
static void
html_line_time(struct strbuf *out, uint64_t ms)
{
	char iso[CLOCK_ISO_SIZE];

	/* A clock of the sandbox may say anything. */
	clock_format_iso(ms < 253402300800000 ? (int64_t)ms : 0, iso);
	strbuf_addf(out, "<time datetime=\"%s\">%.12s</time>", iso, iso + 11);
}

void
lines_html(const struct line_window *w, struct strbuf *out)
{
	struct html_line h = { .out = out };

	for (size_t i = 0; i < w->n; i++) {
		const struct log_line *l = &w->lines[i];
		struct ansi_style style = l->style;
		unsigned long long n = w->from + i;

		strbuf_addf(out,
			    "<div class=\"l %s\" id=\"L%llu\"><a href=\"#L%llu\">"
			    "%llu</a>",
			    stream_name(l), n, n, n);
		html_line_time(out, l->time_ms);
		strbuf_adds(out, "<span>");
		h.style = (struct ansi_style){ 0 };
		ansi_line(&style, strbuf_str(&w->text) + l->text, l->len, on_html_run,
			  &h);
		html_span_end(&h);
		strbuf_adds(out, "</span></div>\n");
	}
	strbuf_free(&h.run);
}
