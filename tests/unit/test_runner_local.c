#include "local_fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define LIFE(name) Test(runner_local, name, .init = fx_set_up, .fini = fx_tear_down, \
			.timeout = 60)

static void
end_life(void)
{
	if (fx.sandbox)
		fx_remove();
}

/* Is any process of that pid there, zombies not counted? */
static bool
is_running(pid_t pid)
{
	cleanup_free char *path = xasprintf("/proc/%d/stat", (int)pid);
	cleanup_file FILE *f = fopen(path, "r");
	char state = 'X';

	return f && fscanf(f, "%*d (%*[^)]) %c", &state) == 1 && state != 'Z' &&
	       state != 'X';
}

LIFE(a_job_runs_and_its_exit_code_is_success)
{
	fx_start("echo hello; pwd; echo $HOME");
	fx_run_until(fx_has_exited);
	cr_assert(fx.started);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_SUCCESS);
	cr_assert_str_eq(fx_output(), "hello\n/workspace/repo\n/workspace/home\n");
	cr_assert_str_eq(fx.exit.why, "");
	cr_assert_not(fx.exit.oom);
	end_life();
}

LIFE(a_failing_step_gives_the_code_of_failure)
{
	fx_start("exit 3");
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_FAILURE);
	end_life();
}

LIFE(what_the_job_writes_stays_in_the_workspace)
{
	fx_start("echo made > file");
	fx_run_until(fx_has_exited);
	cleanup_free char *path = xasprintf("%s/repo/file", fx.workspace);

	cr_assert_eq(access(path, F_OK), 0);
	end_life();
}

LIFE(cancel_ends_the_step_and_counts_as_cancelled)
{
	fx_start("echo begun; sleep 100");
	fx_run_until(fx_has_output);
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_CANCELLED);
	end_life();
}

LIFE(cancel_is_heard_even_when_it_comes_before_init)
{
	fx_start("sleep 100");
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_CANCELLED);
	end_life();
}

LIFE(cancelling_twice_is_cancelling_once)
{
	fx_start("trap 'echo asked; sleep 0.3; echo ended; exit' TERM; echo begun; "
		 "while :; do sleep 0.05; done");
	fx_run_until(fx_has_output);
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_CANCELLED);
	cr_assert(strstr(fx_output(), "ended"), "%s", fx_output());
	end_life();
}

LIFE(a_later_daemon_does_not_repeat_a_cancel)
{
	fx_start("trap 'echo asked; sleep 0.5; echo ended; exit' TERM; echo begun; "
		 "while :; do sleep 0.05; done");
	fx_run_until(fx_has_output);
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	runner_local_ops.detach(fx.sandbox);
	fx_attach();
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_CANCELLED);
	cr_assert(strstr(fx_output(), "ended"), "%s", fx_output());
	end_life();
}

LIFE(kill_ends_everything_at_once)
{
	fx_start("trap '' TERM; (trap '' TERM; setsid sleep 1000) & echo begun; "
		 "sleep 1000");
	fx_run_until(fx_has_output);
	pid_t child = fx_status().child;

	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_KILL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cr_assert_str_eq(fx.exit.why, "slipway-init was killed by signal 9");
	cr_assert_not(is_running(child));
	end_life();
}

LIFE(kill_right_after_the_start_leaves_nothing)
{
	fx_start("sleep 1000");
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_KILL);
	fx_run_until(fx_has_exited);
	cr_assert_eq(fx.exit.end, SANDBOX_LOST);
	cr_assert_not(is_running(fx_status().child));
	end_life();
}

LIFE(remove_kills_what_still_runs)
{
	fx_start("echo begun; sleep 1000");
	fx_run_until(fx_has_output);
	pid_t child = fx_status().child;

	fx_remove();
	cr_assert_not(fx.exited, "nobody is told of the end of what was let go");
	cr_assert_not(is_running(child));
}

LIFE(starting_twice_in_one_place_is_refused)
{
	fx_start("true");
	fx_run_until(fx_has_exited);
	end_life();
	fx.started = fx.exited = fx.removed = false;
	struct plan plan = { 0 };
	struct sandbox_start start = {
		.job = "j1", .attempt = 1, .dir = fx.dir, .workspace = fx.workspace,
		.plan = &plan, .spool_fd = STDERR_FILENO, .network = NETWORK_NONE,
	};

	plan.secrets_dir = (char *)"/run/slipway";
	fx.sandbox = runner_local_ops.start(fx.runner, &start, &fx_events);
	fx_run_until(fx_has_begun);
	cr_assert(fx.start_failed);
	cr_assert_eq(fx.error.code, ERR_CONFLICT, "%s", fx.error.msg);
	/* The evidence of the first is still there. */
	cr_assert(fx_status().has_exit);
	end_life();
}

LIFE(a_start_that_fails_counts_as_never_started)
{
	struct plan plan = { .secrets_dir = (char *)"" };

	fx_make_job("j1");
	struct sandbox_start start = {
		.job = "j1", .attempt = 1, .dir = fx.dir, .workspace = fx.workspace,
		.plan = &plan, .spool_fd = 1000, .network = NETWORK_NONE,
	};

	fx.sandbox = runner_local_ops.start(fx.runner, &start, &fx_events);
	fx_run_until(fx_has_begun);
	cr_assert(fx.start_failed);
	cr_assert_neq(fx.error.code, ERR_NONE);
	fx_remove();
	cr_assert_not(fx.exited);
	fx_attach();
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_NEVER, 0);
	close(fx.spool_fd);
	fx.removed = false;
	end_life();
}

LIFE(a_sandbox_that_cannot_be_set_up_is_lost_and_says_why)
{
	struct plan plan = { .secrets_dir = (char *)"" };

	fx_make_job("j1");
	struct sandbox_start start = {
		.job = "j1", .attempt = 1, .dir = fx.dir, .workspace = "/nowhere",
		.plan = &plan, .spool_fd = fx.spool_fd, .network = NETWORK_NONE,
	};

	fx.sandbox = runner_local_ops.start(fx.runner, &start, &fx_events);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cr_assert(strstr(fx.exit.why, "/nowhere"), "%s", fx.exit.why);
	close(fx.spool_fd);
	end_life();
}

/* A daemon that starts a job and is killed. */
static void
start_and_die(const char *script)
{
	fflush(NULL);
	pid_t daemon = fork();
	int status;

	cr_assert_geq(daemon, 0);
	if (!daemon) {
		struct err e = { 0 };

		/* An epoll descriptor is shared by fork. */
		fx.loop = loop_new(&e);
		fx.runner = fx_open(&fx.conf, &e);
		fx_start(script);
		fx_run_until(fx_has_output);
		kill(getpid(), SIGKILL);
	}
	waitpid(daemon, &status, 0);
	cr_assert(WIFSIGNALED(status));
	snprintf(fx.dir, sizeof(fx.dir), "%s/j1", fx.state);
	snprintf(fx.spool, sizeof(fx.spool), "%s/j1/spool", fx.state);
}

LIFE(a_killed_daemon_leaves_the_job_running_and_the_next_adopts_it)
{
	start_and_die("echo begun; while [ ! -e go ]; do sleep 0.02; done; echo done; "
		      "exit 1");
	cleanup_free char *go = xasprintf("%s/j1/workspace/repo/go", fx.state);
	cleanup_close int fd = -1;

	fx_attach();
	cr_assert(is_running(fx_status().child));
	fd = open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	cr_assert_geq(fd, 0);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_FAILURE);
	cr_assert_not(fx.started, "attach() starts nothing");
	cr_assert_str_eq(fx_output(), "begun\ndone\n");
	end_life();
}

LIFE(an_adopted_job_can_be_cancelled)
{
	start_and_die("echo begun; sleep 1000");
	fx_attach();
	runner_local_ops.signal(fx.sandbox, RUNNER_SIGNAL_CANCEL);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_CANCELLED);
	end_life();
}

LIFE(an_adopted_job_is_killed_by_remove)
{
	start_and_die("echo begun; sleep 1000");
	pid_t child = fx_status().child;

	fx_attach();
	fx_remove();
	cr_assert_not(is_running(child));
}

LIFE(a_job_that_ended_alone_is_collected)
{
	fx_start("exit 1");
	fx_run_until(fx_has_exited);
	end_life();
	fx.exited = fx.removed = false;
	fx_attach();
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_FAILURE);
	end_life();
}

LIFE(a_job_of_which_nothing_is_left_is_lost)
{
	start_and_die("echo begun; sleep 1000");
	struct local_status st = fx_status();
	cleanup_free char *path = xasprintf("/proc/%d/stat", (int)st.child);
	cleanup_file FILE *f = fopen(path, "r");
	int monitor = 0;

	cr_assert_eq(fscanf(f, "%*d (%*[^)]) %*c %d", &monitor), 1);
	cr_assert_eq(kill(monitor, SIGKILL), 0);
	cr_assert_eq(kill(st.child, SIGKILL), 0);
	fx_attach();
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cr_assert_str_eq(fx.exit.why, "it left no exit code");
	end_life();
}

LIFE(a_job_that_lost_its_monitor_is_killed_before_it_is_called_lost)
{
	start_and_die("echo begun; sleep 1000");
	struct local_status st = fx_status();
	cleanup_free char *path = xasprintf("/proc/%d/stat", (int)st.child);
	cleanup_file FILE *f = fopen(path, "r");
	int monitor = 0;

	cr_assert_eq(fscanf(f, "%*d (%*[^)]) %*c %d", &monitor), 1);
	cleanup_close int pidfd = pidfd_open(monitor, 0);

	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	cr_assert_eq(kill(monitor, SIGKILL), 0);
	cr_assert_eq(poll(&end, 1, -1), 1);
	cr_assert(is_running(st.child));
	fx_attach();
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cr_assert_not(is_running(st.child));
	end_life();
}

LIFE(the_monitors_death_is_seen_by_the_daemon_that_started_it)
{
	fx_start("echo begun; sleep 1000");
	fx_run_until(fx_has_output);
	char pid[32];

	runner_local_ops.describe(fx.sandbox, pid, sizeof(pid));
	cr_assert_eq(strncmp(pid, "pid ", 4), 0);
	pid_t child = fx_status().child;

	cr_assert_eq(kill((pid_t)atoi(pid + 4), SIGKILL), 0);
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cr_assert_not(is_running(child));
	end_life();
}

LIFE(without_a_status_file_it_was_never_started)
{
	fx_make_job("j1");
	close(fx.spool_fd);
	fx_attach();
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_NEVER, 0);
	end_life();
}

LIFE(an_empty_status_file_means_lost)
{
	struct err e = { 0 };

	fx_make_job("j1");
	close(fx.spool_fd);
	close(local_status_create(fx.dir, &e));
	fx_attach();
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_LOST, 0);
	cr_assert_str_eq(fx.exit.why, "it ended before it began");
	end_life();
}

LIFE(after_a_restart_of_the_machine_a_job_is_lost_and_no_pid_is_signalled)
{
	start_and_die("echo begun; sleep 1000");
	pid_t child = fx_status().child;

	fflush(NULL);
	pid_t later = fork();

	if (!later) {
		struct err e = { 0 };

		setenv("SLIPWAY_TEST_BOOT_ID", "11111111-2222-3333-4444-555555555555",
		       1);
		fx.loop = loop_new(&e);
		fx.runner = fx_open(&fx.conf, &e);
		fx_attach();
		fx_run_until(fx_has_exited);
		fx_remove();
		_exit(fx.exit.end == SANDBOX_LOST ? 0 : 1);
	}
	int status;

	cr_assert_eq(waitpid(later, &status, 0), later);
	cr_assert_eq(status, 0);
	cr_assert(is_running(child));
	fx_attach();
	fx_remove();
}

LIFE(detach_leaves_the_job_alone)
{
	fx_start("echo begun; sleep 1000");
	fx_run_until(fx_has_output);
	pid_t child = fx_status().child;

	runner_local_ops.detach(fx.sandbox);
	cr_assert(is_running(child));
	fx_attach();
	fx_remove();
	cr_assert_not(is_running(child));
}

LIFE(the_runner_may_be_closed_before_its_sandboxes)
{
	fx_start("echo hello");
	runner_local_ops.close(fx.runner);
	fx.runner = NULL;
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_SUCCESS);
	end_life();
}

LIFE(detaching_before_the_first_callback_gives_none)
{
	fx_start("sleep 1000");
	runner_local_ops.detach(fx.sandbox);
	fx_attach();
	fx_remove();
	cr_assert_not(fx.started);
}

LIFE(what_no_runner_of_this_type_can_do_is_said_in_words)
{
	static const struct {
		struct job_needs needs;
		const char *why;
	} cases[] = {
		{ { .image = true }, "no runner provides images" },
		{ { .gpus = 1 }, "no runner has GPUs" },
		{ { .labels = { "fast" }, .nlabels = 1 }, "no runner has label fast" },
		{ { .runner = "there" }, "no runner is named there" },
	};
	struct job_needs fits = { .labels = { "linux" }, .nlabels = 1, .runner = "here",
				  .network = NETWORK_NONE };
	char *labels[] = { (char *)"arm", (char *)"linux" };
	struct err e = { 0 };
	char why[300];

	fx.conf.labels = (struct conf_strings){ labels, 2 };
	struct runner *r = fx_open(&fx.conf, &e);

	cr_assert_not_null(r, "%s", e.msg);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cr_assert_not(runner_local_ops.can_run(r, &cases[i].needs, why,
						       sizeof(why)));
		cr_assert_str_eq(why, cases[i].why);
	}
	cr_assert(runner_local_ops.can_run(r, &fits, why, sizeof(why)), "%s", why);
	runner_local_ops.close(r);
}

LIFE(missing_programs_are_named_before_a_job_starts)
{
	struct job_needs none = { .network = NETWORK_NONE };
	struct job_needs isolated = { .network = NETWORK_DEFAULT };
	cleanup_free char *bin = xasprintf("%s/bin", fx.state);
	cleanup_free char *link = xasprintf("%s/bin/bwrap", fx.state);
	struct err e = { 0 };
	char why[300];

	cr_assert_eq(mkdir(bin, 0755), 0);
	setenv("PATH", bin, 1);
	struct runner *r = fx_open(&fx.conf, &e);

	cr_assert_not(runner_local_ops.can_run(r, &none, why, sizeof(why)));
	cr_assert_str_eq(why, "bubblewrap is not installed");
	runner_local_ops.close(r);

	cr_assert_eq(symlink("/usr/bin/bwrap", link), 0);
	r = fx_open(&fx.conf, &e);
	cr_assert(runner_local_ops.can_run(r, &none, why, sizeof(why)), "%s", why);
	cr_assert_not(runner_local_ops.can_run(r, &isolated, why, sizeof(why)));
	cr_assert_str_eq(why, "slirp4netns is not installed: "
			      "needed for network isolated");
	runner_local_ops.close(r);
}

LIFE(a_bwrap_that_fails_is_quoted)
{
	struct job_needs none = { .network = NETWORK_NONE };
	cleanup_free char *bin = xasprintf("%s/bin", fx.state);
	cleanup_free char *fake = xasprintf("%s/bin/bwrap", fx.state);
	static const char script[] =
		"#!/bin/sh\n[ $1 = --version ] && echo bubblewrap 0.8.0 && exit\n"
		"echo 'bwrap: No permissions to create new namespace' >&2; exit 1\n";
	struct err e = { 0 };
	char why[300];

	cr_assert_eq(mkdir(bin, 0755), 0);
	cr_assert_eq(fs_write_atomic(fake, script, strlen(script), 0755, &e), 0);
	setenv("PATH", bin, 1);
	struct runner *r = fx_open(&fx.conf, &e);

	cr_assert_not(runner_local_ops.can_run(r, &none, why, sizeof(why)));
	cr_assert(strstr(why, "No permissions to create new namespace"), "%s", why);
	runner_local_ops.close(r);
}

LIFE(root_is_no_user_for_jobs)
{
	struct err e = { 0 };

	if (geteuid())
		fx_skip("only root chooses users");
	fx.conf.user = (char *)"root";
	cr_assert_null(fx_open(&fx.conf, &e));
	cr_assert_eq(e.code, ERR_INVALID);
	fx.conf.user = (char *)"no-such-user-here";
	cr_assert_null(fx_open(&fx.conf, &e));
}

LIFE(capacity_is_what_was_configured_or_the_cores)
{
	struct err e = { 0 };

	cr_assert_geq(runner_local_ops.capacity(fx.runner), 1);
	fx.conf.capacity = 7;
	struct runner *r = fx_open(&fx.conf, &e);

	cr_assert_eq(runner_local_ops.capacity(r), 7);
	runner_local_ops.close(r);
}

Test(runner_local, types_are_found_by_name)
{
	cr_assert_eq(runner_ops_find("local"), &runner_local_ops);
	cr_assert_null(runner_ops_find("nowhere"));
	cr_assert_null(runner_ops_find(""));
}

Test(runner_local, a_sandbox_has_its_name_before_it_is_started)
{
	char name[64];

	runner_local_ops.name(NULL, "job-1", 2, name, sizeof(name));
	cr_assert_str_eq(name, "slipway-job-1-2");
}
