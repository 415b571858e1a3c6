#include "reap.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

#include "util.h"

#define MEMORY_EVENTS "/sys/fs/cgroup/memory.events"
#define LOOK_AGAIN_MS 50

static size_t
reap_slurp(const char *path, char *buf, size_t size)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, size - 1) : -1;

	buf[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

uint64_t
reap_oom_kills(void)
{
	static const char key[] = "\noom_kill ";
	char buf[512];
	const char *p;

	if (!reap_slurp(MEMORY_EVENTS, buf, sizeof(buf)))
		return 0;
	p = strstr(buf, key);
	return p ? strtoull(p + sizeof(key) - 1, NULL, 10) : 0;
}

/* The fourth field of stat, counted from the last ")": the second one, the name, is
 * the process's to choose. */
static pid_t
reap_parent_of(const char *pid)
{
	char path[64], buf[512];
	const char *p;
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	if (!reap_slurp(path, buf, sizeof(buf)))
		return 0;
	p = strrchr(buf, ')');
	if (!p || sscanf(p + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

/* As each one dies its children become ours, and fall in the next round. */
static void
reap_kill_children(void)
{
	DIR *proc = opendir("/proc");
	const struct dirent *entry;
	pid_t self = getpid();

	if (!proc)
		return;
	while ((entry = readdir(proc))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (reap_parent_of(entry->d_name) == self)
			kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
	}
	closedir(proc);
}

bool
reap_everything(bool pid1)
{
	const struct timespec pause = { .tv_nsec = LOOK_AGAIN_MS * 1000000L };
	uint64_t until = util_deadline(util_now_ms(), REAP_PATIENCE_MS);
	sigset_t chld;
	pid_t pid;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		if (pid1)
			kill(-1, SIGKILL);
		else
			reap_kill_children();
		do
			pid = waitpid(-1, NULL, WNOHANG);
		while (pid > 0);
		if (pid < 0 && errno == ECHILD)
			return true;
		if (util_now_ms() >= until)
			return false;
		sigtimedwait(&chld, NULL, &pause);
	}
}
