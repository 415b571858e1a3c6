#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/mem.h"

#define NOT_STARTED 127

char *
spawn_find(const char *name)
{
	const char *path = getenv("PATH");
	cleanup_free char *list = xstrdup(path && *path ? path : "/usr/bin:/bin");
	char *rest = NULL;
	struct stat st;

	for (char *dir = strtok_r(list, ":", &rest); dir;
	     dir = strtok_r(NULL, ":", &rest)) {
		cleanup_free char *full = xasprintf("%s/%s", dir, name);

		if (dir[0] == '/' && stat(full, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(full, X_OK) == 0)
			return STEAL(full);
	}
	return NULL;
}

static void __attribute__((noreturn))
child_run(const struct spawn_opts *o, const char *program, int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(o->with_errors ? out : null, STDERR_FILENO) < 0)
		_exit(NOT_STARTED);
	if (o->has_user && (setgroups(0, NULL) || setresgid(o->gid, o->gid, o->gid) ||
			    setresuid(o->uid, o->uid, o->uid)))
		_exit(NOT_STARTED);
	execv(program, (char *const *)o->argv);
	_exit(NOT_STARTED);
}

/* Until its end, or until time is over. */
static bool
output_read(int fd, int64_t deadline, struct strbuf *out)
{
	char buf[4096];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = deadline - clock_mono_ms();
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return false;
		if (!p.revents)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n == 0)
			return true;
		if (n > 0 && out->len + (size_t)n <= SPAWN_OUTPUT_MAX)
			strbuf_add(out, buf, (size_t)n);
	}
}

int
spawn_read(const struct spawn_opts *o, struct strbuf *out)
{
	cleanup_free char *program = spawn_find(o->argv[0]);
	int64_t deadline = clock_mono_ms() + o->timeout_ms;
	cleanup_close int in = -1, to = -1;
	int fds[2], status = 0;
	bool whole;
	pid_t pid;

	if (!program || pipe2(fds, O_CLOEXEC))
		return -1;
	in = fds[0];
	to = fds[1];
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0)
		child_run(o, program, to);
	close(steal_fd(&to));
	whole = output_read(in, deadline, out);
	/* What closed its output has no reason to stay. */
	if (!whole)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return whole && WIFEXITED(status) && WEXITSTATUS(status) != NOT_STARTED
		       ? WEXITSTATUS(status)
		       : -1;
}
