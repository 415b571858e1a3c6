#include <criterion/criterion.h>
#include <string.h>

#include "slipway/frame.h"

static struct frame
frame_of(uint8_t type, uint16_t step)
{
	static const uint32_t len[FRAME_TYPES] = {
		[FRAME_JOB_START] = 2,	 [FRAME_STEP_START] = 4, [FRAME_STDOUT] = 10,
		[FRAME_STDERR] = 10,	 [FRAME_STEP_END] = STEP_END_LEN,
		[FRAME_CHECKPOINT] = 4, [FRAME_NOTE] = 5,	 [FRAME_JOB_END] = 1,
	};

	return (struct frame){ .len = len[type], .type = type, .step = step };
}

static const char *
check(struct frame_seq *seq, uint8_t type, uint16_t step)
{
	struct frame f = frame_of(type, step);

	return frame_check(seq, &f);
}

/* A job of three steps, begun. */
static struct frame_seq
begun(void)
{
	struct frame_seq seq = { 0 };

	cr_assert_null(check(&seq, FRAME_JOB_START, FRAME_NO_STEP));
	frame_seq_job_start(&seq, 3);
	return seq;
}

Test(frame, header_has_the_fixed_layout)
{
	static const uint8_t want[FRAME_HEADER_LEN] = {
		0x02, 0x01, 0, 0, FRAME_STDERR, FRAME_PARTIAL, 0x04, 0x03,
		0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x07, 0x06, 0x05,
	};
	const struct frame f = { .len = 0x0102,
				 .type = FRAME_STDERR,
				 .flags = FRAME_PARTIAL,
				 .step = 0x0304,
				 .time_ms = 0x05060708090a0b0c };
	uint8_t out[FRAME_HEADER_LEN];
	struct frame back;

	frame_encode(&f, out);
	cr_assert_arr_eq(out, want, sizeof(want));
	frame_decode(&back, out);
	cr_assert_eq(back.len, f.len);
	cr_assert_eq(back.type, f.type);
	cr_assert_eq(back.flags, f.flags);
	cr_assert_eq(back.step, f.step);
	cr_assert_eq(back.time_ms, f.time_ms);
}

Test(frame, file_header_knows_itself_and_its_version)
{
	uint8_t head[SPOOL_HEADER_LEN];

	spool_header_encode(head);
	cr_assert(spool_header_ok(head));
	cr_assert_arr_eq(head, "SLWSPL\1\0", sizeof(head));
	head[6]++;
	cr_assert_not(spool_header_ok(head));
	head[6]--;
	head[0] ^= 1;
	cr_assert_not(spool_header_ok(head));
}

Test(frame, step_end_comes_back_whole)
{
	const struct step_end s = { .exit_code = -1,
				    .signal = 9,
				    .flags = STEP_END_TIMED_OUT | STEP_END_OOM,
				    .utime_us = 1ull << 40,
				    .stime_us = 3,
				    .max_rss = UINT64_MAX };
	uint8_t out[STEP_END_LEN + 1] = { 0 };
	struct step_end back;

	step_end_encode(&s, out);
	cr_assert(step_end_decode(&back, out, STEP_END_LEN));
	cr_assert_eq(back.exit_code, s.exit_code);
	cr_assert_eq(back.signal, s.signal);
	cr_assert_eq(back.flags, s.flags);
	cr_assert_eq(back.utime_us, s.utime_us);
	cr_assert_eq(back.stime_us, s.stime_us);
	cr_assert_eq(back.max_rss, s.max_rss);
	cr_assert_not(step_end_decode(&back, out, STEP_END_LEN - 1));
	cr_assert_not(step_end_decode(&back, out, STEP_END_LEN + 1));
}

Test(frame, a_whole_job_is_in_order)
{
	struct frame_seq seq = { 0 };

	cr_assert_null(check(&seq, FRAME_NOTE, FRAME_NO_STEP));
	cr_assert_null(check(&seq, FRAME_JOB_START, FRAME_NO_STEP));
	frame_seq_job_start(&seq, 3);
	cr_assert_null(check(&seq, FRAME_STEP_START, 0));
	cr_assert_null(check(&seq, FRAME_STDOUT, 0));
	cr_assert_null(check(&seq, FRAME_NOTE, 0));
	cr_assert_null(check(&seq, FRAME_STEP_END, 0));
	cr_assert_null(check(&seq, FRAME_STEP_END, 1));
	cr_assert_null(check(&seq, FRAME_STEP_START, 2));
	cr_assert_null(check(&seq, FRAME_STDERR, 0), "left-over output");
	cr_assert_null(check(&seq, FRAME_CHECKPOINT, FRAME_NO_STEP));
	cr_assert_null(check(&seq, FRAME_STEP_END, 2));
	cr_assert_null(check(&seq, FRAME_STDERR, 0));
	cr_assert_null(check(&seq, FRAME_JOB_END, FRAME_NO_STEP));
	cr_assert_null(check(&seq, FRAME_NOTE, FRAME_NO_STEP));
}

Test(frame, only_notes_stand_before_job_start_and_after_job_end)
{
	struct frame_seq seq = { 0 };

	cr_assert_not_null(check(&seq, FRAME_STEP_START, 0));
	cr_assert_not_null(check(&seq, FRAME_JOB_END, FRAME_NO_STEP));
	seq = begun();
	cr_assert_not_null(check(&seq, FRAME_JOB_START, FRAME_NO_STEP));
	cr_assert_null(check(&seq, FRAME_JOB_END, FRAME_NO_STEP));
	cr_assert_not_null(check(&seq, FRAME_STEP_START, 0));
	cr_assert_not_null(check(&seq, FRAME_JOB_END, FRAME_NO_STEP));
}

Test(frame, steps_open_one_at_a_time_and_in_rising_order)
{
	struct frame_seq seq = begun();

	cr_assert_null(check(&seq, FRAME_STEP_START, 1));
	cr_assert_not_null(check(&seq, FRAME_STEP_START, 2), "one is open");
	cr_assert_not_null(check(&seq, FRAME_STEP_END, 2), "another one is open");
	cr_assert_not_null(check(&seq, FRAME_JOB_END, FRAME_NO_STEP));
	cr_assert_null(check(&seq, FRAME_STEP_END, 1));
	cr_assert_not_null(check(&seq, FRAME_STEP_END, 1), "closed already");
	cr_assert_not_null(check(&seq, FRAME_STEP_START, 0), "falling");
}

Test(frame, output_belongs_to_a_step_that_started)
{
	struct frame_seq seq = begun();

	cr_assert_not_null(check(&seq, FRAME_STDOUT, 0));
	cr_assert_null(check(&seq, FRAME_STEP_START, 0));
	cr_assert_null(check(&seq, FRAME_STDOUT, 0));
	cr_assert_not_null(check(&seq, FRAME_STDOUT, 1));
	cr_assert_not_null(check(&seq, FRAME_STDOUT, FRAME_NO_STEP));
}

Test(frame, step_numbers_stay_below_the_job_s_count)
{
	struct frame_seq seq = begun();

	cr_assert_null(check(&seq, FRAME_STEP_START, 2));
	cr_assert_null(check(&seq, FRAME_STEP_END, 2));
	cr_assert_not_null(check(&seq, FRAME_STEP_START, 3));
	cr_assert_not_null(check(&seq, FRAME_NOTE, 3));
}

Test(frame, payload_lengths_are_held_to_the_limit)
{
	struct frame_seq seq = begun();
	struct frame f = frame_of(FRAME_NOTE, FRAME_NO_STEP);

	f.len = FRAME_PAYLOAD_MAX;
	cr_assert_null(frame_check(&seq, &f));
	f.len++;
	cr_assert_not_null(frame_check(&seq, &f));
	f = frame_of(FRAME_STEP_START, 0);
	cr_assert_null(frame_check(&seq, &f));
	f = frame_of(FRAME_STDOUT, 0);
	f.len = 0;
	cr_assert_not_null(frame_check(&seq, &f));
	f = frame_of(FRAME_STEP_END, 0);
	f.len++;
	cr_assert_not_null(frame_check(&seq, &f));
}

Test(frame, unknown_types_and_flags_are_refused)
{
	struct frame_seq seq = begun();
	struct frame f = { .len = 1, .type = 0, .step = FRAME_NO_STEP };

	cr_assert_not_null(frame_check(&seq, &f));
	f.type = FRAME_TYPES;
	cr_assert_not_null(frame_check(&seq, &f));
	f.type = 255;
	cr_assert_not_null(frame_check(&seq, &f));
	f = frame_of(FRAME_NOTE, FRAME_NO_STEP);
	f.flags = FRAME_ERROR | FRAME_TRUNCATED;
	cr_assert_null(frame_check(&seq, &f));
	f.flags = FRAME_PARTIAL;
	cr_assert_not_null(frame_check(&seq, &f));
	f.flags = FRAME_FLAGS + 1;
	cr_assert_not_null(frame_check(&seq, &f));
}

Test(frame, types_have_names)
{
	cr_assert_str_eq(frame_type_name(FRAME_STDOUT), "stdout");
	cr_assert_str_eq(frame_type_name(FRAME_JOB_END), "job-end");
	cr_assert_str_eq(frame_type_name(0), "?");
	cr_assert_str_eq(frame_type_name(FRAME_TYPES), "?");
}
