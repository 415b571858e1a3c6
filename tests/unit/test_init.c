#include "init_drive.h"

TestSuite(init, .timeout = 60);

Test(init, a_job_of_good_steps_succeeds)
{
	struct step_end end;
	struct job job;

	job_init(&job);
	job_add(&job, "echo one; echo two >&2");
	job_add(&job, "pwd");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "one\n");
	end = step_end_of(&job, 0);
	cr_assert_eq(end.exit_code, 0);
	cr_assert_eq(end.flags, 0);
	cr_assert_gt(end.max_rss, 0);
	job_clear(&job);
}

Test(init, a_failed_step_ends_the_job_and_skips_the_rest)
{
	struct job job;

	job_init(&job);
	job_add(&job, "false; echo not reached");
	job_add(&job, "echo never");
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	expect_output(&job, 0, "");
	cr_assert_eq(step_end_of(&job, 0).exit_code, 1);
	cr_assert_eq(step_end_of(&job, 1).flags, STEP_END_SKIPPED);
	job_clear(&job);
}

Test(init, continue_on_error_goes_on_and_succeeds)
{
	struct job job;

	job_init(&job);
	job_add(&job, "exit 42")->flags = PLAN_STEP_CONTINUE;
	job_add(&job, "echo next");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	cr_assert_eq(step_end_of(&job, 0).exit_code, 42);
	expect_output(&job, 1, "next\n");
	job_clear(&job);
}

Test(init, always_steps_run_after_a_failure)
{
	struct job job;

	job_init(&job);
	job_add(&job, "exit 1");
	job_add(&job, "echo clean")->flags = PLAN_STEP_ALWAYS;
	job_add(&job, "echo never");
	job_add(&job, "echo last")->flags = PLAN_STEP_ALWAYS;
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	expect_output(&job, 1, "clean\n");
	cr_assert_eq(step_end_of(&job, 2).flags, STEP_END_SKIPPED);
	expect_output(&job, 3, "last\n");
	job_clear(&job);
}

Test(init, a_step_that_ignores_term_is_killed_after_the_grace)
{
	struct step_end end;
	struct job job;

	job_init(&job);
	job_add(&job, "trap '' TERM; while :; do sleep 1; done")->timeout_ms = 100;
	job_add(&job, "echo after")->flags = PLAN_STEP_ALWAYS;
	cr_assert_eq(job_run(&job), INIT_EXIT_STEP_TIMEOUT);
	end = step_end_of(&job, 0);
	cr_assert_eq(end.flags, STEP_END_TIMED_OUT);
	cr_assert_eq(end.signal, SIGKILL);
	cr_assert_eq(end.exit_code, 128 + SIGKILL);
	expect_output(&job, 1, "after\n");
	job_clear(&job);
}

Test(init, a_step_may_use_its_grace_to_clean_up)
{
	struct step_end end;
	struct job job;

	job_init(&job);
	job.plan.grace_ms = PATIENCE_MS;
	job_add(&job, "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05 || :; done")
		->timeout_ms = 100;
	cr_assert_eq(job_run(&job), INIT_EXIT_STEP_TIMEOUT);
	end = step_end_of(&job, 0);
	cr_assert_eq(end.flags, STEP_END_TIMED_OUT);
	cr_assert_eq(end.exit_code, 0);
	expect_output(&job, 0, "bye\n");
	job_clear(&job);
}

Test(init, a_timed_out_step_may_be_passed_over)
{
	struct plan_step *step;
	struct job job;

	job_init(&job);
	step = job_add(&job, "sleep 100");
	step->timeout_ms = 50;
	step->flags = PLAN_STEP_CONTINUE;
	job_add(&job, "echo next");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	cr_assert_eq(step_end_of(&job, 0).flags, STEP_END_TIMED_OUT);
	expect_output(&job, 1, "next\n");
	job_clear(&job);
}

Test(init, the_job_s_time_ends_the_running_step_and_the_job)
{
	struct job job;

	job_init(&job);
	job.plan.job_timeout_ms = 150;
	job_add(&job, "sleep 100")->flags = PLAN_STEP_CONTINUE;
	job_add(&job, "echo never");
	job_add(&job, "echo always")->flags = PLAN_STEP_ALWAYS;
	cr_assert_eq(job_run(&job), INIT_EXIT_JOB_TIMEOUT);
	cr_assert_eq(step_end_of(&job, 0).flags, STEP_END_TIMED_OUT);
	cr_assert_eq(step_end_of(&job, 1).flags, STEP_END_SKIPPED);
	expect_output(&job, 2, "always\n");
	job_clear(&job);
}

Test(init, term_cancels_the_job_but_for_its_always_steps)
{
	struct step_end end;
	struct job job;

	job_init(&job);
	job_add(&job, "echo started; sleep 100");
	job_add(&job, "echo never");
	job_add(&job, "echo always")->flags = PLAN_STEP_ALWAYS;
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "started");
	cr_assert_eq(kill(job.pid, SIGTERM), 0);
	cr_assert_eq(job_wait(&job), INIT_EXIT_CANCELLED);
	end = step_end_of(&job, 0);
	cr_assert_eq(end.flags, STEP_END_CANCELLED);
	cr_assert_eq(end.signal, SIGTERM);
	cr_assert_eq(step_end_of(&job, 1).flags, STEP_END_SKIPPED);
	expect_output(&job, 2, "always\n");
	job_clear(&job);
}

Test(init, a_second_term_ends_everything_at_once)
{
	struct job job;

	job_init(&job);
	job.plan.grace_ms = 1000000;
	job_add(&job, "trap 'echo asked' TERM; echo started; "
		      "while :; do sleep 0.05 || :; done");
	job_add(&job, "echo never")->flags = PLAN_STEP_ALWAYS;
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "started");
	cr_assert_eq(kill(job.pid, SIGTERM), 0);
	job_await(&job, FRAME_STDOUT, 0, "asked");
	cr_assert_eq(kill(job.pid, SIGTERM), 0);
	cr_assert_eq(job_wait(&job), INIT_EXIT_CANCELLED);
	cr_assert_eq(step_end_of(&job, 0).signal, SIGKILL);
	cr_assert_eq(step_end_of(&job, 1).flags, STEP_END_SKIPPED);
	job_clear(&job);
}

Test(init, quit_ends_everything_at_once)
{
	struct job job;

	job_init(&job);
	job.plan.grace_ms = 1000000;
	job_add(&job, "trap '' TERM; echo started; sleep 100");
	job_add(&job, "echo never")->flags = PLAN_STEP_ALWAYS;
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "started");
	cr_assert_eq(kill(job.pid, SIGQUIT), 0);
	cr_assert_eq(job_wait(&job), INIT_EXIT_CANCELLED);
	cr_assert_eq(step_end_of(&job, 1).flags, STEP_END_SKIPPED);
	job_clear(&job);
}

Test(init, a_step_dies_by_a_signal)
{
	struct step_end end;
	struct job job;

	job_init(&job);
	job_add(&job, "kill -SEGV $$");
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	end = step_end_of(&job, 0);
	cr_assert_eq(end.signal, SIGSEGV);
	cr_assert_eq(end.exit_code, 128 + SIGSEGV);
	job_clear(&job);
}

Test(init, a_step_that_closes_its_output_is_still_waited_for)
{
	struct job job;

	job_init(&job);
	job_add(&job, "echo seen; exec >&- 2>&-; read x < fifo; exit 3");
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "seen");
	job_trigger(&job);
	cr_assert_eq(job_wait(&job), INIT_EXIT_FAILURE);
	cr_assert_eq(step_end_of(&job, 0).exit_code, 3);
	job_clear(&job);
}

Test(init, what_a_step_leaves_behind_prints_for_that_step_and_dies_with_the_job)
{
	struct job job;
	pid_t left = 0;
	char *out;

	job_init(&job);
	job_add(&job, "(read x < fifo; echo late; sleep 1000) & echo $!");
	job_add(&job, "echo go > fifo; echo ready; read x < fifo");
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 1, "ready");
	job_await(&job, FRAME_STDOUT, 0, "late");
	job_trigger(&job);
	cr_assert_eq(job_wait(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 1, "ready\n");
	out = job_output(&job, FRAME_STDOUT, 0, NULL);
	cr_assert_eq(sscanf(out, "%d", &left), 1);
	cr_assert_eq(kill(left, 0), -1);
	cr_assert_eq(errno, ESRCH);
	free(out);
	job_clear(&job);
}

Test(init, a_noisy_process_left_behind_does_not_hold_up_the_step)
{
	struct job job;

	job_init(&job);
	job_add(&job, "while :; do echo x; sleep 0.02; done & exit 0");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	job_clear(&job);
}

Test(init, a_process_in_its_own_session_dies_with_the_job)
{
	pid_t left = 0;
	struct job job;
	char *out;

	job_init(&job);
	job_add(&job, "setsid sh -c 'echo $$; exec sleep 1000' & read x < fifo");
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "\n");
	job_trigger(&job);
	cr_assert_eq(job_wait(&job), INIT_EXIT_SUCCESS);
	out = job_output(&job, FRAME_STDOUT, 0, NULL);
	cr_assert_eq(sscanf(out, "%d", &left), 1);
	cr_assert_eq(kill(left, 0), -1);
	free(out);
	job_clear(&job);
}

Test(init, shells_are_found_by_name)
{
	struct job job;

	job_init(&job);
	job_add(&job, "set -o | grep pipefail | grep -c on; false | true; echo no")->shell =
		TEXT("bash");
	job_add(&job, "echo never")->flags = PLAN_STEP_CONTINUE;
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	expect_output(&job, 0, "1\n");
	job_clear(&job);
	job_init(&job);
	job_add(&job, "echo $0")->shell = TEXT("/bin/sh");
	job_add(&job, "x")->shell = TEXT("no-such-shell");
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	expect_output(&job, 0, "/bin/sh\n");
	cr_assert_eq(step_end_of(&job, 1).exit_code, 127);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "no-such-shell"), 1);
	job_clear(&job);
}

Test(init, a_missing_working_directory_fails_the_step)
{
	struct job job;

	job_init(&job);
	job_add(&job, "true")->cwd = TEXT("/nowhere/at/all");
	cr_assert_eq(job_run(&job), INIT_EXIT_FAILURE);
	cr_assert_eq(step_end_of(&job, 0).exit_code, 127);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "/nowhere/at/all"), 1);
	job_clear(&job);
}

Test(init, a_plan_is_emptied_and_an_empty_one_runs_nothing)
{
	struct stat st;
	struct job job;

	job_init(&job);
	job_add(&job, "echo once");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	cr_assert_eq(fstat(job.plan_fd, &st), 0);
	cr_assert_eq(st.st_size, 0);
	job_clear(&job);
	job_init(&job);
	job_start_bytes(&job, "", 0, "/dev/null");
	cr_assert_eq(waitpid(job.pid, &job.status, 0), job.pid);
	cr_assert_eq(WEXITSTATUS(job.status), INIT_EXIT_ALREADY_RAN);
	job_clear(&job);
}

Test(init, a_damaged_plan_is_an_internal_failure_with_a_note)
{
	struct job job;

	job_init(&job);
	job_start_bytes(&job, "nonsense", 8, job.spool);
	cr_assert_eq(job_wait(&job), INIT_EXIT_INTERNAL);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "not a plan"), 1);
	job_clear(&job);
}

Test(init, a_full_disk_ends_the_job_at_once)
{
	uint8_t *plan;
	struct job job;
	size_t len;

	job_init(&job);
	job_add(&job, "sleep 1000");
	cr_assert(plan_encode(&job.plan, &plan, &len));
	job_start_bytes(&job, plan, len, "/dev/full");
	cr_assert_eq(waitpid(job.pid, &job.status, 0), job.pid);
	cr_assert_eq(WEXITSTATUS(job.status), INIT_EXIT_INTERNAL);
	free(plan);
	job_clear(&job);
}

Test(init, frames_follow_what_the_daemon_has_written_before)
{
	uint8_t head[SPOOL_HEADER_LEN + FRAME_HEADER_LEN];
	const struct frame note = { .type = FRAME_NOTE, .step = FRAME_NO_STEP };
	struct job job;
	int fd;

	job_init(&job);
	spool_header_encode(head);
	frame_encode(&note, head + SPOOL_HEADER_LEN);
	fd = open(job.spool, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(write(fd, head, sizeof(head)), (ssize_t)sizeof(head));
	close(fd);
	job_add(&job, "echo hello");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	cr_assert_eq(count_notes(&job, 0, ""), 1);
	expect_output(&job, 0, "hello\n");
	job_clear(&job);
}

Test(init, as_pid_1_only_orders_from_outside_the_sandbox_count)
{
	struct job job;

	job_init(&job);
	job.sandboxed = true;
	job_add(&job, "kill -TERM 1; kill -QUIT 1; kill -KILL 1; echo alive; "
		      "read x < fifo; echo more");
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "alive");
	job_trigger(&job);
	cr_assert_eq(job_wait(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "alive\nmore\n");
	job_clear(&job);
}

Test(init, as_pid_1_it_is_cancelled_from_outside_and_ends_everything)
{
	struct job job;

	job_init(&job);
	job.sandboxed = true;
	job_add(&job, "setsid sh -c 'echo left; exec sleep 1000' & echo $$; sleep 1000");
	job_start(&job);
	job_await(&job, FRAME_STDOUT, 0, "left");
	cr_assert_eq(kill(job.init_pid, SIGTERM), 0);
	cr_assert_eq(job_wait(&job), INIT_EXIT_CANCELLED);
	cr_assert_eq(step_end_of(&job, 0).flags, STEP_END_CANCELLED);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, ""), 0);
	job_clear(&job);
}

static int
exit_of(const char *args)
{
	char command[512];
	int status;

	snprintf(command, sizeof(command), "%s %s >/dev/null 2>&1", init_bin(), args);
	status = system(command);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(init, wrong_usage_exits_64)
{
	cr_assert_eq(exit_of("--version"), 0);
	cr_assert_eq(exit_of(""), 64);
	cr_assert_eq(exit_of("walk"), 64);
	cr_assert_eq(exit_of("run"), 64);
	cr_assert_eq(exit_of("run --plan-fd 900 --spool-fd 1"), 64);
	cr_assert_eq(exit_of("run --plan-fd 0x --spool-fd 1"), 64);
	cr_assert_eq(exit_of("run --plan-fd 0 --spool-fd 1 --more"), 64);
	cr_assert_eq(exit_of("net --slirp /bin/false"), 64);
	cr_assert_eq(exit_of("net -- true"), 64);
}

Test(init, a_sandbox_without_its_network_does_not_start)
{
	cr_assert_eq(exit_of("net --slirp /bin/false -- /bin/false"), 121);
}
