/* The local runner with slipway-launch: the real one, and one that fails on purpose. */
#include "launch_peer.h"
#include "local_fixture.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "slipway/launch.h"

static pid_t server;

static void
start_server(void)
{
	cleanup_free char *program = xasprintf("%s/slipway-launch", fx_libexec());

	server = fork();
	if (!server) {
		execl(program, program, "--socket", peer_path, NULL);
		_exit(127);
	}
}

static void
end_server(int signo)
{
	kill(server, signo);
	waitpid(server, NULL, 0);
	server = 0;
}

/* Where user namespaces do not work the runner never gets ready. */
static void
check_sandboxes(void)
{
	fx_set_up();
	fx_tear_down();
	memset(&fx, 0, sizeof(fx));
}

static void
set_up(void)
{
	cleanup_free char *program = xasprintf("%s/slipway-launch", fx_libexec());

	if (access(program, X_OK))
		cr_skip_test("there is no %s", program);
	check_sandboxes();
	peer_make_path();
	start_server();
	fx.launch_socket = peer_path;
	fx_set_up();
}

static void
tear_down(void)
{
	fx_tear_down();
	if (server)
		end_server(SIGTERM);
	peer_remove_path();
}

#define LAUNCHED(name)                                                                 \
	Test(runner_launched, name, .init = set_up, .fini = tear_down, .timeout = 60)

LAUNCHED(a_job_runs_and_its_exit_code_is_known)
{
	fx_start("echo hello; exit 3");
	fx_run_until(fx_has_exited);
	cr_assert(fx.started);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_FAILURE);
	cr_assert_str_eq(fx_output(), "hello\n");
	fx_remove();
}

LAUNCHED(a_job_survives_the_kill_of_slipway_launch)
{
	fx_start("echo begun; while [ ! -e go ]; do sleep 0.05; done; echo done");
	fx_run_until(fx_has_output);
	end_server(SIGKILL);
	cleanup_free char *go = xasprintf("%s/repo/go", fx.workspace);

	close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_SUCCESS);
	cr_assert_str_eq(fx_output(), "begun\ndone\n");
	fx_remove();
}

LAUNCHED(a_job_can_be_killed_without_slipway_launch)
{
	fx_start("echo begun; sleep 1000");
	fx_run_until(fx_has_output);
	end_server(SIGKILL);
	fx_remove();
}

LAUNCHED(a_job_is_taken_up_by_the_next_daemon)
{
	fx_start("echo begun; while [ ! -e go ]; do sleep 0.05; done; echo done");
	fx_run_until(fx_has_output);
	runner_local_ops.detach(STEAL(fx.sandbox));
	fx_attach();
	cleanup_free char *go = xasprintf("%s/repo/go", fx.workspace);

	close(open(go, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	fx_run_until(fx_has_exited);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_SUCCESS);
	fx_remove();
}

static bool
has_changed(void)
{
	return fx.changed;
}

static bool
cannot_run(void)
{
	return !fx_can_run();
}

LAUNCHED(without_slipway_launch_nothing_starts_until_it_is_back)
{
	struct job_needs needs = { .network = NETWORK_NONE };
	char why[300];

	end_server(SIGKILL);
	fx_run_until(cannot_run);
	runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why));
	cr_expect(strstr(why, "slipway-launch"), "%s", why);
	fx_start("echo never");
	fx_run_until(fx_has_begun);
	cr_expect(fx.start_failed);
	cr_expect_eq(fx.error.code, ERR_CONNECT, "%s", fx.error.msg);
	fx_remove();
	cr_expect_eq(access(fx.dir, F_OK), 0);
	cleanup_free char *status = xasprintf("%s/status", fx.dir);

	cr_expect_neq(access(status, F_OK), 0, "it counts as begun");
	fx.changed = false;
	start_server();
	fx_run_until(has_changed);
	cr_expect(fx_can_run());
}

Test(runner_launched, bare_jobs_do_not_go_with_it)
{
	struct conf_runner conf = { .name = (char *)"here", .allow_unsandboxed = true };
	struct err e = { 0 };

	fx.launch_socket = "/nonexistent/socket";
	cr_expect_null(fx_open(&conf, &e));
	cr_expect_eq(e.code, ERR_INVALID);
}

/* slipway-launch as it should not be: probes are served, and with the first job ... */
enum flaw {
	DIES, /* nothing is started */
	STARTS_AND_DIES,
	DAWDLES_AND_DIES, /* holds what it was given for a while */
};

static struct launched
serve(const struct launch_start *m, const struct peer_packet *p)
{
	struct launch_fd fds[LAUNCH_MSG_FDS];
	struct launch_opts o = { .argv = m->argv,
				 .envp = m->envp,
				 .fds = fds,
				 .nfds = m->nfds,
				 .has_user = m->has_user,
				 .uid = m->uid,
				 .gid = m->gid,
				 .setsid = true };
	struct launched l;

	for (size_t i = 0; i < m->nfds; i++)
		fds[i] = (struct launch_fd){ p->fds[i], m->fds[i] };
	if (launch(&o, &l, NULL))
		_exit(1);
	return l;
}

static void
serve_until_job(int listener, enum flaw flaw)
{
	static struct peer_packet p;
	int conn = peer_welcome(listener, "");

	for (;;) {
		struct launch_start m;

		peer_receive(conn, &p);
		if (!launch_start_decode(p.data, p.len, &m))
			_exit(0);
		if (*m.group && flaw == DAWDLES_AND_DIES)
			usleep(300000);
		if (*m.group && flaw != STARTS_AND_DIES)
			_exit(0);
		struct launched l = serve(&m, &p);

		if (*m.group)
			_exit(0);
		peer_answer(conn, &(struct launch_started){ .id = m.id, .pid = l.pid },
			    l.pidfd);
		close(l.pidfd);
		peer_close_fds(&p);
		launch_start_free(&m);
	}
}

static void
set_up_with(enum flaw flaw)
{
	check_sandboxes();
	peer_make_path();
	int listener = peer_listen();

	server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_until_job(listener, flaw);
	}
	close(listener);
	fx.launch_socket = peer_path;
	fx_set_up();
}

static void
assert_never_began(void)
{
	cleanup_free char *status = NULL;

	fx_start("echo hello");
	fx_run_until(fx_has_begun);
	cr_assert(fx.start_failed);
	cr_expect_eq(fx.error.code, ERR_CONNECT, "%s", fx.error.msg);
	fx_remove();
	status = xasprintf("%s/status", fx.dir);
	cr_expect_neq(access(status, F_OK), 0, "it counts as begun");
	cr_expect_str_eq(fx_output(), "");
	tear_down();
}

Test(runner_launched, what_was_asked_of_one_that_died_never_began, .timeout = 60)
{
	set_up_with(DIES);
	assert_never_began();
}

Test(runner_launched, what_is_held_is_waited_for, .timeout = 60)
{
	set_up_with(DAWDLES_AND_DIES);
	assert_never_began();
}

Test(runner_launched, what_was_started_unanswered_is_found, .timeout = 60)
{
	set_up_with(STARTS_AND_DIES);
	fx_start("echo hello; exit 3");
	fx_run_until(fx_has_exited);
	cr_assert(fx.started);
	fx_assert_exit(SANDBOX_EXITED, INIT_EXIT_FAILURE);
	cr_assert_str_eq(fx_output(), "hello\n");
	fx_remove();
	tear_down();
}

/* One whose sandboxes never end, and tells their pids here. */
static int hung_pids[2];

static void
serve_hung(int listener)
{
	static const char *const argv[] = { "/bin/sleep", "1000", NULL };
	static struct peer_packet p;
	int conn = peer_welcome(listener, "");

	for (;;) {
		struct launch_start m;

		peer_receive(conn, &p);
		if (!launch_start_decode(p.data, p.len, &m))
			_exit(0);
		m.argv = argv;
		struct launched l = serve(&m, &p);

		peer_answer(conn, &(struct launch_started){ .id = m.id, .pid = l.pid },
			    l.pidfd);
		if (write(hung_pids[1], &l.pid, sizeof(l.pid)) != sizeof(l.pid))
			_exit(1);
		peer_close_fds(&p);
	}
}

static bool
says_no_answer(void)
{
	struct job_needs needs = { .network = NETWORK_NONE };
	char why[300];

	return !runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why)) &&
	       strstr(why, "no answer in time");
}

Test(runner_launched, probes_that_hang_are_given_up_and_killed, .timeout = 60)
{
	struct err e = { 0 };
	pid_t pid;

	check_sandboxes();
	peer_make_path();
	int listener = peer_listen();

	cr_assert_eq(pipe(hung_pids), 0);
	server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_hung(listener);
	}
	close(listener);
	close(hung_pids[1]);
	strcpy(fx.state, "/tmp/slipway-runner-XXXXXX");
	cr_assert_not_null(mkdtemp(fx.state));
	fx.loop = loop_new(&e);
	fx.launch_socket = peer_path;
	fx.conf = (struct conf_runner){ .name = (char *)"here" };
	fx.runner = fx_open(&fx.conf, &e);
	cr_assert_not_null(fx.runner, "%s", e.msg);
	fx_run_until(says_no_answer);
	for (int i = 0; i < 2; i++) {
		char path[40], state = 'X';

		cr_assert_eq(read(hung_pids[0], &pid, sizeof(pid)), sizeof(pid));
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		cleanup_file FILE *f = fopen(path, "r");

		if (f)
			cr_assert_eq(fscanf(f, "%*d (%*[^)]) %c", &state), 1);
		cr_expect(state == 'X' || state == 'Z', "%c", state);
	}
	tear_down();
}
