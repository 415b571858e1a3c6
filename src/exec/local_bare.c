/*
 * Without bubblewrap slipway-init is an ordinary process: no namespace dies with it,
 * and its exit code is known to its parent only. So the daemon that started it writes
 * the code to the status file; is it gone by then the attempt counts as lost. Nothing
 * is mounted at /workspace either, so the plan is told where things really are.
 */
#include "local.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

#define KILL_ROUNDS 8

/* The session is the 6th field of stat, after "pid (name) state ppid pgrp". */
static bool
is_in_session(pid_t pid, pid_t session)
{
	char path[40], data[512];
	int found;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data) - 1);

	if (n <= 0)
		return false;
	data[n] = '\0';
	const char *p = strrchr(data, ')');

	return p && sscanf(p, ") %*c %*d %*d %d", &found) == 1 && found == session;
}

static bool
kill_one(pid_t pid, pid_t session)
{
	cleanup_close int fd = pidfd_open(pid, 0);

	return fd >= 0 && is_in_session(pid, session) &&
	       !pidfd_send_signal(fd, SIGKILL, NULL, 0);
}

static bool
kill_round(pid_t session)
{
	DIR *proc = opendir("/proc");
	bool any = false;
	struct dirent *d;

	while (proc && (d = readdir(proc)))
		if (isdigit((unsigned char)d->d_name[0]))
			any |= kill_one((pid_t)atoi(d->d_name), session);
	if (proc)
		closedir(proc);
	return any;
}

void
local_bare_kill(pid_t session)
{
	/* Something may fork while it is looked for; the dead stay visible for a while,
	 * which only costs rounds. */
	for (int i = 0; session > 1 && i < KILL_ROUNDS; i++)
		if (!kill_round(session))
			return;
}

/* "/workspace/x" becomes "<workspace>/x"; anything else stays. */
static char *
relocate(const char *value, const char *workspace)
{
	size_t n = strlen(LOCAL_WORKSPACE);

	if (strncmp(value, LOCAL_WORKSPACE, n) != 0 || (value[n] && value[n] != '/'))
		return xstrdup(value);
	return xasprintf("%s%s", workspace, value + n);
}

static struct plan_env *
relocate_env(const struct plan_env *env, size_t n, const char *workspace)
{
	struct plan_env *out = xcalloc(n + 1, sizeof(*out));

	for (size_t i = 0; i < n; i++) {
		out[i] = env[i];
		out[i].value = relocate(env[i].value, workspace);
	}
	return out;
}

static void
env_free(struct plan_env *env, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		explicit_bzero(env[i].value, strlen(env[i].value));
		free(env[i].value);
	}
	free(env);
}

void
local_bare_plan(struct plan *out, const struct plan *in, const char *workspace,
		const char *secrets_dir)
{
	*out = *in;
	out->secrets_dir = xstrdup(secrets_dir);
	out->env = relocate_env(in->env, in->nenv, workspace);
	out->steps = xcalloc(in->nsteps + 1, sizeof(*out->steps));
	for (size_t i = 0; i < in->nsteps; i++) {
		struct plan_step *step = &out->steps[i];

		*step = in->steps[i];
		step->cwd = relocate(step->cwd, workspace);
		step->env = relocate_env(step->env, step->nenv, workspace);
	}
}

void
local_bare_plan_free(struct plan *p)
{
	for (size_t i = 0; i < p->nsteps; i++) {
		free(p->steps[i].cwd);
		env_free(p->steps[i].env, p->steps[i].nenv);
	}
	free(p->steps);
	env_free(p->env, p->nenv);
	free(p->secrets_dir);
}

/* Unlike the job's name the directory's number is unique on this machine. */
static bool
secrets_path(const char *dir, char *out, size_t size)
{
	struct stat st;

	return !stat(dir, &st) &&
	       snprintf(out, size, "/dev/shm/slipway-%ju-%ju",
					   (uintmax_t)st.st_dev,
					   (uintmax_t)st.st_ino) < (int)size;
}

int
local_bare_secrets(const struct runner *r, const char *dir, char *out, size_t size,
		   struct err *e)
{
	if (!secrets_path(dir, out, size))
		return err_sys(e, "%s", dir);
	/* Everybody may write here: only a directory made just now is ours. */
	if (mkdir(out, 0700))
		return err_sys(e, "%s", out);
	if (r->has_user && chown(out, r->uid, r->gid)) {
		rmdir(out);
		return err_sys(e, "%s", out);
	}
	return 0;
}

/* slipway-init empties it, unless it was killed. */
void
local_bare_clean(const char *dir)
{
	char path[80];

	if (secrets_path(dir, path, sizeof(path)))
		fs_remove_tree(path, NULL, NULL, NULL, NULL);
}
