/*
 * step_start(): pipes, the oom score of the child to be, then a child that shares our
 * memory until it executes the shell (CLONE_VM, CLONE_VFORK; on a stack of its own): to
 * copy the memory of a process that lives for a step or two would cost more than all
 * else it does. We are suspended meanwhile, so what went wrong is simply left in a
 * structure. init has one thread, so no lock can be held in it.
 */
#ifdef __SANITIZE_THREAD__
#define clone __clone /* the sanitizer's own takes it for a fork, and forgets locks */
#endif

#include "step.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

#define PIPE_SIZE (1 << 20)
#define OOM_RAISE 500
#define OOM_MAX 1000
#define EXIT_NOT_RUN 127
#define STACK_SIZE (64 * 1024) /* execvp() builds paths on it */

/* Poisoned shadow memory of frames that never return would outlive the stack. */
#define UNCHECKED __attribute__((no_sanitize_address, no_sanitize_thread))

enum step_stage { STAGE_NONE, STAGE_INPUT, STAGE_LIMITS, STAGE_CWD, STAGE_EXEC };

struct step_child {
	const struct step_spec *spec;
	int fds[3];
	/* Set by the child when it does not get to the script. */
	enum step_stage failed;
	int error;
};

static const char *const stages[] = {
	[STAGE_INPUT] = "cannot set up the standard streams",
	[STAGE_LIMITS] = "cannot set the limits",
	[STAGE_CWD] = "cannot enter the working directory",
	[STAGE_EXEC] = "cannot run the shell",
};

int
step_open_oom(void)
{
	return open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
}

static int
step_oom_get(int fd)
{
	char text[16];
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;

	if (n <= 0)
		return 0;
	text[n] = 0;
	return (int)strtol(text, NULL, 10);
}

static void
step_oom_set(int fd, int score)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", score);

	if (fd >= 0 && pwrite(fd, text, (size_t)n, 0) < 0) {
		/* best effort: the score orders victims, no more */
	}
}

static void
step_reset_signals(void)
{
	const struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
step_close_from(unsigned first)
{
	struct rlimit lim;
	rlim_t n;

#ifdef SYS_close_range
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return;
#endif
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		lim.rlim_cur = 1024;
	n = lim.rlim_cur < (1u << 20) ? lim.rlim_cur : 1u << 20;
	for (rlim_t fd = first; fd < n; fd++)
		close((int)fd);
}

static int
step_limit(int resource, uint64_t max)
{
	struct rlimit lim;

	if (getrlimit(resource, &lim) < 0)
		return -1;
	if (lim.rlim_max == RLIM_INFINITY || max < lim.rlim_max)
		lim.rlim_max = max;
	lim.rlim_cur = lim.rlim_max;
	return setrlimit(resource, &lim);
}

static int
step_set_limits(const struct step_spec *spec)
{
	if (step_limit(RLIMIT_CORE, 0) < 0)
		return -1;
	if (spec->memory_max && step_limit(RLIMIT_DATA, spec->memory_max) < 0)
		return -1;
	if (spec->pids_max && step_limit(RLIMIT_NPROC, spec->pids_max) < 0)
		return -1;
	return 0;
}

UNCHECKED static void
step_exec(const struct plan_step *step, char **env)
{
	char *sh[] = { (char *)"sh", (char *)"-e", (char *)"-c", step->script, NULL };
	char *bash[] = { (char *)"bash", (char *)"-e", (char *)"-o",
			 (char *)"pipefail", (char *)"-c", step->script, NULL };
	char *other[] = { step->shell, (char *)"-c", step->script, NULL };

	/* execvp() looks for the program in the PATH of the step. */
	environ = env;
	if (strcmp(step->shell, "sh") == 0)
		execv("/bin/sh", sh);
	else if (strcmp(step->shell, "bash") == 0)
		execvp("bash", bash);
	else
		execvp(step->shell, other);
}

UNCHECKED static enum step_stage
step_child_setup(const struct step_child *c)
{
	umask(022);
	setpgid(0, 0);
	step_reset_signals();
	for (int fd = 0; fd < 3; fd++)
		if (dup2(c->fds[fd], fd) < 0)
			return STAGE_INPUT;
	step_close_from(3);
	if (step_set_limits(c->spec) < 0)
		return STAGE_LIMITS;
	if (chdir(c->spec->step->cwd) < 0)
		return STAGE_CWD;
	step_exec(c->spec->step, c->spec->env);
	return STAGE_EXEC;
}

UNCHECKED static int
step_child_main(void *arg)
{
	struct step_child *c = arg;

	c->failed = step_child_setup(c);
	c->error = errno;
	_exit(EXIT_NOT_RUN);
}

static pid_t
step_clone(struct step_child *c)
{
	static uint8_t stack[STACK_SIZE] __attribute__((aligned(16)));
	char **env = environ;
	pid_t pid = clone(step_child_main, stack + sizeof(stack),
			  CLONE_VM | CLONE_VFORK | SIGCHLD, c);

	environ = env;
	return pid;
}

static void
step_explain(struct step_proc *proc, const struct step_child *c)
{
	const char *what = "";

	if (c->failed == STAGE_CWD)
		what = c->spec->step->cwd;
	else if (c->failed == STAGE_EXEC)
		what = c->spec->step->shell;
	snprintf(proc->why, sizeof(proc->why), "%s %.300s: %s", stages[c->failed], what,
		 strerror(c->error));
}

static int
step_pipe(int *reader, int *writer)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	*reader = fds[0];
	*writer = fds[1];
	/* Fewer turns of the loop under load; refused over the user's pipe budget. */
	fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	return fcntl(fds[0], F_SETFL, O_NONBLOCK);
}

int
step_start(const struct step_spec *spec, struct step_proc *proc)
{
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cleanup_close int out = -1, out_w = -1, err = -1, err_w = -1;
	int score = step_oom_get(spec->oom_fd);
	struct step_child child = { .spec = spec };

	*proc = (struct step_proc){ .pid = -1, .out = -1, .err = -1 };
	if (null < 0 || step_pipe(&out, &out_w) < 0 || step_pipe(&err, &err_w) < 0) {
		snprintf(proc->why, sizeof(proc->why), "%s: %s",
			 stages[STAGE_INPUT], strerror(errno));
		return -1;
	}
	/* The score is inherited; the child could not write its own. */
	step_oom_set(spec->oom_fd,
		     score + OOM_RAISE < OOM_MAX ? score + OOM_RAISE : OOM_MAX);
	memcpy(child.fds, (const int[]){ null, out_w, err_w }, sizeof(child.fds));
	proc->pid = step_clone(&child);
	step_oom_set(spec->oom_fd, score);
	if (proc->pid < 0) {
		snprintf(proc->why, sizeof(proc->why), "cannot start a process: %s",
			 strerror(errno));
		return -1;
	}
	if (child.failed)
		step_explain(proc, &child);
	proc->out = steal_fd(&out);
	proc->err = steal_fd(&err);
	return 0;
}
