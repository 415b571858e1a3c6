#include "init_drive.h"

TestSuite(init_env, .timeout = 60);

Test(init_env, variables_reach_later_steps_through_slipway_env)
{
	struct plan_env plan_env[] = { { TEXT("A"), TEXT("plan"), false },
				       { TEXT("B"), TEXT("plan"), false } };
	struct plan_env step_env = { TEXT("B"), TEXT("step"), false };
	struct plan_step *step;
	struct job job;

	job_init(&job);
	job.plan.env = plan_env;
	job.plan.nenv = 2;
	job_add(&job, "echo \"A=x=y z\" >> $SLIPWAY_ENV; printf B=file >> $SLIPWAY_ENV");
	job_add(&job, "echo $A $B; test -f $SLIPWAY_ENV && test ! -s $SLIPWAY_ENV");
	step = job_add(&job, "echo $A $B $SLIPWAY_STEP");
	step->env = &step_env;
	step->nenv = 1;
	step->name = TEXT("third");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 1, "x=y z file\n");
	expect_output(&job, 2, "x=y z step third\n");
	job_clear(&job);
}

Test(init_env, bad_lines_of_slipway_env_are_noted_and_ignored)
{
	struct job job;

	job_init(&job);
	job_add(&job, "printf 'no value\\n1A=x\\nSLIPWAY_ENV=/x\\nA-B=x\\n=x\\n"
		      "N=a\\0b\\n\\nGOOD=yes\\n' >> $SLIPWAY_ENV");
	job_add(&job, "echo $GOOD; test \"$SLIPWAY_ENV\" != /x");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 1, "yes\n");
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "ignored"), 6);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "line 3 ignored: reserved"), 1);
	job_clear(&job);
}

Test(init_env, notes_about_bad_lines_do_not_flood_the_log)
{
	struct job job;

	job_init(&job);
	job_add(&job, "seq 1 1000 >> $SLIPWAY_ENV");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, ""), 11);
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "990 more bad lines"), 1);
	job_clear(&job);
}

Test(init_env, a_slipway_env_that_was_replaced_is_ignored)
{
	static const char *const scripts[] = {
		"rm $SLIPWAY_ENV; mkfifo $SLIPWAY_ENV",
		"echo A=1 > other; ln -sf $PWD/other $SLIPWAY_ENV",
		"rm $SLIPWAY_ENV",
		"rm $SLIPWAY_ENV; mkdir $SLIPWAY_ENV",
		"echo A=1 > other; mv other $SLIPWAY_ENV",
	};

	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct job job;

		job_init(&job);
		job_add(&job, scripts[i]);
		job_add(&job, "echo \"[$A]\"; echo A=2 >> $SLIPWAY_ENV");
		job_add(&job, "echo \"[$A]\"");
		cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS, "%s", scripts[i]);
		expect_output(&job, 1, "[]\n");
		expect_output(&job, 2, "[2]\n");
		cr_assert_eq(count_notes(&job, FRAME_ERROR, "the file is ignored"), 1,
			     "%s", scripts[i]);
		job_clear(&job);
	}
}

Test(init_env, slipway_env_holds_up_to_one_mebibyte)
{
	struct job job;

	job_init(&job);
	job_add(&job, "echo A=1 > $SLIPWAY_ENV; truncate -s 1048576 $SLIPWAY_ENV");
	job_add(&job, "echo $A; echo A=2 > $SLIPWAY_ENV; "
		      "truncate -s 1048577 $SLIPWAY_ENV");
	job_add(&job, "echo $A");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 1, "1\n");
	expect_output(&job, 2, "1\n");
	cr_assert_eq(count_notes(&job, FRAME_ERROR, "larger than 1 MiB"), 1);
	job_clear(&job);
}

Test(init_env, secrets_as_files_are_private_and_gone_after_the_job)
{
	struct plan_env env = { TEXT("KEY"), TEXT("line 1\nline 2\n"), true };
	struct plan_env step_env = { TEXT("OWN"), TEXT("mine"), true };
	struct plan_step *step;
	char path[96];
	struct job job;

	job_init(&job);
	job.plan.env = &env;
	job.plan.nenv = 1;
	step = job_add(&job, "cat $KEY; stat -c %a $KEY; cat $OWN; echo; echo bad > $KEY");
	step->env = &step_env;
	step->nenv = 1;
	job_add(&job, "cat $KEY; echo [$OWN]; ls | grep -c OWN || true");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "line 1\nline 2\n600\nmine\n");
	expect_output(&job, 1, "line 1\nline 2\n[]\n0\n");
	snprintf(path, sizeof(path), "%s/KEY", job.dir);
	cr_assert_eq(access(path, F_OK), -1);
	job_clear(&job);
}

Test(init_env, a_cleared_environment_has_a_path_and_what_the_plan_gives)
{
	struct plan_env env = { TEXT("ONLY"), TEXT("this"), false };
	struct job job;

	job_init(&job);
	setenv("SLIPWAY_TEST_LEAK", "leaked", 1);
	job.plan.env = &env;
	job.plan.nenv = 1;
	job_add(&job, "echo $ONLY$SLIPWAY_TEST_LEAK");
	job.plan.clear_env = true;
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "this\n");
	job_clear(&job);
	job_init(&job);
	job_add(&job, "echo $SLIPWAY_TEST_LEAK");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "leaked\n");
	job_clear(&job);
}

Test(init_env, steps_have_no_descriptor_but_their_streams_and_a_higher_oom_score)
{
	struct job job;
	char *out;

	job_init(&job);
	/* 3 is the directory that ls reads. */
	job_add(&job, "exec ls /proc/self/fd");
	job_add(&job, "readlink /proc/$$/fd/0; cat /proc/self/oom_score_adj; ulimit -c");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "0\n1\n2\n3\n");
	out = job_output(&job, FRAME_STDOUT, 1, NULL);
	cr_assert_eq(strncmp(out, "/dev/null\n", 10), 0, "%s", out);
	cr_assert_geq(strtol(out + 10, NULL, 10), 500);
	cr_assert_not_null(strstr(out, "\n0\n"));
	free(out);
	job_clear(&job);
}

Test(init_env, limits_of_memory_hold_for_each_process)
{
	struct job job;

	job_init(&job);
	job.plan.memory_max = 64 << 20;
	job_add(&job, "ulimit -d");
	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
	expect_output(&job, 0, "65536\n");
	job_clear(&job);
}
