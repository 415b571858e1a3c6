#include <criterion/criterion.h>

#include "cli/sse_parse.h"
#include "frames_fixture.h"

static void
on_event(void *arg, const struct sse_event *ev)
{
	struct strbuf *seen = arg;

	strbuf_addf(seen, "<%s|%s|%s%s>", ev->name, ev->id, ev->data,
		    ev->partial ? "|partial" : "");
}

static void
expect_pieces(const char *text, size_t piece, const char *want)
{
	cleanup_strbuf struct strbuf seen = { 0 };
	struct sse_parser p = { .on_event = on_event, .arg = &seen };
	size_t len = strlen(text);

	for (size_t at = 0; at < len; at += piece)
		cr_assert_eq(sse_parser_feed(&p, text + at,
					     len - at < piece ? len - at : piece),
			     0);
	cr_expect_str_eq(strbuf_str(&seen), want, "in pieces of %zu", piece);
	sse_parser_free(&p);
}

/* However the bytes come. */
static void
expect(const char *text, const char *want)
{
	for (size_t piece = 1; piece <= strlen(text); piece++)
		expect_pieces(text, piece, want);
}

Test(sse_parse, events_end_with_an_empty_line)
{
	expect("data: a\n\ndata: b\n", "<message||a>");
}

Test(sse_parse, all_line_ends_are_the_same)
{
	expect("data: a\r\ndata: b\r\n\r\ndata: c\r\rdata: d\n\n",
	       "<message||a\nb><message||c><message||d>");
}

Test(sse_parse, names_and_ids)
{
	expect("id: 1-10\nevent: step\ndata: {}\n\ndata:x\n\nid\ndata: y\n\n",
	       "<step|1-10|{}><message|1-10|x><message||y>");
}

Test(sse_parse, comments_and_unknown_fields_do_nothing)
{
	expect(": still here\n\nretry: 5\nfoo: bar\ndata: a\n\n", "<message||a>");
}

Test(sse_parse, one_space_after_the_colon_goes)
{
	expect("data:  a\ndata:b\ndata\ndata: \n\n", "<message|| a\nb\n\n>");
}

Test(sse_parse, an_empty_line_of_output_is_an_event)
{
	expect("data: \n\n", "<message||>");
}

Test(sse_parse, partial_output_is_known)
{
	expect(": partial\ndata: a\n\ndata: b\n\n", "<message||a|partial><message||b>");
}

Test(sse_parse, a_byte_order_mark_is_skipped)
{
	expect("\xef\xbb\xbf"
	       "data: a\n\n",
	       "<message||a>");
}

Test(sse_parse, an_id_counts_when_its_event_is_whole)
{
	cleanup_strbuf struct strbuf seen = { 0 };
	struct sse_parser p = { .on_event = on_event, .arg = &seen };
	static const char text[] = "id: 1-8\ndata: a\n\nid: 1-9\ndata: b\n";

	sse_parser_feed(&p, text, sizeof(text) - 1);
	cr_expect_str_eq(strbuf_str(&p.id), "1-8");
	sse_parser_restart(&p);
	sse_parser_feed(&p, "\n", 1);
	cr_expect_str_eq(strbuf_str(&seen), "<message|1-8|a>");
	cr_expect_str_eq(strbuf_str(&p.id), "1-8");
	sse_parser_free(&p);
}

Test(sse_parse, a_line_has_a_limit)
{
	struct sse_parser p = { .on_event = on_event };
	char *line = xmalloc(SSE_LINE_MAX);

	memset(line, ':', SSE_LINE_MAX);
	cr_expect_eq(sse_parser_feed(&p, line, SSE_LINE_MAX), 0);
	cr_expect_eq(sse_parser_feed(&p, line, 1), -1);
	sse_parser_free(&p);
	free(line);
}

Test(sse_parse, an_event_has_a_limit)
{
	struct sse_parser p = { .on_event = on_event };
	size_t len = SSE_DATA_MAX / 8;
	char *line = xmalloc(len + 1);
	int fed = 0;

	memset(line, 'x', len);
	memcpy(line, "data:", 5);
	line[len] = '\n';
	while (fed < 9 && sse_parser_feed(&p, line, len + 1) == 0)
		fed++;
	cr_expect_eq(fed, 8);
	sse_parser_free(&p);
	free(line);
}

static void
on_join(void *arg, const struct sse_event *ev)
{
	strbuf_add(arg, ev->data, ev->len);
	if (!ev->partial)
		strbuf_addc(arg, '\n');
}

Test(sse_parse, output_survives_the_way_to_the_client)
{
	cleanup_strbuf struct strbuf log = { 0 }, sse = { 0 }, got = { 0 };
	struct sse_parser p = { .on_event = on_join, .arg = &got };
	struct render_fixture x;

	add_output(&log, 0, "a\n\n  b: c\n");
	add_output(&log, 0, "half ");
	add_output(&log, 0, "line\n");
	add_output(&log, 0, "\n");
	add_output(&log, 0, "data: x");
	render_log(render_begin(&x, &render_sse), &log, &sse);
	cr_assert_eq(sse_parser_feed(&p, sse.data, sse.len), 0);
	cr_expect_str_eq(got.data, "a\n\n  b: c\nhalf line\n\ndata: x");
	sse_parser_free(&p);
}
