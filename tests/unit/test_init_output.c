#include "init_drive.h"

TestSuite(init_output, .timeout = 60);

Test(init_output, ten_megabytes_arrive_whole_in_frames_of_whole_lines)
{
	struct cursor c = { .job = NULL };
	struct job job;
	size_t len;
	char *out;

	job_init(&job);
	job_add(&job, "seq -f 'line %012.0f of a long log' 1 320000");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	out = job_output(&job, FRAME_STDOUT, 0, &len);
	for (size_t i = 0, at = 0; i < 320000; i++, at += 32) {
		char want[40];

		snprintf(want, sizeof(want), "line %012zu of a long log\n", i + 1);
		cr_assert_eq(strlen(want), 32);
		cr_assert_leq(at + 32, len);
		cr_assert_eq(memcmp(out + at, want, 32), 0, "line %zu", i + 1);
	}
	cr_assert_eq(len, 320000 * 32);
	free(out);
	c.job = &job;
	while (frame_next(&c))
		if (c.frame.type == FRAME_STDOUT)
			cr_assert(c.frame.flags == 0 &&
				  c.payload[c.frame.len - 1] == '\n');
	job_clear(&job);
}

Test(init_output, one_huge_line_is_split_into_partial_frames)
{
	struct cursor c = { .job = NULL };
	struct job job;
	size_t len, partial = 0;
	char *out;

	job_init(&job);
	job_add(&job, "head -c 300000 /dev/zero | tr '\\0' a; echo");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	out = job_output(&job, FRAME_STDOUT, 0, &len);
	cr_assert_eq(len, 300001);
	cr_assert_eq(strspn(out, "a"), 300000);
	free(out);
	c.job = &job;
	while (frame_next(&c))
		partial += c.frame.type == FRAME_STDOUT &&
			   c.frame.flags == FRAME_PARTIAL;
	cr_assert_geq(partial, 300000 / FRAME_PAYLOAD_MAX);
	job_clear(&job);
}

Test(init_output, binary_output_is_kept_byte_for_byte)
{
	struct job job;
	size_t len;
	char *out;

	job_init(&job);
	job_add(&job, "i=0; while [ $i -lt 256 ]; do "
		      "printf \"\\\\$(printf %03o $i)\"; i=$((i + 1)); done");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	out = job_output(&job, FRAME_STDOUT, 0, &len);
	cr_assert_eq(len, 256);
	for (size_t i = 0; i < 256; i++)
		cr_assert_eq((uint8_t)out[i], i);
	free(out);
	job_clear(&job);
}

Test(init_output, a_secret_in_two_halves_is_hidden)
{
	struct plan_mask mask = { (uint8_t *)TEXT("hunter22"), 8 };
	struct job job;
	size_t len;
	char *out;

	job_init(&job);
	job.plan.masks = &mask;
	job.plan.nmasks = 1;
	job_add(&job, "printf 'the word: hunt'; read x < fifo; echo er22 end; "
		      "echo hunter22 >&2");
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "the word: ");
	expect_output(&job, 0, "the word: ");
	job_trigger(&job);
	cr_assert_eq(job_wait(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "the word: *** end\n");
	out = job_output(&job, FRAME_STDERR, 0, &len);
	cr_assert_str_eq(out, "***\n");
	free(out);
	cr_assert_null(memmem(job.data, job.len, "hunter22", 8));
	job_clear(&job);
}

Test(init_output, half_a_secret_at_the_end_of_the_output_is_shown)
{
	struct plan_mask mask = { (uint8_t *)TEXT("hunter22"), 8 };
	struct job job;

	job_init(&job);
	job.plan.masks = &mask;
	job.plan.nmasks = 1;
	job_add(&job, "printf hunter2");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "hunter2");
	job_clear(&job);
}

Test(init_output, notes_are_masked)
{
	struct plan_mask mask = { (uint8_t *)TEXT("hunter22"), 8 };
	struct job job;

	job_init(&job);
	job.plan.masks = &mask;
	job.plan.nmasks = 1;
	job_add(&job, "true")->cwd = TEXT("/nowhere/hunter22");
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "/nowhere/***"), 1);
	cr_assert_null(memmem(job.data, job.len, "hunter22", 8));
	job_clear(&job);
}

Test(init_output, the_log_takes_as_much_as_its_limit)
{
	struct job job;

	job_init(&job);
	job.plan.log_max = 10;
	job_add(&job, "printf 12345678; printf 9 >&2; read x < fifo; echo");
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "12345678");
	job_await(&job, FRAME_STDERR, 0, "9");
	job_trigger(&job);
	cr_assert_eq(job_wait(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "12345678\n");
	cr_assert_eq(count_notes(&job, FRAME_TRUNCATED, ""), 0);
	job_clear(&job);
}

Test(init_output, output_over_the_limit_is_dropped_with_one_note_and_the_job_goes_on)
{
	struct job job;

	job_init(&job);
	job.plan.log_max = 10;
	job_add(&job, "echo 1234567890");
	job_add(&job, "seq 1 100000; echo no >&2; exit 3");
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	expect_output(&job, 0, "1234567890");
	expect_output(&job, 1, "");
	cr_assert_eq(count_notes(&job, FRAME_TRUNCATED, ""), 1);
	cr_assert_eq(step_end_of(&job, 1).exit_code, 3);
	job_clear(&job);
}
