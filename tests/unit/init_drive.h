/*
 * init_drive: runs the real slipway-init (path in $SLIPWAY_INIT_BIN) on a plan, and
 * reads the spool it leaves.
 *
 *	struct job job;
 *
 *	job_init(&job);
 *	job_add(&job, "echo hello");
 *	cr_assert_eq(job_run(&job), INIT_EXIT_SUCCESS);
 *	expect_output(&job, 0, "hello\n");
 *	job_clear(&job);
 *
 * Steps run in job.dir; there a step can wait for the test with `read x < fifo`.
 */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slipway/frame.h"
#include "slipway/plan.h"

#define TEXT(s) ((char *)(s))
#define PATIENCE_MS 20000

struct job {
	char dir[64], spool[96], fifo[96];
	struct plan plan;
	struct plan_step steps[8];
	bool sandboxed; /* as PID 1 of a PID namespace of its own */
	pid_t pid;      /* of init, or of the one who waits for it */
	pid_t init_pid;
	int plan_fd, watch;
	int status;
	uint8_t *data; /* the spool so far */
	size_t len;
};

static const char *
init_bin(void)
{
	static const char *const places[] = { "./slipway-init",
					      "src/init/slipway-init",
					      "../slipway-init",
					      "../../slipway-init",
					      "../../src/init/slipway-init" };
	const char *path = getenv("SLIPWAY_INIT_BIN");

	for (size_t i = 0; !path && i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], X_OK) == 0)
			path = places[i];
	cr_assert_not_null(path, "no slipway-init: set SLIPWAY_INIT_BIN");
	return path;
}

static inline void
job_init(struct job *job)
{
	*job = (struct job){ .plan_fd = -1, .watch = -1 };
	strcpy(job->dir, "/tmp/slipway-init-XXXXXX");
	cr_assert_not_null(mkdtemp(job->dir));
	snprintf(job->spool, sizeof(job->spool), "%s/spool", job->dir);
	snprintf(job->fifo, sizeof(job->fifo), "%s/fifo", job->dir);
	cr_assert_eq(mkfifo(job->fifo, 0600), 0);
	job->plan = (struct plan){
		.grace_ms = 200,
		.secrets_dir = job->dir,
		.steps = job->steps,
	};
}

static inline struct plan_step *
job_add(struct job *job, const char *script)
{
	struct plan_step *s = &job->steps[job->plan.nsteps++];

	*s = (struct plan_step){
		.name = TEXT("step"),
		.script = TEXT(script),
		.shell = TEXT("sh"),
		.cwd = job->dir,
	};
	return s;
}

static inline void
job_exec(const struct job *job, int spool_fd)
{
	char plan_arg[16], spool_arg[16];

	snprintf(plan_arg, sizeof(plan_arg), "%d", job->plan_fd);
	snprintf(spool_arg, sizeof(spool_arg), "%d", spool_fd);
	execl(init_bin(), "slipway-init", "run", "--plan-fd", plan_arg, "--spool-fd",
	      spool_arg, (char *)NULL);
	_exit(99);
}

/* Skips the test where user namespaces are not to be had. */
static inline void
job_fork_sandboxed(struct job *job, int spool_fd)
{
	int tell[2], status;
	pid_t pid = -1;

	cr_assert_eq(pipe2(tell, O_CLOEXEC), 0);
	job->pid = fork();
	if (job->pid == 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0)
			pid = fork();
		if (pid == 0)
			job_exec(job, spool_fd);
		if (write(tell[1], &pid, sizeof(pid)) < 0 || pid < 0)
			_exit(99);
		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
	}
	close(tell[1]);
	cr_assert_eq(read(tell[0], &job->init_pid, sizeof(pid)), sizeof(pid));
	close(tell[0]);
	if (job->init_pid < 0)
		cr_skip_test("no user namespaces");
}

static inline void
job_start_bytes(struct job *job, const void *plan, size_t len, const char *spool)
{
	int spool_fd = open(spool, O_RDWR | O_CREAT | O_APPEND, 0600);

	cr_assert_geq(spool_fd, 0);
	job->watch = inotify_init1(IN_CLOEXEC);
	cr_assert_geq(inotify_add_watch(job->watch, spool, IN_MODIFY), 0);
	job->plan_fd = memfd_create("plan", 0);
	cr_assert_eq(write(job->plan_fd, plan, len), (ssize_t)len);
	if (job->sandboxed) {
		job_fork_sandboxed(job, spool_fd);
	} else {
		job->pid = job->init_pid = fork();
		if (job->pid == 0)
			job_exec(job, spool_fd);
	}
	cr_assert_gt(job->pid, 0);
	close(spool_fd);
}

static inline void
job_start(struct job *job)
{
	uint8_t *plan;
	size_t len;

	cr_assert(plan_encode(&job->plan, &plan, &len));
	job_start_bytes(job, plan, len, job->spool);
	free(plan);
}

static inline void
job_load(struct job *job)
{
	int fd = open(job->spool, O_RDONLY | O_CLOEXEC);
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	free(job->data);
	job->data = malloc((size_t)st.st_size + 1);
	job->len = 0;
	cr_assert_eq(pread(fd, job->data, (size_t)st.st_size, 0), st.st_size);
	job->len = (size_t)st.st_size;
	close(fd);
}

struct cursor {
	const struct job *job;
	size_t at;
	struct frame frame;
	const uint8_t *payload;
};

static inline bool
frame_next(struct cursor *c)
{
	const struct job *job = c->job;

	if (!c->at)
		c->at = SPOOL_HEADER_LEN;
	if (c->at + FRAME_HEADER_LEN > job->len)
		return false;
	frame_decode(&c->frame, job->data + c->at);
	c->payload = job->data + c->at + FRAME_HEADER_LEN;
	if (c->at + FRAME_HEADER_LEN + c->frame.len > job->len)
		return false;
	c->at += FRAME_HEADER_LEN + c->frame.len;
	return true;
}

/* All output of one kind of one step, terminated; the caller frees it. */
static inline char *
job_output(const struct job *job, uint8_t type, uint16_t step, size_t *len)
{
	struct cursor c = { .job = job };
	char *out = malloc(job->len + 1);
	size_t n = 0;

	while (frame_next(&c)) {
		if (c.frame.type != type || c.frame.step != step)
			continue;
		memcpy(out + n, c.payload, c.frame.len);
		n += c.frame.len;
	}
	out[n] = 0;
	if (len)
		*len = n;
	return out;
}

static inline void
expect_output(const struct job *job, uint16_t step, const char *want)
{
	char *out = job_output(job, FRAME_STDOUT, step, NULL);

	cr_assert_str_eq(out, want);
	free(out);
}

static inline unsigned
count_notes(const struct job *job, uint8_t flags, const char *text)
{
	struct cursor c = { .job = job };
	unsigned n = 0;

	while (frame_next(&c))
		n += c.frame.type == FRAME_NOTE && c.frame.flags == flags &&
		     memmem(c.payload, c.frame.len, text, strlen(text));
	return n;
}

static inline struct step_end
step_end_of(const struct job *job, uint16_t step)
{
	struct cursor c = { .job = job };
	struct step_end end = { .exit_code = -1000 };

	while (frame_next(&c))
		if (c.frame.type == FRAME_STEP_END && c.frame.step == step)
			cr_assert(step_end_decode(&end, c.payload, c.frame.len));
	cr_assert_neq(end.exit_code, -1000, "step %u has no end", step);
	return end;
}

/* Wait until a step has printed a text, in whole frames. */
static inline void
job_await(struct job *job, uint8_t type, uint16_t step, const char *text)
{
	struct pollfd p = { job->watch, POLLIN, 0 };
	char events[4096];

	for (;;) {
		char *out;
		bool found;

		job_load(job);
		out = job_output(job, type, step, NULL);
		found = strstr(out, text) != NULL;
		free(out);
		if (found)
			return;
		cr_assert_gt(poll(&p, 1, PATIENCE_MS), 0, "no \"%s\"", text);
		cr_assert_gt(read(job->watch, events, sizeof(events)), 0);
	}
}

/* The step waits with `read x < fifo`. */
static inline void
job_trigger(const struct job *job)
{
	int fd = open(job->fifo, O_WRONLY | O_CLOEXEC);

	cr_assert_eq(write(fd, "go\n", 3), 3);
	close(fd);
}

static inline void
job_check_order(const struct job *job)
{
	struct cursor c = { .job = job };
	struct frame_seq seq = { 0 };
	const char *why;

	cr_assert_geq(job->len, SPOOL_HEADER_LEN);
	cr_assert(spool_header_ok(job->data));
	while (frame_next(&c)) {
		why = frame_check(&seq, &c.frame);
		cr_assert_null(why, "%s: %s", frame_type_name(c.frame.type), why);
		if (c.frame.type == FRAME_JOB_START)
			frame_seq_job_start(&seq, c.payload[0]);
		if (c.frame.type == FRAME_JOB_END)
			cr_assert_eq(c.payload[0], job->status);
	}
	cr_assert_eq(c.at, job->len, "torn tail");
	cr_assert_not(seq.started && !seq.ended, "no job-end");
}

static inline int
job_wait(struct job *job)
{
	int status;

	cr_assert_eq(waitpid(job->pid, &status, 0), job->pid);
	cr_assert(WIFEXITED(status), "status %d", status);
	job->status = WEXITSTATUS(status);
	job_load(job);
	job_check_order(job);
	return job->status;
}

static inline int
job_run(struct job *job)
{
	job_start(job);
	return job_wait(job);
}

static inline void
job_clear(struct job *job)
{
	char command[128];

	close(job->plan_fd);
	close(job->watch);
	free(job->data);
	snprintf(command, sizeof(command), "rm -rf %s", job->dir);
	cr_assert_eq(system(command), 0);
}

