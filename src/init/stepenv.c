#include "stepenv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util.h"

#define MINIMAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int
stepenv_write(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A fresh file each time: a step can have put anything in its place. */
static int
stepenv_write_secret(struct run *run, const struct plan_env *e,
		     struct environ_list *env)
{
	cleanup_free char *path = util_format("%s/%s", run->secrets_dir, e->name);
	cleanup_close int fd = -1;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || stepenv_write(fd, e->value, strlen(e->value)) < 0) {
		run_fail(run, "cannot write the secret file %s: %s", path,
			 strerror(errno));
		return -1;
	}
	environ_set_str(env, e->name, path);
	return 0;
}

static int
stepenv_add(struct run *run, struct environ_list *env, const struct plan_env *list,
	    size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!list[i].file)
			environ_set_str(env, list[i].name, list[i].value);
		else if (stepenv_write_secret(run, &list[i], env) < 0)
			return -1;
	}
	return 0;
}

static void
stepenv_remove_secrets(struct run *run, const struct plan_env *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cleanup_free char *path = NULL;

		if (!list[i].file)
			continue;
		path = util_format("%s/%s", run->secrets_dir, list[i].name);
		unlink(path);
	}
}

int
stepenv_prepare(struct run *run, struct environ_list *env)
{
	const struct plan *plan = run->plan;
	const struct plan_step *step = &plan->steps[run->step.index];

	if (plan->clear_env)
		environ_set_str(env, "PATH", MINIMAL_PATH);
	else
		environ_add(env, environ);
	mkdir(run->secrets_dir, 0700);
	if (stepenv_add(run, env, plan->env, plan->nenv) < 0)
		return -1;
	environ_add(env, run->added.v);
	if (stepenv_add(run, env, step->env, step->nenv) < 0)
		return -1;
	if (envfile_create(&run->step.envfile, run->secrets_dir) < 0) {
		run_fail(run, "cannot make the SLIPWAY_ENV file in %s: %s",
			 run->secrets_dir, strerror(errno));
		return -1;
	}
	environ_set_str(env, "SLIPWAY_STEP", step->name);
	environ_set_str(env, "SLIPWAY_ENV", run->step.envfile.path);
	return 0;
}

static void
stepenv_import_line(struct run *run, const struct envfile_line *line, unsigned number)
{
	cleanup_free char *name = NULL;
	const char *bad = line->bad;

	if (!bad) {
		name = util_format("%.*s", (int)line->name_len,
				   (const char *)line->name);
		if (run->added.n >= PLAN_ENV_MAX && !environ_get(&run->added, name))
			bad = "too many variables";
	}
	if (bad) {
		run_note(run, run->step.index, FRAME_ERROR,
			 "SLIPWAY_ENV: line %u ignored: %s", number, bad);
		return;
	}
	environ_set(&run->added, name, (const char *)line->value, line->value_len);
}

static void
stepenv_import(struct run *run)
{
	/* A file of nothing but bad lines must not flood the log with notes. */
	const unsigned notes_max = 10;
	cleanup_free uint8_t *data = NULL;
	struct envfile_parser parser;
	struct envfile_line line;
	unsigned bad = 0;
	const char *why;
	size_t len = 0;

	data = envfile_read(&run->step.envfile, &len, &why);
	if (!data) {
		run_note(run, run->step.index, FRAME_ERROR,
			 "SLIPWAY_ENV: the file is ignored: %s", why);
		return;
	}
	parser = (struct envfile_parser){ .p = data, .end = data + len };
	while (envfile_next(&parser, &line)) {
		if (line.bad && ++bad > notes_max)
			continue;
		stepenv_import_line(run, &line, parser.line);
	}
	if (bad > notes_max)
		run_note(run, run->step.index, FRAME_ERROR,
			 "SLIPWAY_ENV: %u more bad lines ignored", bad - notes_max);
}

void
stepenv_finish(struct run *run)
{
	const struct plan_step *step = &run->plan->steps[run->step.index];

	if (run->step.envfile.path)
		stepenv_import(run);
	envfile_remove(&run->step.envfile);
	stepenv_remove_secrets(run, step->env, step->nenv);
}

void
stepenv_remove_files(struct run *run)
{
	stepenv_remove_secrets(run, run->plan->env, run->plan->nenv);
}
