#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slipway/launch.h"

/* Runs a shell script with fd 1 on a pipe; returns what it printed. */
static const char *
run_script(struct launch_opts *o, const char *script, int *status)
{
	static char out[8192];
	const char *argv[] = { "/bin/sh", "-c", script, NULL };
	struct launch_fd fds[LAUNCH_FDS];
	struct launched l;
	struct err e = { 0 };
	siginfo_t si = { 0 };
	size_t len = 0;
	ssize_t n;
	int p[2];

	cr_assert_eq(pipe2(p, O_CLOEXEC), 0);
	for (size_t i = 0; i < o->nfds; i++)
		fds[i] = o->fds[i];
	fds[o->nfds] = (struct launch_fd){ p[1], 1 };
	o->argv = argv;
	o->fds = fds;
	o->nfds++;
	cr_assert_eq(launch(o, &l, &e), 0, "%s", e.msg);
	close(p[1]);
	while ((n = read(p[0], out + len, sizeof(out) - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	close(p[0]);
	cr_assert_eq(waitid(P_PIDFD, (id_t)l.pidfd, &si, WEXITED), 0);
	close(l.pidfd);
	cr_assert_eq(si.si_pid, l.pid);
	if (status)
		*status = si.si_status;
	return out;
}

Test(launch, child_runs_and_is_reaped_by_pidfd)
{
	struct launch_opts o = { 0 };
	int status;

	cr_assert_str_eq(run_script(&o, "echo hello; exit 7", &status), "hello\n");
	cr_assert_eq(status, 7);
}

Test(launch, only_the_listed_descriptors_are_open)
{
	int leak = open("/", O_RDONLY); /* not CLOEXEC on purpose */
	struct launch_fd fds[] = { { leak, 5 } };
	struct launch_opts o = { .fds = fds, .nfds = 1 };
	char want[64];

	cr_assert_geq(leak, 0);
	/* 3 is ls's own handle of the directory. */
	cr_assert_str_eq(run_script(&o, "exec ls /proc/self/fd", NULL),
			 "0\n1\n2\n3\n5\n");
	snprintf(want, sizeof(want), "/dev/null\n");
	o = (struct launch_opts){ 0 };
	cr_assert_str_eq(run_script(&o, "readlink /proc/$$/fd/0", NULL), want);
	close(leak);
}

Test(launch, descriptors_may_swap_numbers)
{
	int a[2], b[2];
	char c;

	cr_assert_eq(pipe2(a, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(b, O_CLOEXEC), 0);

	struct launch_fd fds[] = { { a[1], b[1] }, { b[1], a[1] } };
	struct launch_opts o = { .fds = fds, .nfds = 2 };
	char script[128];

	snprintf(script, sizeof(script),
		 "printf A >/proc/self/fd/%d; printf B >/proc/self/fd/%d", b[1], a[1]);
	run_script(&o, script, NULL);
	cr_assert_eq(read(a[0], &c, 1), 1);
	cr_assert_eq(c, 'A');
	cr_assert_eq(read(b[0], &c, 1), 1);
	cr_assert_eq(c, 'B');
}

Test(launch, signals_are_reset)
{
	struct launch_opts o = { 0 };
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	cr_assert_str_eq(run_script(&o, "grep -E '^Sig(Blk|Ign)' /proc/self/status",
				    NULL),
			 "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	sigprocmask(SIG_SETMASK, NULL, &set);
	cr_assert(sigismember(&set, SIGTERM), "the parent's own mask is restored");
}

Test(launch, environment_is_exactly_what_is_given)
{
	static const char *const env[] = { "A=1", "B=two words", NULL };
	struct launch_opts o = { .envp = env };

	setenv("LEAKED", "yes", 1);
	cr_assert_str_eq(run_script(&o, "exec /usr/bin/env", NULL),
			 "A=1\nB=two words\nPWD=/\n");
}

Test(launch, limits_session_directory_and_oom_score)
{
	struct launch_rlimit rl[] = { { RLIMIT_NOFILE, 33, 44 } };
	struct launch_opts o = { .rlimits = rl, .nrlimits = 1, .setsid = true,
				 .cwd = "/tmp", .oom_score_adj = 345,
				 .no_new_privs = true };

	cr_assert_str_eq(run_script(&o, "ulimit -Sn; ulimit -Hn; pwd;"
				    "cat /proc/self/oom_score_adj;"
				    "grep NoNewPrivs /proc/self/status;"
				    "test $(cut -d' ' -f6 /proc/$$/stat) = $$ &&"
				    "echo sid", NULL),
			 "33\n44\n/tmp\n345\nNoNewPrivs:\t1\nsid\n");
}

Test(launch, user_is_changed_for_the_child_only)
{
	struct launch_opts o = { .has_user = true, .uid = 1234, .gid = 1235 };

	if (getuid())
		cr_skip_test("needs root");
	cr_assert_str_eq(run_script(&o, "id -u; id -g; id -G", NULL),
			 "1234\n1235\n1235\n");
	cr_assert_eq(getuid(), 0);
	cr_assert_eq(getgid(), 0);
}

Test(launch, missing_program_is_reported)
{
	const char *argv[] = { "/nonexistent/program", NULL };
	struct launch_opts o = { .argv = argv };
	struct launched l;
	struct err e = { 0 };

	cr_assert_eq(launch(&o, &l, &e), -1);
	cr_assert_eq(e.code, ERR_NOT_FOUND);
	cr_assert_eq(l.pidfd, -1);
	cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "no zombie is left");
}

Test(launch, failures_of_the_set_up_name_their_stage)
{
	const char *argv[] = { "/bin/true", NULL };
	struct launch_opts o = { .argv = argv, .cwd = "/nonexistent" };
	struct launched l;
	struct err e = { 0 };

	cr_assert_eq(launch(&o, &l, &e), -1);
	cr_assert_eq(e.code, ERR_SYSTEM);
	cr_assert(strstr(e.msg, "directory"), "%s", e.msg);
	o.cwd = NULL;
	o.fds = &(struct launch_fd){ 9999, 1 };
	o.nfds = 1;
	cr_assert_eq(launch(&o, &l, &e), -1);
	cr_assert(strstr(e.msg, "descriptors"), "%s", e.msg);
}

Test(launch, descriptor_numbers_and_counts_are_bounded)
{
	const char *argv[] = { "/bin/true", NULL };
	struct launch_fd fds[LAUNCH_FDS + 1];
	struct launch_opts o = { .argv = argv, .fds = fds, .nfds = LAUNCH_FDS };
	struct launched l;
	struct err e = { 0 };

	for (int i = 0; i <= LAUNCH_FDS; i++)
		fds[i] = (struct launch_fd){ 2, LAUNCH_FD_MAX - i };
	cr_assert_eq(launch(&o, &l, &e), 0, "%s", e.msg);
	waitid(P_PIDFD, (id_t)l.pidfd, &(siginfo_t){ 0 }, WEXITED);
	close(l.pidfd);
	o.nfds++;
	cr_assert_eq(launch(&o, &l, &e), -1);
	cr_assert_eq(e.code, ERR_INVALID);
	o.nfds = 1;
	fds[0].to = LAUNCH_FD_MAX + 1;
	cr_assert_eq(launch(&o, &l, &e), -1);
	cr_assert_eq(e.code, ERR_INVALID);
}
