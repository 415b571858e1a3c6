#include <criterion/criterion.h>

#include "frames_fixture.h"

static void
expect(struct render *r, const struct strbuf *log, const char *want)
{
	cleanup_strbuf struct strbuf out = { 0 };

	render_log(r, log, &out);
	cr_expect_str_eq(strbuf_str(&out), want);
}

Test(log_text, each_step_has_a_line_with_its_name)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_note(&log, "cloned", 0);
	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "a\r\nb\n");
	add_step_end(&log, 0, 0, 0, 2);
	add_step_start(&log, 1, "test", 3);
	add_step_end(&log, 1, 1, 0, 4);
	expect(render_begin(&x, &render_text), &log, "* cloned\n[build]\na\r\nb\n[test]\n");
}

Test(log_text, a_new_section_begins_on_its_own_line)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "no end");
	add_note(&log, "late", 0);
	add_output(&log, 0, "...");
	add_step_start(&log, 1, "test", 3);
	expect(render_begin(&x, &render_text), &log, "[build]\nno end\n* late\n...\n[test]\n");
}

Test(log_text, late_output_of_an_earlier_step_is_marked)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_step_start(&log, 0, "build", 1);
	add_step_start(&log, 1, "test", 2);
	add_output(&log, 0, "server\n");
	add_output(&log, 1, "t\n");
	expect(render_begin(&x, &render_text), &log, "[build]\n[test]\n[build]\nserver\n[test]\nt\n");
}

Test(log_text, bytes_stay_as_printed)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_output(&log, 0, "\xff\x1b[31mred\n");
	expect(render_begin(&x, &render_text), &log, "[build]\n\xff\x1b[31mred\n");
}

Test(log_text, a_tail_begins_with_the_name_of_its_step)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;
	struct render *r = render_begin(&x, &render_text);

	add_note(&log, "cloned", 0);
	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "1\n2\n3\n");
	r->skip = 2;
	expect(r, &log, "[build]\n3\n");
}

Test(log_text, pieces_join_without_a_seam)
{
	cleanup_strbuf struct strbuf log = { 0 }, out = { 0 };
	struct render_fixture x;
	struct render *r = render_begin(&x, &render_text);
	size_t first;

	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "a");
	first = log.len;
	add_output(&log, 0, "b\n");
	cr_expect_eq(render_frames(r, (uint8_t *)log.data, first, 8, SIZE_MAX, &out),
		     8 + first);
	render_frames(r, (uint8_t *)log.data + first, log.len - first, 8 + first,
		      SIZE_MAX, &out);
	cr_expect_str_eq(out.data, "[build]\nab\n");
}

Test(log_text, times_stand_at_the_begin_of_lines_only)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;
	struct render *r = render_begin(&x, &render_text);
	const struct frame at = { .type = FRAME_STDOUT, .time_ms = 1500 };

	r->times = true;
	add_frame(&log, &at, "a\nb", 3);
	add_frame(&log, &at, "c\n", 2);
	expect(r, &log,
	       "[build]\n1970-01-01T00:00:01.500Z a\n1970-01-01T00:00:01.500Z bc\n");
}
