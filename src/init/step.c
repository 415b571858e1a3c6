#include "step.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#define STATUS_FD 3
#define EXIT_NOT_RUN 127

/* What the child tells on its status pipe when it does not get to the script. */
struct step_fault {
	int stage;
	int error;
};

enum { STAGE_INPUT, STAGE_LIMITS, STAGE_CWD, STAGE_EXEC };

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

static void
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

static int
step_child_setup(const struct step_spec *spec, const int fds[4])
{
	setpgid(0, 0);
	step_reset_signals();
	for (int fd = 0; fd < 3; fd++)
		if (dup2(fds[fd], fd) < 0)
			return STAGE_INPUT;
	if (fds[3] != STATUS_FD && dup3(fds[3], STATUS_FD, O_CLOEXEC) < 0)
		return STAGE_INPUT;
	step_close_from(STATUS_FD + 1);
	if (step_set_limits(spec) < 0)
		return STAGE_LIMITS;
	return chdir(spec->step->cwd) < 0 ? STAGE_CWD : STAGE_EXEC;
}

static void __attribute__((noreturn))
step_child(const struct step_spec *spec, const int fds[4])
{
	struct step_fault fault = { 0 };

	umask(022);
	fault.stage = step_child_setup(spec, fds);
	if (fault.stage == STAGE_EXEC)
		step_exec(spec->step, spec->env);
	fault.error = errno;
	if (write(STATUS_FD, &fault, sizeof(fault)) < 0) {
		/* the exit code has to do */
	}
	_exit(EXIT_NOT_RUN);
}

static void
step_read_fault(const struct step_spec *spec, struct step_proc *proc, int fd)
{
	struct step_fault fault;
	const char *what = "";
	ssize_t n;

	do
		n = read(fd, &fault, sizeof(fault));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(fault))
		return;
	if (fault.stage == STAGE_CWD)
		what = spec->step->cwd;
	else if (fault.stage == STAGE_EXEC)
		what = spec->step->shell;
	snprintf(proc->why, sizeof(proc->why), "%s %.300s: %s", stages[fault.stage],
		 what, strerror(fault.error));
}

static int
step_pipe(int *reader, int *writer, bool output)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	*reader = fds[0];
	*writer = fds[1];
	if (!output)
		return 0;
	/* Fewer turns of the loop under load; refused over the user's pipe budget. */
	fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	return fcntl(fds[0], F_SETFL, O_NONBLOCK);
}

int
step_start(const struct step_spec *spec, struct step_proc *proc)
{
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cleanup_close int out = -1, out_w = -1, err = -1, err_w = -1;
	cleanup_close int status = -1, status_w = -1;
	int score = step_oom_get(spec->oom_fd);

	*proc = (struct step_proc){ .pid = -1, .out = -1, .err = -1 };
	if (null < 0 || step_pipe(&out, &out_w, true) < 0 ||
	    step_pipe(&err, &err_w, true) < 0 ||
	    step_pipe(&status, &status_w, false) < 0) {
		snprintf(proc->why, sizeof(proc->why), "%s: %s",
			 stages[STAGE_INPUT], strerror(errno));
		return -1;
	}
	/* The score is inherited; the child could not write its own. */
	step_oom_set(spec->oom_fd,
		     score + OOM_RAISE < OOM_MAX ? score + OOM_RAISE : OOM_MAX);
	proc->pid = fork();
	if (proc->pid == 0)
		step_child(spec, (const int[4]){ null, out_w, err_w, status_w });
	step_oom_set(spec->oom_fd, score);
	if (proc->pid < 0) {
		snprintf(proc->why, sizeof(proc->why), "cannot start a process: %s",
			 strerror(errno));
		return -1;
	}
	setpgid(proc->pid, proc->pid);
	close(steal_fd(&status_w));
	step_read_fault(spec, proc, status);
	proc->out = steal_fd(&out);
	proc->err = steal_fd(&err);
	return 0;
}
