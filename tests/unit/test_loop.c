#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/loop.h"

static struct loop *loop;
static char order[32];

/* A character as a callback's argument. */
#define CH(c) ((void *)(intptr_t)(c))

static void
note(void *arg)
{
	size_t len = strlen(order);

	cr_assert_lt(len, sizeof(order) - 1);
	order[len] = (char)(intptr_t)arg;
	order[len + 1] = '\0';
}

static void
stop(void *arg)
{
	loop_stop(loop);
}

static void
note_and_stop(void *arg)
{
	note(arg);
	loop_stop(loop);
}

static void
set_up(void)
{
	struct err e = { 0 };

	memset(order, 0, sizeof(order));
	loop = loop_new(&e);
	cr_assert(loop, "%s", e.msg);
}

static void
tear_down(void)
{
	loop_free(loop);
}

TestSuite(loop, .init = set_up, .fini = tear_down, .timeout = 20);

static void
defer_b(void *arg)
{
	note(CH('a'));
	loop_defer(loop, note, CH('b'));
}

static void
callback_of_first_turn(void *arg)
{
	note(CH('c'));
	loop_defer(loop, defer_b, NULL);
	loop_stop(loop);
	note(CH('d'));
}

Test(loop, a_turn_is_callbacks_then_defers_then_hooks)
{
	loop_on_turn_end(loop, note, CH('1'));
	loop_on_turn_end(loop, note, CH('2'));
	loop_post(loop, callback_of_first_turn, NULL);
	loop_run(loop);
	cr_assert_str_eq(order, "cdab12");
}

static void
hook_that_defers_once(void *arg)
{
	int *left = arg;

	note(CH('h'));
	if ((*left)-- > 0)
		loop_defer(loop, note, CH('x'));
}

Test(loop, hooks_run_again_when_they_deferred)
{
	int left = 1;

	loop_on_turn_end(loop, hook_that_defers_once, &left);
	loop_post(loop, stop, NULL);
	loop_run(loop);
	cr_assert_str_eq(order, "hxh");
}

Test(loop, a_defer_from_before_the_run_does_not_wait_for_events)
{
	loop_defer(loop, note_and_stop, CH('x'));
	loop_run(loop);
	cr_assert_str_eq(order, "x");
}

Test(loop, freeing_the_loop_runs_what_is_deferred)
{
	struct loop *other = loop_new(NULL);

	loop_defer(other, note, CH('x'));
	loop_free(other);
	cr_assert_str_eq(order, "x");
}

Test(loop, timers_fire_in_order_of_time_and_never_early)
{
	struct loop_timer *late = loop_timer_new(loop, note_and_stop, CH('b'));
	struct loop_timer *soon = loop_timer_new(loop, note, CH('a'));
	int64_t start = clock_mono_ms();

	loop_timer_set(late, 20);
	loop_timer_set(soon, 1);
	loop_run(loop);
	cr_assert_geq(clock_mono_ms() - start, 20);
	cr_assert_str_eq(order, "ab");
	loop_timer_free(late);
	loop_timer_free(soon);
}

Test(loop, a_timer_is_set_until_it_fires_or_is_stopped)
{
	struct loop_timer *t = loop_timer_new(loop, note_and_stop, CH('x'));

	cr_assert_not(loop_timer_is_set(t));
	loop_timer_set(t, 60000);
	cr_assert(loop_timer_is_set(t));
	loop_timer_stop(t);
	cr_assert_not(loop_timer_is_set(t));
	loop_timer_set(t, 0);
	loop_run(loop);
	cr_assert_not(loop_timer_is_set(t));
	loop_timer_set(t, 0);
	loop_run(loop);
	cr_assert_str_eq(order, "xx");
	loop_timer_free(t);
	loop_timer_free(NULL);
}

static struct loop_timer *own_timer;

static void
free_own_timer(void *arg)
{
	loop_timer_free(own_timer);
	loop_stop(loop);
}

Test(loop, a_timer_may_be_freed_by_its_own_callback)
{
	own_timer = loop_timer_new(loop, free_own_timer, NULL);
	loop_timer_set(own_timer, 0);
	loop_run(loop);
}

static void
on_ready(int fd, unsigned what, void *arg)
{
	char c;

	if (what & LOOP_WRITE)
		note(CH('w'));
	if (what & LOOP_READ) {
		cr_assert_eq(read(fd, &c, 1), 1);
		note(CH('r'));
	}
	loop_stop(loop);
}

Test(loop, an_fd_is_watched_for_what_was_asked)
{
	struct loop_fd *f;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f = loop_fd_new(loop, sv[0], LOOP_READ, on_ready, NULL);
	cr_assert_eq(write(sv[1], "x", 1), 1);
	loop_run(loop);
	cr_assert_str_eq(order, "r");
	loop_fd_set(f, LOOP_WRITE);
	loop_run(loop);
	cr_assert_str_eq(order, "rw");
	cr_assert_eq(write(sv[1], "x", 1), 1);
	loop_fd_set(f, LOOP_READ | LOOP_WRITE);
	loop_run(loop);
	cr_assert_str_eq(order, "rwwr");
	loop_fd_free(f);
	loop_fd_free(NULL);
	close(sv[0]);
	close(sv[1]);
}

Test(loop, a_paused_fd_is_left_alone)
{
	struct loop_timer *t = loop_timer_new(loop, note_and_stop, CH('t'));
	struct loop_fd *f;
	int sv[2];

	cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f = loop_fd_new(loop, sv[0], LOOP_READ | LOOP_WRITE, on_ready, NULL);
	loop_fd_set(f, 0);
	cr_assert_eq(write(sv[1], "x", 1), 1);
	loop_timer_set(t, 5);
	loop_run(loop);
	cr_assert_str_eq(order, "t");
	loop_timer_free(t);
	loop_fd_free(f);
	close(sv[0]);
	close(sv[1]);
}

static void
on_signal(int signo, void *arg)
{
	cr_assert_eq(signo, SIGUSR1);
	note_and_stop(arg);
}

Test(loop, a_signal_reaches_its_callback)
{
	struct loop_signal *s = loop_signal_new(loop, SIGUSR1, on_signal, CH('s'));

	raise(SIGUSR1);
	loop_run(loop);
	cr_assert_str_eq(order, "s");
	loop_signal_free(s);
}

enum { POSTS = 10000 };
static int posted;

static void
count_post(void *arg)
{
	cr_assert(loop_is_current(loop));
	cr_assert_eq((int)(intptr_t)arg, posted, "posts out of order");
	if (++posted == POSTS)
		loop_stop(loop);
}

static void *
post_many(void *arg)
{
	cr_assert_not(loop_is_current(loop));
	for (intptr_t i = 0; i < POSTS; i++)
		loop_post(loop, count_post, (void *)i);
	return NULL;
}

Test(loop, posts_of_a_thread_run_on_the_loop_in_order)
{
	pthread_t thread;

	posted = 0;
	pthread_create(&thread, NULL, post_many, NULL);
	loop_run(loop);
	pthread_join(thread, NULL);
	cr_assert_eq(posted, POSTS);
}
