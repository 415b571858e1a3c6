#include "launch_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "exec/local_argv.h"
#include "launch/server.h"
#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/launch.h"

static pid_t server; /* a real slipway-launch */
static char state_dir[] = "/tmp/none";

static const char *
build_dir(void)
{
	const char *dir = getenv("SLIPWAY_LIBEXEC_DIR");

	return dir ? dir : ".";
}

static void
start_server(void)
{
	cleanup_free char *program = xasprintf("%s/slipway-launch", build_dir());

	server = fork();
	if (!server) {
		execl(program, program, "--socket", peer_path, "--state-dir", state_dir,
		      NULL);
		_exit(127);
	}
}

static void
set_up(void)
{
	cleanup_free char *program = xasprintf("%s/slipway-launch", build_dir());

	peer_make_path();
	if (access(program, X_OK))
		cr_skip_test("there is no %s", program);
	start_server();
}

static void
tear_down(void)
{
	if (server > 0) {
		kill(server, SIGTERM);
		waitpid(server, NULL, 0);
	}
	peer_remove_path();
}

#define SERVER(name)                                                                   \
	Test(launch_server, name, .init = set_up, .fini = tear_down, .timeout = 30)

static struct launch_start
request(const char *const *argv)
{
	struct launch_start s = { .id = 1,
				  .argv = argv,
				  .cwd = "",
				  .deadline_ms = (uint64_t)clock_boot_ms() + 20000 };

	if (geteuid() == 0)
		s.has_user = true, s.uid = s.gid = 65534;
	return s;
}

static struct launch_started
ask(int conn, const struct launch_start *s, const int *fds, size_t nfds, int *pidfd)
{
	static struct peer_packet p;
	struct launch_started answer;
	struct wire_w w;

	cr_assert(launch_start_encode(s, &w));
	peer_send(conn, &w, fds, nfds);
	peer_receive(conn, &p);
	cr_assert(launch_started_decode(p.data, p.len, &answer), "%zu", p.len);
	cr_assert_eq(p.nfds, answer.code == ERR_NONE);
	*pidfd = p.nfds ? p.fds[0] : -1;
	return answer;
}

static void
probe_argv(struct local_argv *argv)
{
	static struct local_host host;
	static char root[] = "/tmp/none/sandbox/root";
	cleanup_free char *init = xasprintf("%s/slipway-init", build_dir());
	static char real[4096];
	static char *bwrap;
	struct local_args a = { .host = &host, .network = NETWORK_NONE };

	bwrap = fs_find_program("bwrap");
	if (!bwrap || !realpath(init, real))
		cr_skip_test("no bubblewrap, or no slipway-init");
	local_host_read(&host, "/");
	a.bwrap = bwrap;
	a.root = root;
	a.init = real;
	local_argv_build_probe(argv, &a);
}

static bool
is_hung_up(int conn)
{
	static struct peer_packet p;

	peer_receive(conn, &p);
	return !p.len;
}

SERVER(it_says_welcome)
{
	static struct peer_packet p;
	char group[LAUNCH_MSG_GROUP];
	int conn = peer_connect();
	struct wire_w w;

	cr_assert(launch_hello_encode(&w));
	peer_send(conn, &w, NULL, 0);
	peer_receive(conn, &p);
	cr_assert(launch_welcome_decode(p.data, p.len, group, sizeof(group)));
	close(conn);
}

SERVER(a_sandbox_is_started_and_its_pidfd_and_descriptors_are_passed)
{
	struct local_argv argv;
	char said[300] = "";
	int conn = peer_connect(), pidfd, out[2];

	probe_argv(&argv);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	struct launch_start s = request(argv.v);

	s.nfds = 1;
	s.fds[0] = 2;
	struct launch_started a = ask(conn, &s, &out[1], 1, &pidfd);

	cr_assert_eq(a.code, ERR_NONE, "%s", a.msg);
	cr_assert_gt(a.pid, 0);
	close(out[1]);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	/* It ends at once, for there is no such root; and says so where it was told. */
	cr_assert_eq(poll(&p, 1, 10000), 1);
	cr_assert_gt(read(out[0], said, sizeof(said) - 1), 0);
	cr_expect(strstr(said, "sandbox/root"), "%s", said);
	close(pidfd);
	close(out[0]);
	close(conn);
}

SERVER(what_is_no_sandbox_is_refused_and_the_next_request_is_heard)
{
	static const char *const shell[] = { "/bin/sh", "-c", "touch /tmp/x", NULL };
	struct launch_start s = request(shell);
	int conn = peer_connect(), pidfd;

	for (int i = 0; i < 3; i++) {
		struct launch_started a = ask(conn, &s, NULL, 0, &pidfd);

		cr_assert_eq(a.code, ERR_DENIED);
		cr_assert_eq(pidfd, -1);
	}
	close(conn);
}

SERVER(what_is_late_is_not_started)
{
	struct local_argv argv;
	int conn = peer_connect(), pidfd;

	probe_argv(&argv);
	struct launch_start s = request(argv.v);

	s.deadline_ms = (uint64_t)clock_boot_ms() - 1;
	cr_assert_eq(ask(conn, &s, NULL, 0, &pidfd).code, ERR_TIMEOUT);
	close(conn);
}

SERVER(descriptors_that_were_told_but_not_sent_are_missed)
{
	struct local_argv argv;
	int conn = peer_connect(), pidfd;

	probe_argv(&argv);
	struct launch_start s = request(argv.v);

	s.nfds = 1;
	s.fds[0] = 2;
	cr_assert_eq(ask(conn, &s, NULL, 0, &pidfd).code, ERR_PROTOCOL);
	close(conn);
}

SERVER(nonsense_is_hung_up_on_and_others_are_served)
{
	int good = peer_connect();
	static struct peer_packet p;

	for (int i = 0; i < 3; i++) {
		int conn = peer_connect();
		struct wire_w w = { 0 };

		wire_w_str(&w, i ? "nonsense" : "");
		if (i == 2)
			wire_w_free(&w), launch_hello_encode(&w), w.data[4]++;
		peer_send(conn, &w, NULL, 0);
		cr_expect(is_hung_up(conn));
		close(conn);
	}
	/* More descriptors than a message may have. */
	int conn = peer_connect(), fds[LAUNCH_MSG_FDS + 1];
	struct wire_w w;

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = 0;
	cr_assert(launch_hello_encode(&w));
	peer_send(conn, &w, fds, ARRAY_LEN(fds));
	cr_expect(is_hung_up(conn));
	close(conn);

	cr_assert(launch_hello_encode(&w));
	peer_send(good, &w, NULL, 0);
	peer_receive(good, &p);
	cr_assert_eq(launch_msg_peek(p.data, p.len), LAUNCH_WELCOME);
	close(good);
}

/* Each message may carry descriptors, whatever it is: none of them stays open there. */
SERVER(descriptors_do_not_pile_up)
{
	int conn = peer_connect(), fds[LAUNCH_MSG_FDS];
	static struct peer_packet p;
	struct wire_w w;

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = 0;
	for (int i = 0; i < 200; i++) {
		cr_assert(launch_hello_encode(&w));
		peer_send(conn, &w, fds, ARRAY_LEN(fds));
		peer_receive(conn, &p);
		cr_assert_gt(p.len, 0, "after %d", i);
	}
	cleanup_free char *dir = xasprintf("/proc/%d/fd/40", (int)server);

	cr_expect_neq(access(dir, F_OK), 0);
	close(conn);
}

SERVER(the_socket_is_for_its_user_alone)
{
	struct stat st;

	close(peer_connect());
	cr_assert_eq(stat(peer_path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
}

SERVER(a_second_one_leaves_the_socket_to_the_first)
{
	pid_t first = server;
	int status;

	close(peer_connect());
	start_server();
	cr_assert_eq(waitpid(server, &status, 0), server);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 69, "%x", status);
	server = first;
	close(peer_connect());
}

SERVER(a_killed_one_is_followed_by_the_next)
{
	close(peer_connect());
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	start_server();
	int conn = peer_connect();
	struct wire_w w;
	static struct peer_packet p;

	cr_assert(launch_hello_encode(&w));
	peer_send(conn, &w, NULL, 0);
	peer_receive(conn, &p);
	cr_assert_gt(p.len, 0);
	close(conn);
}

Test(launch_server, only_its_own_user_and_root_may_ask)
{
	cr_expect(server_may_ask(1000, 1000));
	cr_expect(server_may_ask(0, 1000));
	cr_expect_not(server_may_ask(1001, 1000));
	cr_expect_not(server_may_ask(1000, 0));
}

Test(launch_server, nothing_runs_as_root_or_as_strangers)
{
	struct err e = { 0 };
	bool change;

	cr_expect_eq(server_check_user(false, 0, 1000, &change, &e), 0);
	cr_expect_not(change);
	cr_expect_eq(server_check_user(true, 1000, 1000, &change, &e), 0);
	cr_expect_not(change);
	cr_expect_eq(server_check_user(true, 1001, 1000, &change, &e), -1);
	cr_expect_eq(server_check_user(true, 0, 1000, &change, &e), -1);
	cr_expect_eq(server_check_user(true, 1000, 0, &change, &e), 0);
	cr_expect(change);
	cr_expect_eq(server_check_user(true, 0, 0, &change, &e), -1);
	cr_expect_eq(server_check_user(false, 0, 0, &change, &e), -1);
}
