#include <criterion/criterion.h>

#include "frames_fixture.h"

static struct strbuf
sse_of(struct render *r, const struct strbuf *log)
{
	struct strbuf out = { 0 };

	render_log(r, log, &out);
	return out;
}

static void
expect(struct render *r, const struct strbuf *log, const char *want)
{
	struct strbuf out = sse_of(r, log);

	cr_expect_str_eq(strbuf_str(&out), want);
	strbuf_free(&out);
}

static void
expect_output(const char *output, const char *want)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_output(&log, 0, output);
	expect(render_begin(&x, &render_sse), &log, want);
}

Test(sse, a_frame_is_one_event_with_a_data_field_per_line)
{
	expect_output("one\ntwo\n", "id: 2-32\ndata: one\ndata: two\n\n");
}

Test(sse, empty_lines_stay)
{
	expect_output("\n", "id: 2-25\ndata: \n\n");
	expect_output("\n\na\n", "id: 2-28\ndata: \ndata: \ndata: a\n\n");
}

Test(sse, carriage_returns_end_lines)
{
	expect_output("a\r\nb\n", "id: 2-29\ndata: a\ndata: b\n\n");
	expect_output("10%\r20%\n", "id: 2-32\ndata: 10%\ndata: 20%\n\n");
	expect_output("a\n\rb\n", "id: 2-29\ndata: a\ndata: \ndata: b\n\n");
}

Test(sse, a_partial_frame_says_so_in_a_comment)
{
	expect_output("a\nb", ": partial\nid: 2-27\ndata: a\ndata: b\n\n");
}

Test(sse, what_is_not_utf8_is_replaced)
{
	expect_output("a\xff\xc3(\n", "id: 2-29\ndata: a\xef\xbf\xbd\xef\xbf\xbd(\n\n");
}

Test(sse, steps_tell_their_end_with_duration_and_exit_code)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_step_start(&log, 0, "build", 1000);
	add_step_end(&log, 0, 0, 0, 1250);
	add_step_end(&log, 1, 7, 0, 2000);
	expect(render_begin(&x, &render_sse), &log,
	       "id: 2-29\nevent: step\n"
	       "data: {\"index\":0,\"name\":\"build\",\"status\":\"running\"}\n\n"
	       "id: 2-78\nevent: step\n"
	       "data: {\"index\":0,\"name\":\"build\",\"status\":\"success\","
	       "\"exitCode\":0,\"duration\":250}\n\n"
	       "id: 2-127\nevent: step\n"
	       "data: {\"index\":1,\"name\":\"test\",\"status\":\"failure\","
	       "\"exitCode\":7}\n\n");
}

Test(sse, skipped_and_timed_out_steps)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_step_end(&log, 0, 0, STEP_END_TIMED_OUT, 1);
	add_step_end(&log, 1, 0, STEP_END_SKIPPED, 1);
	expect(render_begin(&x, &render_sse), &log,
	       "id: 2-57\nevent: step\n"
	       "data: {\"index\":0,\"name\":\"build\",\"status\":\"failure\","
	       "\"exitCode\":0}\n\n"
	       "id: 2-106\nevent: step\n"
	       "data: {\"index\":1,\"name\":\"test\",\"status\":\"skipped\"}\n\n");
}

Test(sse, notes_keep_their_text_on_one_data_line)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_note(&log, "a\nb", FRAME_ERROR);
	expect(render_begin(&x, &render_sse), &log,
	       "id: 2-27\nevent: note\ndata: {\"text\":\"a\\nb\",\"error\":true}\n\n");
}

Test(sse, a_step_filter_hides_the_others)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;
	struct render *r = render_begin(&x, &render_sse);

	add_note(&log, "hello", 0);
	add_output(&log, 0, "a\n");
	add_output(&log, 1, "b\n");
	r->step = 1;
	expect(r, &log, "id: 2-65\ndata: b\n\n");
}

Test(sse, a_step_that_begins_ends_a_line_that_was_left_open)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;
	struct render *r = render_begin(&x, &render_sse);
	bool open = false;

	add_output(&log, 0, "1\n2");
	add_step_start(&log, 1, "test", 1);
	add_output(&log, 1, "3\n");
	cr_assert_eq(render_count(r, (uint8_t *)log.data, log.len, &open), 3);
	r->skip = 2;
	expect(r, &log,
	       "id: 2-47\nevent: step\n"
	       "data: {\"index\":1,\"name\":\"test\",\"status\":\"running\"}\n\n"
	       "id: 2-65\ndata: 3\n\n");
}

Test(sse, skipping_lines_begins_inside_a_frame)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;
	struct render *r = render_begin(&x, &render_sse);
	bool open = false;

	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "1\n2\n3");
	add_output(&log, 0, ".5\n4\n");
	cr_assert_eq(render_count(r, (uint8_t *)log.data, log.len, &open), 4);
	cr_assert_not(open);
	r->skip = 2;
	expect(r, &log,
	       ": partial\nid: 2-50\ndata: 3\n\n"
	       "id: 2-71\ndata: .5\ndata: 4\n\n");
}

Test(sse, a_torn_frame_ends_the_piece)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct render_fixture x;

	add_output(&log, 0, "a\n");
	add_output(&log, 0, "b\n");
	log.len--;
	expect(render_begin(&x, &render_sse), &log, "id: 2-26\ndata: a\n\n");
}

Test(sse, end_tells_the_final_state)
{
	cleanup_strbuf struct strbuf out = { 0 };
	const struct render_status s = {
		.id = "j",
		.state = JOB_FAILURE,
		.reason = REASON_STEP_FAILED,
		.attempt = 2,
		.error = "step \"x\" failed",
		.wait_reason = "",
		.started_at = 100,
		.finished_at = 350,
	};

	render_sse.end(&s, &out);
	cr_expect_str_eq(out.data,
			 "event: end\ndata: {\"id\":\"j\",\"status\":\"failure\","
			 "\"attempt\":2,\"reason\":\"step_failed\","
			 "\"error\":\"step \\\"x\\\" failed\",\"duration\":250}\n\n");
}

Test(sse, status_of_a_queued_job_tells_why_it_waits)
{
	cleanup_strbuf struct strbuf out = { 0 };
	const struct render_status s = { .id = "j",
					 .state = JOB_QUEUED,
					 .attempt = 1,
					 .error = "",
					 .wait_reason = "all slots busy",
					 .position = 3 };

	render_sse.status(&s, &out);
	cr_expect_str_eq(out.data,
			 "event: status\ndata: {\"id\":\"j\",\"status\":\"queued\","
			 "\"attempt\":1,\"waitReason\":\"all slots busy\","
			 "\"queuePosition\":3}\n\n");
}
