/*
 * nursery_spawn(): find or start the user's process; send the request with the two
 * descriptors; receive the answer with the pidfd. When the process turns out to be dead
 * or stuck it is put away and the request goes to a new one, once.
 */
#include "nursery.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slipway/launch.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define ANSWER_SECONDS 10
#define OOM_SCORE_ADJ 500 /* helpers go before the daemon and before jobs' neighbours */

struct process {
	LIST_ENTRY(process) next;
	struct nursery_user user;
	struct launched launched;
	int sock;
};

struct nursery {
	char *program;
	pthread_mutex_t lock;
	LIST_HEAD(, process) processes; /* under lock */
};

struct nursery *
nursery_new(const char *program)
{
	struct nursery *n = xcalloc(1, sizeof(*n));

	n->program = xstrdup(program);
	pthread_mutex_init(&n->lock, NULL);
	LIST_INIT(&n->processes);
	return n;
}

static void
process_end(struct process *p)
{
	siginfo_t si;

	LIST_REMOVE(p, next);
	close(p->sock);
	syscall(SYS_pidfd_send_signal, p->launched.pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)p->launched.pidfd, &si, WEXITED) && errno == EINTR)
		;
	close(p->launched.pidfd);
	free(p);
}

void
nursery_free(struct nursery *n)
{
	if (!n)
		return;
	while (!LIST_EMPTY(&n->processes))
		process_end(LIST_FIRST(&n->processes));
	pthread_mutex_destroy(&n->lock);
	free(n->program);
	free(n);
}

static int
launch_process(struct nursery *n, struct process *p, int child_sock, struct err *e)
{
	const char *argv[] = { n->program, "nursery", NULL };
	/* Symbols are looked up once here, not again in each child. */
	const char *envp[8] = { "PATH=/usr/bin:/bin", "HOME=/nonexistent",
				"LANG=C.UTF-8", "LD_BIND_NOW=1" };
	const char *file = getenv("SSL_CERT_FILE"), *dir = getenv("SSL_CERT_DIR");
	cleanup_free char *file_env = file ? xasprintf("SSL_CERT_FILE=%s", file) : NULL;
	cleanup_free char *dir_env = dir ? xasprintf("SSL_CERT_DIR=%s", dir) : NULL;
	struct launch_fd fds[] = { { child_sock, 0 }, { 2, 2 } };
	struct launch_opts o = { .argv = argv, .envp = envp, .fds = fds,
				 .nfds = ARRAY_LEN(fds), .has_user = p->user.has_user,
				 .uid = p->user.uid, .gid = p->user.gid, .setsid = true,
				 .no_new_privs = true, .oom_score_adj = OOM_SCORE_ADJ };
	size_t nenv = 4;

	if (file_env)
		envp[nenv++] = file_env;
	if (dir_env)
		envp[nenv++] = dir_env;
	return launch(&o, &p->launched, e);
}

static struct process *
process_start(struct nursery *n, const struct nursery_user *user, struct err *e)
{
	struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	struct process *p;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
		err_sys(e, "socket of the git helper");
		return NULL;
	}
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	p = xcalloc(1, sizeof(*p));
	p->user = *user;
	p->sock = pair[0];
	if (launch_process(n, p, pair[1], e)) {
		close(pair[0]);
		close(pair[1]);
		free(p);
		return NULL;
	}
	close(pair[1]);
	LIST_INSERT_HEAD(&n->processes, p, next);
	log_debug(LOG_WORKER, "helper=%d started", (int)p->launched.pid);
	return p;
}

static struct process *
process_find(struct nursery *n, const struct nursery_user *user)
{
	struct process *p;

	LIST_FOREACH(p, &n->processes, next)
		if (p->user.has_user == user->has_user &&
		    (!user->has_user || (p->user.uid == user->uid &&
					 p->user.gid == user->gid)))
			return p;
	return NULL;
}

static int
send_request(const struct process *p, const struct worker_spawn *limits,
	     const int fds[2])
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct wire_w w = { 0 };
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c = &control.align;
	ssize_t n;

	memset(&control, 0, sizeof(control));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(c), fds, 2 * sizeof(int));
	worker_spawn_encode(limits, &w);
	iov = (struct iovec){ w.data, w.len };
	n = sendmsg(p->sock, &m, MSG_NOSIGNAL);
	wire_w_free(&w);
	return n < 0 ? -1 : 0;
}

/* 0, and errno of the nursery in *error, or -1 when no proper answer came. */
static int
receive_answer(const struct process *p, int *pidfd, int *error)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	uint8_t data[WORKER_SPAWN_MAX];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c;
	ssize_t n;

	*pidfd = -1;
	do
		n = recvmsg(p->sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(pidfd, CMSG_DATA(c), sizeof(int));
	if (!worker_spawned_decode(data, (size_t)n, error) ||
	    (*error == 0) != (*pidfd >= 0)) {
		if (*pidfd >= 0)
			close(steal_fd(pidfd));
		return -1;
	}
	return 0;
}

/* 0 or -1 with e; 1 when the process is of no use any more. */
static int
try_spawn(struct process *p, const struct worker_spawn *limits, const int fds[2],
	  int *pidfd, struct err *e)
{
	int error;

	if (send_request(p, limits, fds) || receive_answer(p, pidfd, &error))
		return 1;
	if (!error)
		return 0;
	errno = error;
	return err_sys(e, "the git helper cannot start a process");
}

int
nursery_spawn(struct nursery *n, const struct nursery_user *user,
	      const struct worker_spawn *limits, const int fds[2], int *pidfd,
	      struct err *e)
{
	int rc = 1;

	pthread_mutex_lock(&n->lock);
	for (int attempt = 0; rc > 0 && attempt < 2; attempt++) {
		struct process *p = process_find(n, user);

		if (!p)
			p = process_start(n, user, e);
		if (!p) {
			rc = -1;
			break;
		}
		rc = try_spawn(p, limits, fds, pidfd, e);
		if (rc > 0) {
			log_warn(LOG_WORKER, "helper=%d died, another one is started",
				 (int)p->launched.pid);
			process_end(p);
		}
	}
	pthread_mutex_unlock(&n->lock);
	return rc > 0 ? err_set(e, ERR_INTERNAL, "the git helper does not start") : rc;
}
