/*
 * A turn, in order:
 *
 *   run_callbacks()  one libevent dispatch: timers, fds, signals, then posts
 *   end_turn()       defers until none is left, then the turn-end hooks;
 *                    again when the hooks deferred something
 *
 * libevent has no notion of "the end of the turn", so the loop dispatches once at a
 * time. Other threads reach it only through the list of posts and its eventfd; with
 * nothing to do the thread sleeps in the kernel without any periodic wake-up.
 */
#include "slipway/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include <event2/event.h>

#include "loop_mem.h"
#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

struct call {
	STAILQ_ENTRY(call) next;
	void (*fn)(void *);
	void *arg;
};
STAILQ_HEAD(calls, call);

struct loop {
	struct event_base *base;
	struct event *posted;
	int post_fd;
	bool stop;
	_Atomic pthread_t thread;
	struct calls defers;
	struct calls turn_ends;
	pthread_mutex_t post_lock;
	struct calls posts; /* under post_lock */
};

struct loop_timer {
	struct event *ev;
	void (*on_fire)(void *);
	void *arg;
	int64_t due;
};

struct loop_fd {
	struct event *ev;
	struct event_base *base;
	int fd;
	unsigned what;
	void (*on_ready)(int fd, unsigned what, void *arg);
	void *arg;
};

struct loop_signal {
	struct event *ev;
	void (*on_signal)(int signo, void *arg);
	void *arg;
};

static struct call *
call_new(void (*fn)(void *), void *arg)
{
	struct call *c = xmalloc(sizeof(*c));

	c->fn = fn;
	c->arg = arg;
	return c;
}

static void
calls_run(struct calls *calls)
{
	struct call *c;

	while ((c = STAILQ_FIRST(calls))) {
		STAILQ_REMOVE_HEAD(calls, next);
		c->fn(c->arg);
		free(c);
	}
}

static void
calls_free(struct calls *calls)
{
	struct call *c;

	while ((c = STAILQ_FIRST(calls))) {
		STAILQ_REMOVE_HEAD(calls, next);
		free(c);
	}
}

static void
on_libevent_message(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_ERR)
		log_error(LOG_LOOP, "libevent: %s", msg);
	else if (severity == EVENT_LOG_WARN)
		log_warn(LOG_LOOP, "libevent: %s", msg);
	else
		log_debug(LOG_LOOP, "libevent: %s", msg);
}

static void
on_libevent_fatal(int code)
{
	log_fatal(LOG_LOOP, "libevent gave up with code %d", code);
}

static void
on_posted(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct calls posts = STAILQ_HEAD_INITIALIZER(posts);
	eventfd_t count;

	if (eventfd_read(fd, &count) < 0 && errno != EAGAIN)
		log_fatal(LOG_LOOP, "eventfd: %s", strerror(errno));
	pthread_mutex_lock(&l->post_lock);
	STAILQ_CONCAT(&posts, &l->posts);
	pthread_mutex_unlock(&l->post_lock);
	calls_run(&posts);
}

struct loop *
loop_new(struct err *e)
{
	struct loop *l = xcalloc(1, sizeof(*l));

	STAILQ_INIT(&l->defers);
	STAILQ_INIT(&l->turn_ends);
	STAILQ_INIT(&l->posts);
	pthread_mutex_init(&l->post_lock, NULL);
	l->thread = pthread_self();
	/* Peers leave while we write to them; that is EPIPE, not our death. */
	signal(SIGPIPE, SIG_IGN);
	loop_mem_use();
	event_set_log_callback(on_libevent_message);
	event_set_fatal_callback(on_libevent_fatal);

	l->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->post_fd < 0) {
		err_sys(e, "eventfd");
		goto fail;
	}
	l->base = event_base_new();
	if (!l->base) {
		err_sys(e, "event base");
		goto fail;
	}
	l->posted = event_new(l->base, l->post_fd, EV_READ | EV_PERSIST, on_posted, l);
	if (!l->posted || event_add(l->posted, NULL) < 0) {
		err_set(e, ERR_SYSTEM, "cannot watch the eventfd");
		goto fail;
	}
	return l;
fail:
	loop_free(l);
	return NULL;
}

void
loop_free(struct loop *l)
{
	if (!l)
		return;
	/* Most of what is deferred frees something. */
	calls_run(&l->defers);
	calls_free(&l->turn_ends);
	calls_free(&l->posts);
	if (l->posted)
		event_free(l->posted);
	if (l->base)
		event_base_free(l->base);
	if (l->post_fd >= 0)
		close(l->post_fd);
	pthread_mutex_destroy(&l->post_lock);
	free(l);
}

static void
end_turn(struct loop *l)
{
	struct call *hook;

	do {
		calls_run(&l->defers);
		STAILQ_FOREACH(hook, &l->turn_ends, next)
			hook->fn(hook->arg);
	} while (!STAILQ_EMPTY(&l->defers));
}

static void
run_callbacks(struct loop *l)
{
	/* Something may have been deferred before the loop ran. */
	int flags = STAILQ_EMPTY(&l->defers) ? EVLOOP_ONCE : EVLOOP_NONBLOCK;

	if (event_base_loop(l->base, flags) < 0)
		log_fatal(LOG_LOOP, "event loop: %s", strerror(errno));
}

void
loop_run(struct loop *l)
{
	l->thread = pthread_self();
	while (!l->stop) {
		run_callbacks(l);
		end_turn(l);
	}
	l->stop = false;
}

void
loop_stop(struct loop *l)
{
	l->stop = true;
}

int
loop_is_current(const struct loop *l)
{
	return pthread_equal(l->thread, pthread_self());
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

static void *
must(void *event)
{
	if (!event)
		log_fatal(LOG_LOOP, "out of memory for an event");
	return event;
}

static void
timer_arm(struct loop_timer *t, int64_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (event_add(t->ev, &tv) < 0)
		log_fatal(LOG_LOOP, "cannot arm a timer");
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;
	int64_t left = t->due - clock_mono_ms();

	/* libevent counts on a coarse clock, from the start of the turn that armed
	 * the timer, so it may be early; owners compare deadlines with the clock. */
	if (left > 0)
		timer_arm(t, left);
	else
		t->on_fire(t->arg);
}

struct loop_timer *
loop_timer_new(struct loop *l, void (*on_fire)(void *), void *arg)
{
	struct loop_timer *t = xcalloc(1, sizeof(*t));

	t->on_fire = on_fire;
	t->arg = arg;
	t->ev = must(evtimer_new(l->base, on_timeout, t));
	return t;
}

void
loop_timer_set(struct loop_timer *t, int64_t ms)
{
	if (ms < 0)
		ms = 0;
	t->due = clock_mono_ms() + ms;
	timer_arm(t, ms);
}

void
loop_timer_stop(struct loop_timer *t)
{
	event_del(t->ev);
}

int
loop_timer_is_set(const struct loop_timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

void
loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	event_free(t->ev);
	free(t);
}

static void
on_fd_ready(evutil_socket_t fd, short what, void *arg)
{
	struct loop_fd *f = arg;
	unsigned ready = (what & EV_READ ? LOOP_READ : 0) |
			 (what & EV_WRITE ? LOOP_WRITE : 0);

	f->on_ready(fd, ready, f->arg);
}

static void
fd_arm(struct loop_fd *f)
{
	short what = (short)((f->what & LOOP_READ ? EV_READ : 0) |
			     (f->what & LOOP_WRITE ? EV_WRITE : 0));

	if (!what)
		return;
	if (event_assign(f->ev, f->base, f->fd, (short)(what | EV_PERSIST), on_fd_ready,
			 f) < 0 ||
	    event_add(f->ev, NULL) < 0)
		log_fatal(LOG_LOOP, "cannot watch fd %d", f->fd);
}

struct loop_fd *
loop_fd_new(struct loop *l, int fd, unsigned what,
	    void (*on_ready)(int fd, unsigned what, void *arg), void *arg)
{
	struct loop_fd *f = xcalloc(1, sizeof(*f));

	f->base = l->base;
	f->fd = fd;
	f->what = what;
	f->on_ready = on_ready;
	f->arg = arg;
	f->ev = must(event_new(l->base, fd, EV_READ | EV_PERSIST, on_fd_ready, f));
	fd_arm(f);
	return f;
}

void
loop_fd_set(struct loop_fd *f, unsigned what)
{
	if (f->what == what)
		return;
	event_del(f->ev);
	f->what = what;
	fd_arm(f);
}

void
loop_fd_free(struct loop_fd *f)
{
	if (!f)
		return;
	event_free(f->ev);
	free(f);
}

static void
on_signal_caught(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	s->on_signal(signo, s->arg);
}

struct loop_signal *
loop_signal_new(struct loop *l, int signo, void (*on_signal)(int signo, void *arg),
		void *arg)
{
	struct loop_signal *s = xcalloc(1, sizeof(*s));

	s->on_signal = on_signal;
	s->arg = arg;
	s->ev = must(evsignal_new(l->base, signo, on_signal_caught, s));
	if (event_add(s->ev, NULL) < 0)
		log_fatal(LOG_LOOP, "cannot watch signal %d", signo);
	return s;
}

void
loop_signal_free(struct loop_signal *s)
{
	if (!s)
		return;
	event_free(s->ev);
	free(s);
}

void
loop_defer(struct loop *l, void (*fn)(void *), void *arg)
{
	struct call *c = call_new(fn, arg);

	STAILQ_INSERT_TAIL(&l->defers, c, next);
}

void
loop_on_turn_end(struct loop *l, void (*fn)(void *), void *arg)
{
	struct call *c = call_new(fn, arg);

	STAILQ_INSERT_TAIL(&l->turn_ends, c, next);
}

void
loop_post(struct loop *l, void (*fn)(void *), void *arg)
{
	struct call *c = call_new(fn, arg);
	bool first;

	pthread_mutex_lock(&l->post_lock);
	first = STAILQ_EMPTY(&l->posts);
	STAILQ_INSERT_TAIL(&l->posts, c, next);
	/* Inside the lock: once it is open the loop may run this post and go away. */
	if (first && eventfd_write(l->post_fd, 1) < 0)
		log_fatal(LOG_LOOP, "eventfd: %s", strerror(errno));
	pthread_mutex_unlock(&l->post_lock);
}
