/*
 * A loop over one socket: receive a request with its two descriptors, fork, answer with
 * the child's pidfd. The forked child never returns from run_child().
 *
 * SIGCHLD is blocked but while waiting, so that a child is always a zombie at least
 * until its pidfd was opened.
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lg.h"
#include "mirror.h"
#include "slipway/mem.h"
#include "slipway/worker_task.h"
#include "task.h"

#define SOCKET 0
#define TASK_FDS 2
#define CHILD_NOFILE 1024
#define HEAP_HOLE_MAX ((size_t)64 << 10)
#define HEAP_FILL_MAX ((size_t)16 << 20)

/* Where the heap of each child goes on, see fill_heap(). */
static char *hole;

static void
on_child_ended(int signo)
{
	/* Only there to interrupt ppoll(). */
}

static void
reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void
set_limit(int resource, uint64_t value)
{
	struct rlimit r = { value, value }, old;

	if (!getrlimit(resource, &old) && old.rlim_max < r.rlim_max)
		r.rlim_cur = r.rlim_max = old.rlim_max;
	if (setrlimit(resource, &r))
		_exit(1);
}

/* One call instead of a fault for nearly each page. Older kernels refuse. */
static void
populate_hole(void)
{
	const uintptr_t mask = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
	uintptr_t from = ((uintptr_t)hole + mask) & ~mask;
	uintptr_t to = ((uintptr_t)hole + HEAP_HOLE_MAX) & ~mask;

	if (hole && from < to)
		madvise((void *)from, to - from, MADV_POPULATE_WRITE);
}

static void __attribute__((noreturn))
run_child(const struct worker_spawn *req, const int fds[TASK_FDS], pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setpgid(0, 0);
	/* Both are above 2 here. */
	if (dup2(fds[0], 0) < 0 || dup2(fds[1], 1) < 0)
		_exit(1);
	close_range(3, ~0u, 0);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_NOFILE, CHILD_NOFILE);
	set_limit(RLIMIT_FSIZE, req->file_size);
	set_limit(RLIMIT_AS, req->memory);
	populate_hole();
	task_main();
}

/* The number of descriptors that came along; bytes in *len, 0 at the end. */
static int
receive(void *data, size_t size, size_t *len, int fds[TASK_FDS])
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * TASK_FDS)];
	} control;
	struct iovec iov = { data, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space) };
	ssize_t n = recvmsg(SOCKET, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	size_t nfds;

	*len = n > 0 ? (size_t)n : 0;
	if (n <= 0)
		return 0;
	c = CMSG_FIRSTHDR(&m);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), nfds * sizeof(int));
	return (int)nfds;
}

static int
answer(int error, int pidfd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct wire_w w = { 0 };
	struct iovec iov;
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	worker_spawned_encode(error, &w);
	iov = (struct iovec){ w.data, w.len };
	if (pidfd >= 0) {
		struct cmsghdr *c = &control.align;

		memset(&control, 0, sizeof(control));
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pidfd, sizeof(int));
	}
	n = sendmsg(SOCKET, &m, MSG_NOSIGNAL);
	wire_w_free(&w);
	return n < 0 ? -1 : 0;
}

static int
spawn(const struct worker_spawn *req, const int fds[TASK_FDS])
{
	pid_t parent = getpid(), pid = fork();
	cleanup_close int pidfd = -1;

	if (pid == 0)
		run_child(req, fds, parent);
	if (pid > 0)
		pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0) {
		int error = errno;

		if (pid > 0)
			kill(pid, SIGKILL);
		return answer(error, -1);
	}
	return answer(0, pidfd);
}

/* False at the end. */
static bool
serve_request(void)
{
	uint8_t data[WORKER_SPAWN_MAX];
	struct worker_spawn req;
	int fds[TASK_FDS] = { -1, -1 };
	size_t len;
	int n = receive(data, sizeof(data), &len, fds), rc;

	if (!len)
		return false;
	if (n == TASK_FDS && worker_spawn_decode(data, len, &req))
		rc = spawn(&req, fds);
	else
		rc = answer(EINVAL, -1);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	return rc == 0;
}

/*
 * Libraries leave a heap full of holes after the reading of all certificates. Each child
 * would fill them, and copy a page for nearly each. So they are filled here, and what
 * children allocate lies close together in one hole.
 */
static void
fill_heap(void)
{
	char *end = malloc(HEAP_HOLE_MAX);
	size_t budget = HEAP_FILL_MAX;

	for (size_t size = HEAP_HOLE_MAX; size >= 16; size -= size > 4096 ? 1024 : 16) {
		char *p = malloc(size);

		while (p && p < end && size < budget) {
			budget -= size;
			p = malloc(size); /* never freed */
		}
		free(p);
	}
	hole = end;
	free(end);
}

/* What the first use of these costs is paid here, not by every child. */
static void
warm_up(void)
{
	struct giturl u = { .scheme = GITURL_HTTPS };
	char name[MIRROR_NAME_LEN + 1];

	mirror_name(&u, name, NULL);
}

int
serve_main(void)
{
	struct pollfd p = { .fd = SOCKET, .events = POLLIN };
	struct sigaction sa = { .sa_handler = on_child_ended };
	sigset_t block, waiting;
	struct err e = { 0 };

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &waiting);
	sigaction(SIGCHLD, &sa, NULL);
	if (lg_init(&e)) {
		fprintf(stderr, "slipway-worker: %s\n", e.msg);
		return 1;
	}
	warm_up();
	fill_heap();
	for (;;) {
		int n = ppoll(&p, 1, NULL, &waiting);

		if (n < 0 && errno != EINTR)
			return 1;
		reap();
		if (n > 0 && !serve_request())
			return 0;
	}
}
