/*
 * Phases: the parent blocks all signals and clones a child that shares its memory
 * (CLONE_VM) on a stack of its own; the child sets itself up and executes; the parent,
 * suspended meanwhile (CLONE_VFORK), reads from the shared structure how it went.
 *
 * Because memory is shared the child makes raw system calls only: glibc's wrappers for
 * user ids signal every thread it believes to be in the process, and those are the
 * daemon's.
 */
#ifdef __SANITIZE_THREAD__
#define clone __clone /* the sanitizer's own takes it for a fork, and forgets locks */
#endif

#include "slipway/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_SIZE (64 * 1024)
#define SIGNALS 64

/* Poisoned shadow memory of frames that never return would outlive the stack. */
#define UNCHECKED __attribute__((no_sanitize_address, no_sanitize_thread))

struct child {
	const struct launch_opts *o;
	const char *stage; /* what failed, set by the child */
	int error;
	char oom[12];
	size_t oom_len;
};

UNCHECKED static int
setup_signals(void)
{
	/* The kernel's struct sigaction, all zero: SIG_DFL, no flags, empty mask. */
	static const unsigned long dfl[4];
	static const unsigned long none;

	for (int i = 1; i <= SIGNALS; i++)
		syscall(SYS_rt_sigaction, i, dfl, NULL, sizeof(none));
	return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

UNCHECKED static int
setup_limits(const struct child *c)
{
	const struct launch_opts *o = c->o;

	for (size_t i = 0; i < o->nrlimits; i++) {
		const struct launch_rlimit *r = &o->rlimits[i];
		unsigned long long v[2] = { r->soft, r->hard };

		if (syscall(SYS_prlimit64, 0, r->resource, v, NULL))
			return -1;
	}
	if (!c->oom_len)
		return 0;
	int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj",
			      O_WRONLY | O_CLOEXEC, 0);

	/* Only ever a wish: containers may have no /proc, or a higher floor. */
	if (fd >= 0) {
		syscall(SYS_write, fd, c->oom, c->oom_len);
		syscall(SYS_close, fd);
	}
	return 0;
}

UNCHECKED static int
setup_user(const struct launch_opts *o)
{
	if (!o->has_user)
		return 0;
	if (syscall(SYS_setgroups, 0, NULL) ||
	    syscall(SYS_setresgid, o->gid, o->gid, o->gid) ||
	    syscall(SYS_setresuid, o->uid, o->uid, o->uid))
		return -1;
	return 0;
}

UNCHECKED static bool
is_target(const struct launch_opts *o, int fd)
{
	for (size_t i = 0; i < o->nfds; i++)
		if (o->fds[i].to == fd)
			return true;
	return false;
}

/* First all of them out of the way of the target numbers, then into place. */
UNCHECKED static int
setup_fds(const struct launch_opts *o)
{
	int aside[LAUNCH_FDS], last = 2;

	for (size_t i = 0; i < o->nfds; i++) {
		aside[i] = (int)syscall(SYS_fcntl, o->fds[i].from, F_DUPFD_CLOEXEC,
					LAUNCH_FD_MAX + 1);
		if (aside[i] < 0)
			return -1;
		if (o->fds[i].to > last)
			last = o->fds[i].to;
	}
	for (size_t i = 0; i < o->nfds; i++)
		if (syscall(SYS_dup3, aside[i], o->fds[i].to, 0) < 0)
			return -1;
	for (int fd = 0; fd <= last; fd++)
		if (!is_target(o, fd))
			syscall(SYS_close, fd);
	/* The lowest free number is taken, so these fill 0, 1 and 2 in turn. */
	for (int fd = 0; fd <= 2; fd++)
		if (!is_target(o, fd) && syscall(SYS_openat, AT_FDCWD, "/dev/null",
						 O_RDWR, 0) != fd)
			return -1;
	return (int)syscall(SYS_close_range, last + 1, ~0u, 0);
}

UNCHECKED static int
child_fail(struct child *c, const char *stage)
{
	c->error = errno;
	c->stage = stage;
	syscall(SYS_exit_group, 127);
	return 127;
}

UNCHECKED static int
child_main(void *arg)
{
	struct child *c = arg;
	const struct launch_opts *o = c->o;
	static const char *const no_env[] = { NULL };

	if (setup_signals())
		return child_fail(c, "signals");
	if (o->cgroup_procs_fd && syscall(SYS_write, o->cgroup_procs_fd, "0", 1) != 1)
		return child_fail(c, "cgroup");
	if (o->setsid && syscall(SYS_setsid) < 0)
		return child_fail(c, "setsid");
	if (setup_fds(o))
		return child_fail(c, "descriptors");
	if (setup_limits(c))
		return child_fail(c, "limits");
	if (setup_user(o))
		return child_fail(c, "user");
	if (syscall(SYS_chdir, o->cwd ? o->cwd : "/"))
		return child_fail(c, "directory");
	if (o->no_new_privs && syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return child_fail(c, "no_new_privs");
	syscall(SYS_execve, o->path ? o->path : o->argv[0], o->argv,
		o->envp ? o->envp : no_env);
	return child_fail(c, "execute");
}

static int
check_opts(const struct launch_opts *o, struct err *e)
{
	if (!o->argv || !o->argv[0])
		return err_set(e, ERR_INVALID, "no program to start");
	if (o->nfds > LAUNCH_FDS)
		return err_set(e, ERR_INVALID, "more than %d descriptors to pass",
			       LAUNCH_FDS);
	for (size_t i = 0; i < o->nfds; i++)
		if (o->fds[i].to < 0 || o->fds[i].to > LAUNCH_FD_MAX)
			return err_set(e, ERR_INVALID, "descriptor number %d",
				       o->fds[i].to);
	return 0;
}

static void
format_oom(struct child *c, int adj)
{
	unsigned n = adj < 0 ? -(unsigned)adj : (unsigned)adj;
	char *p = c->oom + sizeof(c->oom);

	if (!adj)
		return;
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	if (adj < 0)
		*--p = '-';
	c->oom_len = (size_t)(c->oom + sizeof(c->oom) - p);
	memmove(c->oom, p, c->oom_len);
}

static int
report(const struct child *c, struct launched *out, struct err *e)
{
	const char *path = c->o->path ? c->o->path : c->o->argv[0];
	bool is_exec = !strcmp(c->stage, "execute");

	waitpid(out->pid, NULL, __WALL);
	close(out->pidfd);
	out->pidfd = -1;
	out->pid = -1;
	if (is_exec && c->error == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "%s: no such program", path);
	errno = c->error;
	return err_sys(e, "%s: cannot start (%s)", path, c->stage);
}

int
launch(const struct launch_opts *o, struct launched *out, struct err *e)
{
	struct child c = { .o = o };
	sigset_t all, old;
	pid_t pid;

	out->pid = out->pidfd = -1;
	if (check_opts(o, e))
		return -1;
	format_oom(&c, o->oom_score_adj);
	char *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return err_sys(e, "stack of a child");
	/* A handler of the daemon's must not run in the child, on shared memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = clone(child_main, stack + STACK_SIZE,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &c, &out->pidfd);
	int error = errno;

	pthread_sigmask(SIG_SETMASK, &old, NULL);
	munmap(stack, STACK_SIZE);
	if (pid < 0) {
		errno = error;
		return err_sys(e, "%s: cannot start a process", o->argv[0]);
	}
	out->pid = pid;
	return c.stage ? report(&c, out, e) : 0;
}
