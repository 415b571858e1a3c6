#include "launch_peer.h"

#include <poll.h>
#include <sys/pidfd.h>

#include "launcher.h"
#include "slipway/loop.h"

static struct loop *loop;
static struct launcher *launcher;
static int listener;
static unsigned ups, downs, answers;
static char group_told[CGROUP_PATH];
static struct err answer_err;
static struct launched answer;
static struct loop_timer *poll_timer;
static bool (*until)(void);

static void
on_up(void *arg, const char *group)
{
	ups++;
	STR_COPY(group_told, group);
}

static void
on_down(void *arg, const char *why)
{
	cr_expect(strstr(why, peer_path), "%s", why);
	downs++;
}

static void
on_answer(void *arg, const struct launched *l, const struct err *err)
{
	answers++;
	answer_err = err ? *err : (struct err){ 0 };
	answer = l ? *l : (struct launched){ -1, -1 };
}

static void
open_launcher(int64_t patience_ms)
{
	const struct launcher_events ev = { on_up, on_down, NULL };
	struct err e = { 0 };

	loop = loop_new(&e);
	launcher = launcher_new(loop, peer_path, patience_ms, &ev);
}

static void
set_up(void)
{
	peer_make_path();
	listener = peer_listen();
	open_launcher(10000);
}

static void
tear_down(void)
{
	launcher_free(launcher);
	loop_timer_free(poll_timer);
	loop_free(loop);
	close(listener);
	peer_remove_path();
}

static void
on_poll(void *arg)
{
	if (until())
		loop_stop(loop);
	else
		loop_timer_set(poll_timer, 1);
}

static void
run_until(bool (*condition)(void))
{
	until = condition;
	if (!poll_timer)
		poll_timer = loop_timer_new(loop, on_poll, NULL);
	loop_timer_set(poll_timer, 0);
	loop_run(loop);
}

static bool
is_connecting(void)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static bool
is_up(void)
{
	return ups > 0;
}

static bool
is_down(void)
{
	return downs > 0;
}

static bool
is_answered(void)
{
	return answers > 0;
}

static int
connect_peer(const char *group)
{
	run_until(is_connecting);
	ups = 0;
	int fd = peer_welcome(listener, group);

	run_until(is_up);
	return fd;
}

static struct launcher_call *
start(const struct launch_fd *fds, size_t nfds, struct err *e)
{
	static const char *const argv[] = { "/bin/true", NULL };
	const struct launch_opts o = { .argv = argv,
				       .fds = fds,
				       .nfds = nfds,
				       .setsid = true,
				       .oom_score_adj = 7 };
	const struct cgroup_limits limits = { 1 << 30, 64, 1.5 };
	const struct launcher_group group = { "slipway-j1-1", &limits };

	return launcher_start(launcher, &o, &group, on_answer, NULL, e);
}

static struct launch_start
take_start(int peer, struct peer_packet *p)
{
	struct launch_start m;

	peer_receive(peer, p);
	cr_assert(launch_start_decode(p->data, p->len, &m));
	return m;
}

#define LAUNCHER(name)                                                                 \
	Test(launcher, name, .init = set_up, .fini = tear_down, .timeout = 30)

static struct peer_packet packet;

LAUNCHER(a_request_arrives_whole_with_its_descriptors)
{
	struct err e = { 0 };
	int peer = connect_peer("/g"), ends[2];
	char c = 'x';

	cr_expect_str_eq(group_told, "/g");
	cr_assert_eq(pipe(ends), 0);
	struct launch_fd fds[] = { { ends[1], 5 } };

	cr_assert_not_null(start(fds, 1, &e), "%s", e.msg);
	close(ends[1]);
	struct launch_start m = take_start(peer, &packet);

	cr_expect_str_eq(m.argv[0], "/bin/true");
	cr_expect(m.setsid && !m.has_user);
	cr_expect_eq(m.oom_score_adj, 7);
	cr_expect_str_eq(m.group, "slipway-j1-1");
	cr_expect_eq(m.memory, 1 << 30);
	cr_expect_eq(m.cpu_permille, 1500);
	cr_assert_eq(packet.nfds, 1);
	cr_expect_eq(m.fds[0], 5);
	cr_expect_eq(write(packet.fds[0], "y", 1), 1);
	cr_expect_eq(read(ends[0], &c, 1), 1);
	cr_expect_eq(c, 'y');
	peer_answer(peer, &(struct launch_started){ .id = m.id, .pid = getpid() },
		    pidfd_open(getpid(), 0));
	run_until(is_answered);
	cr_expect_eq(answer_err.code, ERR_NONE);
	cr_expect_eq(answer.pid, getpid());
	cr_expect_geq(answer.pidfd, 0);
	launch_start_free(&m);
}

LAUNCHER(a_refusal_is_passed_on)
{
	struct err e = { 0 };
	int peer = connect_peer("");

	cr_assert_not_null(start(NULL, 0, &e));
	struct launch_start m = take_start(peer, &packet);

	peer_answer(peer,
		    &(struct launch_started){
			    .id = m.id, .pid = -1, .code = ERR_DENIED, .msg = "no" },
		    -1);
	launch_start_free(&m);
	run_until(is_answered);
	cr_expect_eq(answer_err.code, ERR_DENIED);
	cr_expect_str_eq(answer_err.msg, "no");
	cr_expect_eq(downs, 0);
}

/* What it says of itself must not be taken for our not knowing. */
LAUNCHER(a_late_request_was_certainly_not_started)
{
	struct err e = { 0 };
	int peer = connect_peer("");

	cr_assert_not_null(start(NULL, 0, &e));
	struct launch_start m = take_start(peer, &packet);

	peer_answer(peer,
		    &(struct launch_started){
			    .id = m.id, .pid = -1, .code = ERR_TIMEOUT },
		    -1);
	launch_start_free(&m);
	run_until(is_answered);
	cr_expect_eq(answer_err.code, ERR_CONNECT);
}

LAUNCHER(answers_may_come_in_any_order)
{
	struct err e = { 0 };
	int peer = connect_peer("");

	cr_assert_not_null(start(NULL, 0, &e));
	cr_assert_not_null(start(NULL, 0, &e));
	struct launch_start first = take_start(peer, &packet);
	struct launch_start second = take_start(peer, &packet);

	cr_expect_neq(first.id, second.id);
	peer_answer(peer,
		    &(struct launch_started){
			    .id = second.id, .pid = -1, .code = ERR_DENIED },
		    -1);
	run_until(is_answered);
	answers = 0;
	peer_answer(peer,
		    &(struct launch_started){
			    .id = first.id, .pid = -1, .code = ERR_SYSTEM },
		    -1);
	run_until(is_answered);
	cr_expect_eq(answer_err.code, ERR_SYSTEM);
	launch_start_free(&first);
	launch_start_free(&second);
}

LAUNCHER(one_that_dies_in_the_middle_leaves_the_start_unsettled)
{
	struct err e = { 0 };
	int peer = connect_peer("");

	cr_assert_not_null(start(NULL, 0, &e));
	close(peer);
	run_until(is_answered);
	cr_expect_eq(answer_err.code, ERR_CLOSED);
	cr_expect_eq(downs, 1);
	cr_expect_null(start(NULL, 0, &e));
	cr_expect_eq(e.code, ERR_CONNECT);
}

LAUNCHER(it_connects_again)
{
	for (int i = 0; i < 3; i++) {
		int peer = connect_peer("");

		downs = 0;
		close(peer);
		run_until(is_down);
	}
	close(connect_peer(""));
}

static void
check_nonsense(const struct launch_started *m, int fd)
{
	int peer = connect_peer("");

	downs = 0;
	peer_answer(peer, m, fd);
	run_until(is_down);
	close(peer);
}

LAUNCHER(nonsense_ends_the_connection)
{
	check_nonsense(&(struct launch_started){ .id = 99, .pid = 1 }, 0);
	check_nonsense(&(struct launch_started){ .id = 99, .pid = 1 }, -1);
	check_nonsense(
		&(struct launch_started){ .id = 1, .pid = -1, .code = ERR_DENIED }, 0);
}

LAUNCHER(forgotten_starts_are_not_called_back)
{
	struct err e = { 0 };
	int peer = connect_peer("");
	struct launcher_call *c = start(NULL, 0, &e);

	cr_assert_not_null(c);
	launcher_forget(c);
	struct launch_start m = take_start(peer, &packet);

	peer_answer(peer, &(struct launch_started){ .id = m.id, .pid = getpid() },
		    pidfd_open(getpid(), 0));
	launch_start_free(&m);
	downs = 0;
	close(peer);
	run_until(is_down);
	cr_expect_eq(answers, 0);
}

LAUNCHER(removals_wait_until_it_is_there)
{
	char group[LAUNCH_MSG_GROUP];

	launcher_remove_group(launcher, "slipway-j1-1");
	launcher_remove_group(launcher, "slipway-j2-1");
	int peer = connect_peer("/g");

	launcher_remove_group(launcher, "slipway-j3-1");
	for (char n = '1'; n <= '3'; n++) {
		peer_receive(peer, &packet);
		cr_assert(launch_remove_decode(packet.data, packet.len, group,
					       sizeof(group)));
		cr_expect_eq(group[strlen("slipway-j")], n, "%s", group);
	}
	close(peer);
}

Test(launcher, one_that_is_not_there_is_told_once, .timeout = 30)
{
	peer_make_path();
	listener = -1;
	open_launcher(10000);
	run_until(is_down);
	/* It comes some tries later. */
	usleep(200000);
	listener = peer_listen();
	connect_peer("");
	cr_expect_eq(downs, 1);
	tear_down();
}

Test(launcher, one_that_is_stuck_is_given_up, .timeout = 30)
{
	struct err e = { 0 };

	peer_make_path();
	listener = peer_listen();
	open_launcher(300);
	connect_peer("");
	cr_assert_not_null(start(NULL, 0, &e));
	run_until(is_answered);
	cr_expect_eq(answer_err.code, ERR_TIMEOUT);
	cr_expect_eq(downs, 1);
	tear_down();
}
