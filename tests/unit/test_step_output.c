#include <criterion/criterion.h>

#include "frames_fixture.h"
#include "web/step_output.h"

static void
add_bytes(struct strbuf *log, uint16_t step, char c, size_t n)
{
	char buf[FRAME_OUTPUT_TARGET];

	memset(buf, c, sizeof(buf));
	while (n > 0) {
		size_t len = n < sizeof(buf) ? n : sizeof(buf);

		add_frame(log, &(struct frame){ .type = FRAME_STDOUT, .step = step },
			  buf, len);
		n -= len;
	}
}

static struct step_outputs
gather(const struct strbuf *log, size_t nsteps)
{
	struct step_outputs o;

	step_outputs_init(&o, nsteps);
	step_outputs_add(&o, (uint8_t *)log->data, log->len);
	step_outputs_finish(&o);
	return o;
}

Test(step_output, both_streams_go_to_their_step_in_order)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct step_outputs o;

	add_output(&log, 0, "a\n");
	add_frame(&log, &(struct frame){ .type = FRAME_STDERR, .step = 0 }, "b\n", 2);
	add_output(&log, 1, "c\n");
	add_output(&log, 9, "nowhere\n");
	o = gather(&log, 3);
	cr_expect_str_eq(step_outputs_get(&o, 0)->data, "a\nb\n");
	cr_expect_str_eq(step_outputs_get(&o, 1)->data, "c\n");
	cr_expect_eq(step_outputs_get(&o, 2)->len, 0);
	cr_expect_null(step_outputs_get(&o, 3));
	step_outputs_free(&o);
}

Test(step_output, a_step_keeps_its_last_64_kib)
{
	cleanup_strbuf struct strbuf log = { 0 };
	const struct strbuf *b;
	struct step_outputs o;

	add_bytes(&log, 0, 'x', STEP_OUTPUT_MAX * 9);
	add_output(&log, 0, "the end\n");
	o = gather(&log, 1);
	b = step_outputs_get(&o, 0);
	cr_assert_eq(b->len, STEP_OUTPUT_MAX);
	cr_expect_str_eq(b->data + b->len - 9, "xthe end\n");
	step_outputs_free(&o);
}

Test(step_output, exactly_64_kib_are_whole)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct step_outputs o;

	add_output(&log, 0, "A");
	add_bytes(&log, 0, 'x', STEP_OUTPUT_MAX - 1);
	o = gather(&log, 1);
	cr_expect_eq(step_outputs_get(&o, 0)->len, STEP_OUTPUT_MAX);
	cr_expect_eq(step_outputs_get(&o, 0)->data[0], 'A');
	step_outputs_free(&o);
}

Test(step_output, a_cut_does_not_split_a_character)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct step_outputs o;

	add_output(&log, 0, "\xe2\x82\xac");
	add_bytes(&log, 0, 'x', STEP_OUTPUT_MAX - 1);
	o = gather(&log, 1);
	cr_expect_eq(step_outputs_get(&o, 0)->len, STEP_OUTPUT_MAX - 1);
	cr_expect_eq(step_outputs_get(&o, 0)->data[0], 'x');
	step_outputs_free(&o);
}

Test(step_output, bytes_that_are_not_utf8_do_not_pass_the_limit)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct step_outputs o;

	add_bytes(&log, 0, '\xff', STEP_OUTPUT_MAX);
	o = gather(&log, 1);
	cr_expect_leq(step_outputs_get(&o, 0)->len, STEP_OUTPUT_MAX);
	cr_expect_eq(memcmp(step_outputs_get(&o, 0)->data, "\xef\xbf\xbd", 3), 0);
	step_outputs_free(&o);
}

Test(step_output, an_answer_holds_one_mib_and_later_steps_come_first)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct step_outputs o;
	size_t total = 0;

	for (uint16_t i = 0; i < 18; i++)
		add_bytes(&log, i, 'x', STEP_OUTPUT_MAX);
	o = gather(&log, 18);
	for (size_t i = 0; i < 18; i++)
		total += step_outputs_get(&o, i) ? step_outputs_get(&o, i)->len : 0;
	cr_expect_eq(total, STEP_OUTPUTS_MAX);
	cr_expect_null(step_outputs_get(&o, 1));
	cr_expect_eq(step_outputs_get(&o, 2)->len, STEP_OUTPUT_MAX);
	step_outputs_free(&o);
}

Test(step_output, nothing_is_not_claimed_of_what_was_not_read)
{
	cleanup_strbuf struct strbuf log = { 0 };
	struct step_outputs o;

	add_output(&log, 1, "b\n");
	step_outputs_init(&o, 2);
	o.from_start = false;
	step_outputs_add(&o, (uint8_t *)log.data, log.len);
	step_outputs_finish(&o);
	cr_expect_null(step_outputs_get(&o, 0));
	cr_expect_not_null(step_outputs_get(&o, 1));
	step_outputs_free(&o);
}
