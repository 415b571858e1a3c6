#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/linescan.h"
#include "frames_fixture.h"

/* Lines are compared as "[type]text", joined by '|'; "~" before one that is open. */
struct got {
	struct strbuf out;
	struct line_place places[64];
	unsigned n, stop_at;
};

static bool
on_line(void *arg, const struct scanned_line *l)
{
	struct got *g = arg;

	if (g->n < 64)
		g->places[g->n] = l->at;
	strbuf_addf(&g->out, "%s%s%.*s", g->n ? "|" : "", l->open ? "~" : "",
		    (int)l->len, (const char *)l->text);
	return ++g->n != g->stop_at;
}

static const struct line_place start = { .frame = SPOOL_HEADER_LEN };

/* In pieces that grow by step bytes, as a reader would see a log grow. */
static void
scan(const struct strbuf *log, const struct line_place *from, size_t step,
     struct got *g)
{
	struct linescan s;
	size_t at = from->frame - SPOOL_HEADER_LEN, known = at, used;

	linescan_init(&s, from);
	do {
		known = known + step < log->len ? known + step : log->len;
		used = linescan_feed(&s, (uint8_t *)log->data + at, known - at,
				     SPOOL_HEADER_LEN + at, on_line, g);
		at += used;
	} while (known < log->len || used > 0);
	cr_expect_not(s.damaged);
	linescan_finish(&s, on_line, g);
	linescan_free(&s);
}

/* The same lines, however the log is cut and from whichever line it is read. */
static void
expect_lines(const struct strbuf *log, const char *want)
{
	static const size_t steps[] = { 1, 7, 100, 1u << 20 };
	struct got whole = { 0 };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct got g = { 0 };

		scan(log, &start, steps[i], &g);
		cr_expect_str_eq(strbuf_str(&g.out), want, "step %zu: %s", steps[i],
				 strbuf_str(&g.out));
		strbuf_free(&g.out);
	}
	scan(log, &start, 1u << 20, &whole);
	for (unsigned i = 1; i < whole.n; i++) {
		struct got g = { 0 };
		size_t len;

		scan(log, &whole.places[i], 1u << 20, &g);
		len = g.out.len;
		cr_expect(len <= whole.out.len &&
				  strcmp(whole.out.data + whole.out.len - len,
					 strbuf_str(&g.out)) == 0,
			  "from line %u: %s", i + 1, strbuf_str(&g.out));
		cr_expect_eq(g.n, whole.n - i);
		strbuf_free(&g.out);
	}
	strbuf_free(&whole.out);
}

static void
add_stderr(struct strbuf *log, uint16_t step, const char *text)
{
	add_frame(log, &(struct frame){ .type = FRAME_STDERR, .step = step }, text,
		  strlen(text));
}

Test(linescan, output_notes_and_steps_are_lines)
{
	cleanup_strbuf struct strbuf log = { 0 };

	add_note(&log, "cloned", 0);
	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "a\nb\n\nc\n");
	add_stderr(&log, 0, "d\n");
	add_step_end(&log, 0, 0, 0, 2);
	add_note(&log, "", 0);
	add_note(&log, "two\nlines", 0);
	expect_lines(&log, "cloned|build|a|b||c|d||two|lines");
}

Test(linescan, a_line_goes_on_over_frames_of_its_stream)
{
	cleanup_strbuf struct strbuf log = { 0 };

	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "a");
	add_output(&log, 0, "b");
	add_output(&log, 0, "c\nd");
	expect_lines(&log, "build|abc|~d");
}

Test(linescan, anything_else_ends_it)
{
	cleanup_strbuf struct strbuf log = { 0 };

	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "out");
	add_stderr(&log, 0, "err");
	add_output(&log, 0, "more");
	add_step_end(&log, 0, 0, 0, 2);
	add_output(&log, 0, "late");
	add_step_start(&log, 1, "test", 3);
	add_output(&log, 1, "x");
	add_output(&log, 0, "y");
	add_note(&log, "end", 0);
	expect_lines(&log, "build|out|err|more|late|test|x|y|end");
}

Test(linescan, long_lines_go_on_as_another)
{
	cleanup_strbuf struct strbuf log = { 0 }, want = { 0 }, text = { 0 };

	for (size_t i = 0; i < LINE_MAX_BYTES; i++)
		strbuf_addc(&text, 'x');
	strbuf_addc(&text, '\n'); /* exactly the limit */
	add_output(&log, 0, text.data);
	strbuf_add(&want, text.data, LINE_MAX_BYTES);
	text.data[LINE_MAX_BYTES] = 'y'; /* and one more */
	add_output(&log, 0, text.data);
	add_output(&log, 0, "z\n");
	strbuf_addf(&want, "|%.*s|yz", (int)LINE_MAX_BYTES, text.data);
	expect_lines(&log, want.data);
}

Test(linescan, styles_go_on_until_the_step_ends)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct got g = { 0 };

	add_step_start(&log, 0, "a", 1);
	add_output(&log, 0, "\x1b[31mred\n");
	add_note(&log, "\x1b[1mnote", 0);
	add_output(&log, 0, "red too\n");
	add_step_start(&log, 1, "b", 2);
	add_output(&log, 1, "plain\n");
	scan(&log, &start, 1u << 20, &g);
	cr_assert_eq(g.n, 6);
	cr_expect_eq(g.places[1].style.fg, 0);
	cr_expect_eq(g.places[3].style.fg, 2);
	cr_expect_eq(g.places[3].style.attrs, 0);
	cr_expect_eq(g.places[5].style.fg, 0);
	strbuf_free(&g.out);
}

Test(linescan, stops_when_told)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct got g = { .stop_at = 2 };

	add_output(&log, 0, "a\nb\nc\n");
	add_output(&log, 0, "d\n");
	scan(&log, &start, 1u << 20, &g);
	cr_expect_str_eq(g.out.data, "a|b");
	strbuf_free(&g.out);
}

Test(linescan, damage_is_told_and_ends_it)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct got g = { 0 };
	struct linescan s;
	size_t good;

	add_output(&log, 0, "a\n");
	good = log.len;
	add_frame(&log, &(struct frame){ .type = 77 }, "x", 1);
	linescan_init(&s, &start);
	cr_expect_eq(linescan_feed(&s, (uint8_t *)log.data, log.len, SPOOL_HEADER_LEN,
				   on_line, &g),
		     good);
	cr_expect(s.damaged);
	linescan_free(&s);
	strbuf_free(&g.out);
}
