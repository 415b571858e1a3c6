#include "engine/lines.h"
#include "fuzz.h"
#include "slipway/utf8.h"
#include "web/lines_view.h"

/* What a spool may hold as lines: the same from whichever line one begins to read, and
 * always text for those who look at it. */

struct got {
	uint64_t n, bytes;
	struct line_place third;
};

static bool
on_line(void *arg, const struct scanned_line *l)
{
	struct got *g = arg;

	fuzz_must(l->len <= LINE_MAX_BYTES);
	fuzz_must(ansi_style_is_valid(&l->at.style));
	if (++g->n == 3) {
		g->third = l->at;
		g->bytes = 0;
	}
	g->bytes += l->len;
	return true;
}

static void
scan(const uint8_t *data, size_t size, const struct line_place *at, struct got *g)
{
	size_t skip = (size_t)(at->frame - SPOOL_HEADER_LEN);
	struct linescan s;

	linescan_init(&s, at);
	fuzz_must(linescan_feed(&s, data + skip, size - skip, at->frame, on_line, g) <=
		  size - skip);
	linescan_finish(&s, on_line, g);
	linescan_free(&s);
}

static void
on_run(void *arg, const struct ansi_style *s, const char *text, size_t len)
{
	fuzz_must(len > 0 && ansi_style_is_valid(s));
	for (size_t i = 0; i < len; i++)
		fuzz_must((unsigned char)text[i] >= 0x20 || text[i] == '\t');
}

static void
check_view(const uint8_t *data, size_t size)
{
	struct log_line line = { .type = size ? data[0] % FRAME_TYPES : 0,
				 .len = size };
	struct line_window w = { .from = 1, .lines = &line, .n = 1 };
	cleanup_strbuf struct strbuf json = { 0 }, html = { 0 };
	struct ansi_style style = { 0 }, skipped = { 0 };

	strbuf_add(&w.text, data, size);
	lines_json(&w, &json);
	lines_html(&w, &html);
	fuzz_must(utf8_is_valid(json.data, json.len));
	fuzz_must(utf8_is_valid(html.data, html.len));
	for (size_t i = 0; i < json.len; i++)
		fuzz_must((unsigned char)json.data[i] >= 0x20);
	/* The only markup is ours. */
	for (const char *p = html.data; (p = strchr(p, '<')); p++)
		fuzz_must(
			!strncmp(p, "<div class=\"l ", 14) ||
			!strncmp(p, "<a href=\"#L1\">", 14) || !strncmp(p, "</a>", 4) ||
			!strncmp(p, "<time datetime=\"", 16) ||
			!strncmp(p, "</time>", 7) ||
			!strncmp(p, "<span class=\"", 13) || !strncmp(p, "<span>", 6) ||
			!strncmp(p, "</span>", 7) || !strncmp(p, "</div>\n", 7));
	ansi_skip(&skipped, data, size);
	ansi_line(&style, data, size, on_run, NULL);
	fuzz_must(ansi_style_same(&style, &skipped));
	strbuf_free(&w.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct line_place start = { .frame = SPOOL_HEADER_LEN };
	struct got all = { 0 }, rest = { 0 };
	struct lines_head head;
	struct line_place place;

	scan(data, size, &start, &all);
	if (all.n >= 3) {
		scan(data, size, &all.third, &rest);
		fuzz_must(rest.n == all.n - 2);
	}
	check_view(data, size);
	if (size >= LINES_HEAD_LEN)
		lines_head_decode(&head, data);
	if (size >= LINES_MARK_LEN)
		lines_mark_decode(&place, 0, data);
	return 0;
}
