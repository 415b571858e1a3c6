/*
 *     connect → HELLO → WELCOME: up → START → STARTED ...
 *     any failure, a wrong answer, an answer that does not come → down: all calls are
 *     answered with ERR_CLOSED or ERR_TIMEOUT, and after a pause it connects again
 *
 * Unix sockets connect at once or not at all, so there is no state in between.
 */
#include "launcher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/launch_msg.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 2000
/* slipway-launch refuses what is late; its refusal may take a moment, too. */
#define SLACK_MS 2000

_Static_assert(LAUNCH_MSG_FDS == LAUNCH_FDS, "the message carries all descriptors");
_Static_assert(LAUNCH_MSG_FD_MAX == LAUNCH_FD_MAX, "and all numbers");

struct launcher_call {
	TAILQ_ENTRY(launcher_call) next;
	struct launcher *l;
	uint32_t id;
	int64_t due;	 /* clock_mono_ms() */
	launcher_fn *fn; /* NULL: forgotten */
	void *arg;
};
TAILQ_HEAD(calls, launcher_call);

struct removal {
	STAILQ_ENTRY(removal) next;
	char name[];
};
STAILQ_HEAD(removals, removal);

struct launcher {
	struct loop *loop;
	char *socket;
	int64_t patience_ms;
	struct launcher_events ev;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timer; /* down: the next try; up: the first call's end */
	unsigned retry_ms;
	bool up, told_down;
	uint32_t last_id;
	struct calls calls;	  /* in order of their end */
	struct removals removals; /* that could not be sent */
};

static void go_down(struct launcher *l, enum err_code code, const char *why);

static int
send_message(struct launcher *l, struct wire_w *w, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(LAUNCH_MSG_FDS * sizeof(int))];
	} control;
	struct iovec iov = { w->data, w->len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		memset(&control, 0, sizeof(control));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nfds * sizeof(int));
		m.msg_control = control.space;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	ssize_t n = sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

	wire_w_free(w);
	return n < 0 ? -1 : 0;
}

/* Calls */

static void
arm(struct launcher *l)
{
	struct launcher_call *c = TAILQ_FIRST(&l->calls);
	int64_t left = c ? c->due - clock_mono_ms() : 0;

	if (c)
		loop_timer_set(l->timer, left > 0 ? left : 0);
	else
		loop_timer_stop(l->timer);
}

static void
call_end(struct launcher_call *c, const struct launched *p, const struct err *e)
{
	TAILQ_REMOVE(&c->l->calls, c, next);
	if (c->fn)
		c->fn(c->arg, p, e);
	else if (p)
		close(p->pidfd);
	free(c);
}

void
launcher_forget(struct launcher_call *c)
{
	c->fn = NULL;
}

static void
fill_message(struct launch_start *m, const struct launch_opts *o,
	     const struct launcher_group *g)
{
	m->argv = o->argv;
	m->envp = o->envp;
	m->cwd = o->cwd;
	m->nfds = o->nfds;
	for (size_t i = 0; i < o->nfds; i++)
		m->fds[i] = o->fds[i].to;
	m->nlimits = o->nrlimits;
	for (size_t i = 0; i < o->nrlimits; i++)
		m->limits[i] = (struct launch_msg_limit){
			(uint32_t)o->rlimits[i].resource,
			o->rlimits[i].soft,
			o->rlimits[i].hard,
		};
	m->has_user = o->has_user;
	m->uid = o->uid;
	m->gid = o->gid;
	m->setsid = o->setsid;
	m->no_new_privs = o->no_new_privs;
	m->oom_score_adj = o->oom_score_adj;
	if (!g)
		return;
	STR_COPY(m->group, g->name);
	m->memory = g->limits->memory;
	m->pids = g->limits->pids;
	m->cpu_permille = (uint32_t)(g->limits->cpus * 1000);
}

static int
send_start(struct launcher *l, uint32_t id, const struct launch_opts *o,
	   const struct launcher_group *g, struct err *e)
{
	struct launch_start m = {
		.id = id, .deadline_ms = (uint64_t)(clock_boot_ms() + l->patience_ms)
	};
	int fds[LAUNCH_MSG_FDS];
	struct wire_w w;

	if (o->nfds > LAUNCH_MSG_FDS || o->nrlimits > LAUNCH_MSG_LIMITS)
		return err_set(e, ERR_INVALID, "too many descriptors or limits");
	fill_message(&m, o, g);
	for (size_t i = 0; i < o->nfds; i++)
		fds[i] = o->fds[i].from;
	if (!launch_start_encode(&m, &w))
		return err_set(e, ERR_TOO_LARGE, "too much for slipway-launch");
	if (!send_message(l, &w, fds, o->nfds))
		return 0;
	return err_set(e, ERR_CONNECT, "slipway-launch: %s", strerror(errno));
}

struct launcher_call *
launcher_start(struct launcher *l, const struct launch_opts *o,
	       const struct launcher_group *group, launcher_fn *fn, void *arg,
	       struct err *e)
{
	struct launcher_call *c;

	if (!l->up) {
		err_set(e, ERR_CONNECT, "slipway-launch does not answer");
		return NULL;
	}
	if (send_start(l, l->last_id + 1, o, group, e))
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->l = l;
	c->id = ++l->last_id;
	c->due = clock_mono_ms() + l->patience_ms + SLACK_MS;
	c->fn = fn;
	c->arg = arg;
	TAILQ_INSERT_TAIL(&l->calls, c, next);
	arm(l);
	return c;
}

/* Groups */

static int
send_removal(struct launcher *l, const char *name)
{
	struct wire_w w;

	/* What cannot be said is not worth to be kept. */
	return launch_remove_encode(name, &w) ? send_message(l, &w, NULL, 0) : 0;
}

static void
send_removals(struct launcher *l)
{
	struct removal *r;

	while ((r = STAILQ_FIRST(&l->removals)) && !send_removal(l, r->name)) {
		STAILQ_REMOVE_HEAD(&l->removals, next);
		free(r);
	}
}

void
launcher_remove_group(struct launcher *l, const char *name)
{
	size_t size = strlen(name) + 1;
	struct removal *r = xcalloc(1, sizeof(*r) + size);

	memcpy(r->name, name, size);
	STAILQ_INSERT_TAIL(&l->removals, r, next);
	if (l->up)
		send_removals(l);
}

/* Answers */

static struct launcher_call *
find_call(struct launcher *l, uint32_t id)
{
	struct launcher_call *c;

	TAILQ_FOREACH(c, &l->calls, next)
		if (c->id == id)
			return c;
	return NULL;
}

static bool
on_started(struct launcher *l, const void *data, size_t len, int *pidfd)
{
	struct launch_started m;
	struct launched p;
	struct err e = { 0 };

	if (!launch_started_decode(data, len, &m) ||
	    (m.code == ERR_NONE) != (*pidfd >= 0))
		return false;
	struct launcher_call *c = find_call(l, m.id);

	if (!c)
		return false;
	p = (struct launched){ m.pid, steal_fd(pidfd) };
	/* These two mean something else here. */
	if (m.code == ERR_CLOSED || m.code == ERR_TIMEOUT)
		m.code = ERR_CONNECT;
	if (m.code != ERR_NONE)
		err_set(&e, m.code, "%s", m.msg);
	call_end(c, e.code ? NULL : &p, e.code ? &e : NULL);
	arm(l);
	return true;
}

static bool
on_welcome(struct launcher *l, const void *data, size_t len)
{
	char group[CGROUP_PATH];

	if (!launch_welcome_decode(data, len, group, sizeof(group)))
		return false;
	l->up = true;
	l->told_down = false;
	l->retry_ms = RETRY_FIRST_MS;
	arm(l);
	log_info(LOG_EXEC, "slipway-launch answers on %s", l->socket);
	send_removals(l);
	l->ev.on_up(l->ev.arg, group);
	return true;
}

static int
take_fd(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

static void
on_readable(int sock, unsigned what, void *arg)
{
	struct launcher *l = arg;
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t data[2048];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space) };
	ssize_t n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		go_down(l, ERR_CLOSED,
			l->up ? "it ended"
			      : "it hung up on us: is it "
				"of another version?");
		return;
	}
	cleanup_close int fd = take_fd(&m);
	bool is_good = !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
		       (l->up ? on_started(l, data, (size_t)n, &fd)
			      : on_welcome(l, data, (size_t)n));

	if (!is_good)
		go_down(l, ERR_CLOSED, "its answer makes no sense");
}

/* The connection */

static int
connect_now(struct launcher *l)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX,
				      SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct wire_w w;

	if (!STR_COPY(sun.sun_path, l->socket)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (fd < 0 || connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
		return -1;
	l->fd = steal_fd(&fd);
	l->watch = loop_fd_new(l->loop, l->fd, LOOP_READ, on_readable, l);
	loop_timer_set(l->timer, l->patience_ms);
	return launch_hello_encode(&w) ? send_message(l, &w, NULL, 0) : -1;
}

static void
free_watch(void *watch)
{
	loop_fd_free(watch);
}

static void
hang_up(struct launcher *l)
{
	if (l->watch) {
		loop_fd_set(l->watch, 0);
		loop_defer(l->loop, free_watch, STEAL(l->watch));
	}
	if (l->fd >= 0)
		close(steal_fd(&l->fd));
	l->up = false;
}

static void
tell_down(struct launcher *l, const char *why)
{
	char text[400];

	if (l->told_down)
		return;
	l->told_down = true;
	snprintf(text, sizeof(text), "slipway-launch on %s does not answer: %s",
		 l->socket, why);
	log_warn(LOG_EXEC, "%s", text);
	l->ev.on_down(l->ev.arg, text);
}

static void
go_down(struct launcher *l, enum err_code code, const char *why)
{
	struct launcher_call *c;
	struct err e = { 0 };

	hang_up(l);
	loop_timer_set(l->timer, l->retry_ms);
	l->retry_ms = l->retry_ms * 2 < RETRY_MAX_MS ? l->retry_ms * 2 : RETRY_MAX_MS;
	tell_down(l, why);
	err_set(&e, code, "slipway-launch did not tell whether it started: %s", why);
	while ((c = TAILQ_FIRST(&l->calls)))
		call_end(c, NULL, &e);
}

static void
on_timer(void *arg)
{
	struct launcher *l = arg;

	if (l->fd >= 0)
		go_down(l, ERR_TIMEOUT, "no answer in time");
	else if (connect_now(l))
		go_down(l, ERR_CLOSED, strerror(errno));
}

struct launcher *
launcher_new(struct loop *loop, const char *socket, int64_t patience_ms,
	     const struct launcher_events *ev)
{
	struct launcher *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->socket = xstrdup(socket);
	l->patience_ms = patience_ms;
	l->ev = *ev;
	l->fd = -1;
	l->retry_ms = RETRY_FIRST_MS;
	TAILQ_INIT(&l->calls);
	STAILQ_INIT(&l->removals);
	l->timer = loop_timer_new(loop, on_timer, l);
	loop_timer_set(l->timer, 0);
	return l;
}

void
launcher_free(struct launcher *l)
{
	struct launcher_call *c;
	struct removal *r;

	if (!l)
		return;
	hang_up(l);
	loop_timer_free(l->timer);
	while ((c = TAILQ_FIRST(&l->calls))) {
		TAILQ_REMOVE(&l->calls, c, next);
		free(c);
	}
	while ((r = STAILQ_FIRST(&l->removals))) {
		STAILQ_REMOVE_HEAD(&l->removals, next);
		free(r);
	}
	free(l->socket);
	free(l);
}
