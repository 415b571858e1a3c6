/*
 * local_fixture: real sandboxes for tests: a runner of type local in a temporary state
 * directory, the real slipway-init from $SLIPWAY_LIBEXEC_DIR, and a loop that runs
 * until something happened. Tests are skipped where that cannot work.
 */
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/local_status.h"
#include "slipway/frame.h"
#include "slipway/fs.h"
#include "slipway/loop.h"
#include "slipway/mem.h"
#include "slipway/runner.h"
#include "slipway/strbuf.h"

#define UNUSED __attribute__((unused))

struct local_fixture {
	char state[64];
	struct loop *loop;
	struct runner *runner;
	struct conf_runner conf;
	struct sandbox *sandbox;
	char dir[128], workspace[160], spool[160];
	int spool_fd;
	bool started, start_failed, exited, removed;
	struct err error;
	struct sandbox_exit exit;
	struct loop_timer *poll;
	bool (*until)(void);
	const char *launch_socket; /* of a slipway-launch, which set-up waits for */
	bool changed;
};

static struct local_fixture fx;

static const char *
fx_libexec(void)
{
	const char *dir = getenv("SLIPWAY_LIBEXEC_DIR");

	return dir ? dir : ".";
}

static void
on_changed(void *arg)
{
	fx.changed = true;
}

static struct runner *
fx_open(const struct conf_runner *conf, struct err *e)
{
	struct runner_env env = {
		.loop = fx.loop,
		.state_dir = fx.state,
		.libexec_dir = fx_libexec(),
		.instance = "test",
		.launch_socket = fx.launch_socket,
		.on_changed = on_changed,
	};

	struct runner *r = runner_local_ops.open(conf, &env, e);

	if (r)
		runner_local_ops.begin(r, &env);
	return r;
}

static void fx_run_until(bool (*until)(void));

/* Its first word may be that there is nobody. */
static bool
fx_can_run(void)
{
	struct job_needs needs = { .network = NETWORK_NONE };
	char why[300];

	return runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why));
}

static void UNUSED
fx_tear_down(void)
{
	if (fx.runner)
		runner_local_ops.close(STEAL(fx.runner));
	loop_timer_free(STEAL(fx.poll));
	loop_free(STEAL(fx.loop));
	if (fx.state[0])
		fs_remove_tree(fx.state, NULL, NULL, NULL, NULL);
}

/* The framework cleans up after tests that ran only. */
static void UNUSED
fx_skip(const char *why)
{
	fx_tear_down();
	cr_skip_test("%s", why);
}

static void UNUSED
fx_set_up(void)
{
	cleanup_free char *init = xasprintf("%s/slipway-init", fx_libexec());
	struct err e = { 0 };

	if (access(init, X_OK))
		cr_skip_test("there is no %s", init);
	strcpy(fx.state, "/tmp/slipway-runner-XXXXXX");
	cr_assert_not_null(mkdtemp(fx.state));
	cr_assert_eq(chmod(fx.state, 0711), 0);
	fx.loop = loop_new(&e);
	cr_assert_not_null(fx.loop);
	fx.conf = (struct conf_runner){ .name = (char *)"here" };
	fx.runner = fx_open(&fx.conf, &e);
	cr_assert_not_null(fx.runner, "%s", e.msg);
	struct job_needs needs = { .network = NETWORK_NONE };
	char why[300];

	if (fx.launch_socket)
		fx_run_until(fx_can_run);
	if (!runner_local_ops.can_run(fx.runner, &needs, why, sizeof(why)))
		fx_skip(why);
}

static void
fx_own(const char *path)
{
	uid_t uid;
	gid_t gid;

	if (runner_local_ops.job_user(fx.runner, &uid, &gid))
		cr_assert_eq(chown(path, uid, gid), 0);
}

/* The directories of one attempt, and its spool. */
static void
fx_make_job(const char *job)
{
	static const char *const below[] = { "", "/repo", "/home" };
	uint8_t header[SPOOL_HEADER_LEN];
	struct err e = { 0 };

	snprintf(fx.dir, sizeof(fx.dir), "%s/%s", fx.state, job);
	cr_assert_eq(mkdir(fx.dir, 0711), 0);
	snprintf(fx.workspace, sizeof(fx.workspace), "%s/workspace", fx.dir);
	for (size_t i = 0; i < ARRAY_LEN(below); i++) {
		cleanup_free char *path = xasprintf("%s%s", fx.workspace, below[i]);

		cr_assert_eq(mkdir(path, 0700), 0);
		fx_own(path);
	}
	snprintf(fx.spool, sizeof(fx.spool), "%s/spool", fx.dir);
	fx.spool_fd = open(fx.spool, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	spool_header_encode(header);
	cr_assert_eq(fs_write_all(fx.spool_fd, header, sizeof(header), &e), 0);
}

static void
on_started(void *arg, const struct err *err)
{
	fx.started = !err;
	fx.start_failed = err != NULL;
	if (err)
		fx.error = *err;
}

static void
on_exit_seen(void *arg, const struct sandbox_exit *exit)
{
	cr_assert_not(fx.exited, "on_exit came twice");
	fx.exited = true;
	fx.exit = *exit;
}

static void
on_removed(void *arg)
{
	fx.removed = true;
	fx.sandbox = NULL;
}

static const struct sandbox_events fx_events = {
	.on_started = on_started,
	.on_exit = on_exit_seen,
	.on_removed = on_removed,
};

static void
on_poll(void *arg)
{
	if (fx.until())
		loop_stop(fx.loop);
	else
		loop_timer_set(fx.poll, 2);
}

/* Runs the loop until it is so; the test's own time limit ends it otherwise. */
static void
fx_run_until(bool (*until)(void))
{
	fx.until = until;
	if (!fx.poll)
		fx.poll = loop_timer_new(fx.loop, on_poll, NULL);
	loop_timer_set(fx.poll, 0);
	loop_run(fx.loop);
}

static bool UNUSED
fx_has_exited(void)
{
	return fx.exited || fx.start_failed;
}

static bool UNUSED
fx_is_removed(void)
{
	return fx.removed;
}

static bool UNUSED
fx_has_begun(void)
{
	return fx.started || fx.start_failed;
}

/* All of one type that the steps printed so far. */
static const char *
fx_frames(uint8_t type)
{
	static struct strbuf text;
	cleanup_strbuf struct strbuf spool = { 0 };
	struct err e = { 0 };
	size_t at = SPOOL_HEADER_LEN;
	struct frame f;

	strbuf_reset(&text);
	strbuf_adds(&text, "");
	cr_assert_eq(fs_read_file(fx.spool, 1 << 20, &spool, &e), 0, "%s", e.msg);
	while (at + FRAME_HEADER_LEN <= spool.len) {
		frame_decode(&f, (const uint8_t *)spool.data + at);
		at += FRAME_HEADER_LEN;
		if (at + f.len > spool.len)
			break;
		if (f.type == type)
			strbuf_add(&text, spool.data + at, f.len);
		at += f.len;
	}
	return strbuf_str(&text);
}

static const char *
fx_output(void)
{
	return fx_frames(FRAME_STDOUT);
}

static bool UNUSED
fx_has_output(void)
{
	return fx_output()[0] || fx.exited || fx.start_failed;
}

/* Begins a job of one step. */
static void
fx_start_with(const char *job, const char *script, enum spec_network network)
{
	struct plan_env env[] = {
		{ (char *)"HOME", (char *)"/workspace/home", false },
	};
	struct plan_step step = {
		.name = (char *)"one",
		.script = (char *)script,
		.shell = (char *)"sh",
		.cwd = (char *)"/workspace/repo",
	};
	struct plan plan = {
		.grace_ms = 2000,
		.secrets_dir = (char *)"/run/slipway",
		.env = env,
		.nenv = 1,
		.steps = &step,
		.nsteps = 1,
	};

	fx_make_job(job);
	struct sandbox_start start = {
		.job = job,
		.attempt = 1,
		.dir = fx.dir,
		.workspace = fx.workspace,
		.plan = &plan,
		.spool_fd = fx.spool_fd,
		.network = network,
	};

	fx.sandbox = runner_local_ops.start(fx.runner, &start, &fx_events);
	cr_assert_not_null(fx.sandbox);
	cr_assert_not(fx.started, "called back from inside start()");
	close(fx.spool_fd);
}

static void UNUSED
fx_start(const char *script)
{
	fx_start_with("j1", script, NETWORK_NONE);
}

static void UNUSED
fx_attach(void)
{
	fx.sandbox = runner_local_ops.attach(fx.runner, "j1", 1, fx.dir, &fx_events);
	cr_assert_not(fx.exited, "called back from inside attach()");
}

static void UNUSED
fx_remove(void)
{
	runner_local_ops.remove(fx.sandbox);
	cr_assert_not(fx.removed, "called back from inside remove()");
	fx_run_until(fx_is_removed);
}

/* What the evidence says now. */
static struct local_status UNUSED
fx_status(void)
{
	struct local_status st;
	struct err e = { 0 };
	int fd = local_status_open(fx.dir, &e);

	cr_assert_geq(fd, 0, "%s", e.msg);
	cr_assert_eq(local_status_read(fd, &st, &e), 0, "%s", e.msg);
	close(fd);
	return st;
}

static void UNUSED
fx_assert_exit(enum sandbox_end end, int code)
{
	cr_assert(fx.exited, "%s", fx.error.msg);
	cr_assert_eq(fx.exit.end, end, "end %d code %d: %s", (int)fx.exit.end,
		     fx.exit.code, fx.exit.why);
	cr_assert_eq(fx.exit.code, code, "code %d: %s %s %s", fx.exit.code, fx.exit.why,
		     fx_output(), fx_frames(FRAME_NOTE));
}
