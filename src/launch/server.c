/*
 *     listen → accept → is it us, or root? → conns[]
 *     packet → its type's handler → answer
 *         START: deadline, policy, user → group → launch() → STARTED + pidfd
 *         REMOVE: at once, or from then on at each tick until the group is empty
 *     SIGCHLD → reap       SIGTERM → end
 *
 * A peer that breaks the protocol, or whose answer cannot be sent, is hung up on.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/launch.h"
#include "slipway/launch_msg.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/sdnotify.h"

#define CONNS_MAX 16
#define REMOVALS_MAX 64
#define REMOVAL_TICK_MS 20
#define REMOVAL_TRIES 500

struct removal {
	char group[LAUNCH_MSG_GROUP];
	unsigned tries;
};

struct server {
	const struct server_opts *o;
	int listener, signals;
	int conns[CONNS_MAX]; /* -1: free */
	struct removal removals[REMOVALS_MAX];
	size_t nremovals;
	bool ending;
};

struct packet {
	uint8_t data[LAUNCH_MSG_MAX];
	size_t len;
	int fds[LAUNCH_MSG_FDS];
	size_t nfds;
};

bool
server_may_ask(uid_t peer, uid_t self)
{
	return peer == self || peer == 0;
}

int
server_check_user(bool has_user, uid_t wanted, uid_t self, bool *change, struct err *e)
{
	*change = has_user && wanted != self;
	if (has_user ? wanted == 0 : self == 0)
		return err_set(e, ERR_DENIED, "sandboxes never run as root");
	if (*change && self != 0)
		return err_set(e, ERR_DENIED,
			       "sandboxes run as user %u here, not as %u: start "
			       "slipwayd as the same user",
			       (unsigned)self, (unsigned)wanted);
	return 0;
}

static void
hang_up(int *conn, const char *why)
{
	if (why)
		log_warn(LOG_EXEC, "a peer is hung up on: %s", why);
	close(steal_fd(conn));
}

/* Packets */

static void
packet_close_fds(struct packet *p)
{
	for (size_t i = 0; i < p->nfds; i++)
		close(p->fds[i]);
	p->nfds = 0;
}

static void
packet_take_fds(struct packet *p, struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return;
	p->nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(p->fds, CMSG_DATA(c), p->nfds * sizeof(int));
}

/* 1: one is there; 0: not yet; -1: the end, or nothing of ours. */
static int
packet_receive(struct packet *p, int conn)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(LAUNCH_MSG_FDS * sizeof(int))];
	} control;
	struct iovec iov = { p->data, sizeof(p->data) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space) };
	ssize_t n = recvmsg(conn, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	p->nfds = 0;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	packet_take_fds(p, &m);
	p->len = (size_t)n;
	if (n > 0 && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return 1;
	packet_close_fds(p);
	return -1;
}

static int
send_packet(int conn, struct wire_w *w, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { w->data, w->len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
	}
	ssize_t n = sendmsg(conn, &m, MSG_NOSIGNAL | MSG_DONTWAIT);

	wire_w_free(w);
	return n < 0 ? -1 : 0;
}

/* START */

static int
check_start(const struct server *s, const struct launch_start *m,
	    const struct packet *p, struct launch_opts *o, struct err *e)
{
	if (p->nfds != m->nfds)
		return err_set(e, ERR_PROTOCOL, "%zu descriptors came for %zu", p->nfds,
			       m->nfds);
	if ((uint64_t)clock_boot_ms() > m->deadline_ms)
		return err_set(e, ERR_TIMEOUT, "slipway-launch was asked too long ago");
	if (policy_check(&s->o->policy, m->argv, e))
		return -1;
	return server_check_user(m->has_user, m->uid, geteuid(), &o->has_user, e);
}

static int
start(struct server *s, const struct launch_start *m, const struct packet *p,
      struct launched *out, struct err *e)
{
	const struct cgroup_limits limits = { m->memory, m->pids,
					      m->cpu_permille / 1000.0 };
	struct launch_rlimit rlimits[LAUNCH_MSG_LIMITS];
	struct launch_fd fds[LAUNCH_MSG_FDS];
	struct launch_opts o = {
		.argv = m->argv,
		.envp = m->envp,
		.fds = fds,
		.nfds = m->nfds,
		.rlimits = rlimits,
		.nrlimits = m->nlimits,
		.uid = m->uid,
		.gid = m->gid,
		.cwd = *m->cwd ? m->cwd : NULL,
		.setsid = m->setsid,
		.no_new_privs = m->no_new_privs,
		.oom_score_adj = m->oom_score_adj,
	};
	cleanup_close int procs = -1;

	if (check_start(s, m, p, &o, e))
		return -1;
	for (size_t i = 0; i < m->nfds; i++)
		fds[i] = (struct launch_fd){ p->fds[i], m->fds[i] };
	for (size_t i = 0; i < m->nlimits; i++)
		rlimits[i] = (struct launch_rlimit){ (int)m->limits[i].resource,
						     m->limits[i].soft,
						     m->limits[i].hard };
	if (*m->group && s->o->groups.parent[0]) {
		procs = cgroup_leaf_create(&s->o->groups, m->group, &limits, e);
		if (procs < 0)
			return -1;
		o.cgroup_procs_fd = procs;
	}
	if (!launch(&o, out, e))
		return 0;
	if (procs >= 0)
		cgroup_leaf_remove(&s->o->groups, m->group);
	return -1;
}

static int
on_start(struct server *s, int conn, struct packet *p)
{
	struct launched l = { -1, -1 };
	struct launch_started answer;
	struct launch_start m;
	struct err e = { 0 };
	struct wire_w w;

	if (!launch_start_decode(p->data, p->len, &m))
		return -1;
	const char *name = *m.group ? m.group : "-";

	if (start(s, &m, p, &l, &e))
		log_warn(LOG_EXEC, "sandbox=%s not started: %s", name, e.msg);
	else
		log_info(LOG_EXEC, "sandbox=%s pid=%d started", name, (int)l.pid);
	answer = (struct launch_started){ .id = m.id, .pid = l.pid, .code = e.code };
	STR_COPY(answer.msg, e.msg);
	launch_start_free(&m);
	/* Who asked may be gone: the status file then tells its successor. */
	int rc = launch_started_encode(&answer, &w) ? send_packet(conn, &w, l.pidfd)
						    : -1;

	if (l.pidfd >= 0)
		close(l.pidfd);
	return rc;
}

/* HELLO */

static int
on_hello(struct server *s, int conn, struct packet *p)
{
	struct wire_w w;

	return launch_hello_decode(p->data, p->len) &&
			       launch_welcome_encode(s->o->groups.parent, &w)
		       ? send_packet(conn, &w, -1)
		       : -1;
}

/* REMOVE */

static bool
is_over(const struct server *s, struct removal *r)
{
	if (cgroup_leaf_remove(&s->o->groups, r->group))
		return true;
	if (++r->tries < REMOVAL_TRIES)
		return false;
	log_warn(LOG_EXEC, "sandbox=%s its control group stays", r->group);
	return true;
}

static void
remove_groups(struct server *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->nremovals; i++)
		if (!is_over(s, &s->removals[i]))
			s->removals[kept++] = s->removals[i];
	s->nremovals = kept;
}

static int
on_remove(struct server *s, int conn, struct packet *p)
{
	struct removal r = { .tries = 0 };

	if (!launch_remove_decode(p->data, p->len, r.group, sizeof(r.group)))
		return -1;
	if (!s->o->groups.parent[0] || is_over(s, &r))
		return 0;
	if (s->nremovals == REMOVALS_MAX)
		log_warn(LOG_EXEC, "sandbox=%s its control group stays", r.group);
	else
		s->removals[s->nremovals++] = r;
	return 0;
}

static int (*const handlers[])(struct server *s, int conn, struct packet *p) = {
	[LAUNCH_HELLO] = on_hello,
	[LAUNCH_START] = on_start,
	[LAUNCH_REMOVE] = on_remove,
};

static void
on_readable(struct server *s, int *conn)
{
	static struct packet p;
	int got = packet_receive(&p, *conn);
	enum launch_msg_type type;

	if (got < 0)
		hang_up(conn, NULL);
	if (got <= 0)
		return;
	type = launch_msg_peek(p.data, p.len);
	if (type >= ARRAY_LEN(handlers) || !handlers[type])
		hang_up(conn, "it speaks another version");
	else if (handlers[type](s, *conn, &p))
		hang_up(conn, "it breaks the protocol, or is gone");
	packet_close_fds(&p);
}

static void
on_connection(struct server *s)
{
	cleanup_close int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	    !server_may_ask(peer.uid, geteuid())) {
		log_warn(LOG_EXEC, "user %u may not start sandboxes here",
			 (unsigned)peer.uid);
		return;
	}
	for (size_t i = 0; i < CONNS_MAX; i++)
		if (s->conns[i] < 0) {
			s->conns[i] = steal_fd(&fd);
			return;
		}
	log_warn(LOG_EXEC, "more than %d connections", CONNS_MAX);
}

static void
on_signal(struct server *s)
{
	struct signalfd_siginfo info;
	pid_t pid;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo != SIGCHLD) {
		s->ending = true;
		return;
	}
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		log_debug(LOG_EXEC, "pid=%d ended", (int)pid);
}

static int
open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool
is_answered(const struct sockaddr_un *sun)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0;
}

static int
listen_at(const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	cleanup_close int fd = -1;

	if (!STR_COPY(sun.sun_path, path))
		return err_set(e, ERR_INVALID, "%s: the path is too long", path);
	if (is_answered(&sun))
		return err_set(e, ERR_CONFLICT, "%s: another one listens there", path);
	unlink(path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	int r = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&sun, sizeof(sun));

	umask(mask);
	if (r || listen(fd, SOMAXCONN))
		return err_sys(e, "%s", path);
	return steal_fd(&fd);
}

static int
open_listener(const char *path, struct err *e)
{
	int fd = sdnotify_listen_fd(), type = 0;
	socklen_t len = sizeof(type);

	if (fd < 0)
		return path ? listen_at(path, e)
			    : err_set(e, ERR_INVALID,
				      "no socket: neither --socket "
				      "nor one from the service manager");
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
	    type != SOCK_SEQPACKET || fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
		return err_set(e, ERR_INVALID,
			       "the socket from the service manager is "
			       "no ListenSequentialPacket=");
	return fd;
}

static void
serve(struct server *s)
{
	struct pollfd polls[2 + CONNS_MAX] = { { .fd = s->signals, .events = POLLIN },
					       { .fd = s->listener,
						 .events = POLLIN } };

	while (!s->ending) {
		for (size_t i = 0; i < CONNS_MAX; i++)
			polls[2 + i] = (struct pollfd){ s->conns[i], POLLIN, 0 };
		if (poll(polls, ARRAY_LEN(polls), s->nremovals ? REMOVAL_TICK_MS : -1) <
		    0)
			continue;
		remove_groups(s);
		if (polls[0].revents)
			on_signal(s);
		for (size_t i = 0; i < CONNS_MAX; i++)
			if (polls[2 + i].revents)
				on_readable(s, &s->conns[i]);
		if (polls[1].revents)
			on_connection(s);
	}
}

int
server_run(const struct server_opts *o, struct err *e)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->o = o;
	memset(s->conns, -1, sizeof(s->conns));
	s->signals = open_signals();
	s->listener = open_listener(o->socket, e);
	if (s->listener < 0 || s->signals < 0) {
		int r = s->listener < 0 ? -1 : err_sys(e, "signals");

		free(s);
		return r;
	}
	log_info(LOG_EXEC, "ready, limits=%s",
		 o->groups.parent[0] ? o->groups.parent : "rlimits");
	sdnotify("READY=1\nSTATUS=starts sandboxes for slipwayd");
	serve(s);
	sdnotify("STOPPING=1\nSTATUS=sandboxes run on");
	for (size_t i = 0; i < CONNS_MAX; i++)
		if (s->conns[i] >= 0)
			close(s->conns[i]);
	close(s->listener);
	close(s->signals);
	free(s);
	return 0;
}
