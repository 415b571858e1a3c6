/*
 * runner: a place where attempts run. The contract between engine (caller) and exec.
 *
 * An ops table; every operation is asynchronous and answers through callbacks, always
 * from the loop and never from inside the call. The sandbox outlives the daemon: what
 * exists and how it ended is read from the runner's own evidence, never from being its
 * parent. The engine commits "starting" before start() and the verdict before remove().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "slipway/conf.h"
#include "slipway/err.h"
#include "slipway/jobspec.h"
#include "slipway/loop.h"
#include "slipway/plan.h"
#include "slipway/pool.h"
#include "slipway/strbuf.h"

struct runner;	/* one configured runner */
struct sandbox; /* one attempt on it, from start() or attach() until on_removed */

struct runner_env {
	struct loop *loop;
	struct pool *pool;
	const char *state_dir;
	const char *libexec_dir;
	const char *instance;
	/* Where slipway-launch listens; NULL or "": the daemon starts all by itself. */
	const char *launch_socket;
	/* What can_run() answers has changed; from the loop. */
	void (*on_changed)(void *arg);
	void *changed_arg;
};

enum sandbox_end {
	SANDBOX_EXITED,	 /* code is slipway-init's */
	SANDBOX_LOST,	 /* it is gone and left no exit code */
	SANDBOX_NEVER,	 /* attach only: it was never started */
};

struct sandbox_exit {
	enum sandbox_end end;
	int code;
	bool oom;
	char why[256]; /* for people; "" when there is nothing to say */
};

struct sandbox_events {
	/* start(): the sandbox exists (err NULL), or could not be made. Only after
	 * success does on_exit follow. Not called by attach(). ERR_CONNECT: what makes
	 * sandboxes was away, nothing was begun, the same attempt may go on later. */
	void (*on_started)(void *arg, const struct err *err);
	/* Once: it ended and nothing of it runs any more. */
	void (*on_exit)(void *arg, const struct sandbox_exit *exit);
	/* After remove(): nothing is left; the handle is gone. */
	void (*on_removed)(void *arg);
	void *arg;
};

struct sandbox_start {
	const char *job;
	unsigned attempt;
	const char *dir;	/* jobs/<id>/<attempt>; status goes here */
	const char *workspace;	/* dir/workspace, owned by the jobs' user */
	const struct plan *plan;
	int spool_fd; /* O_APPEND; stays the caller's */
	enum spec_network network;
	uint64_t memory;
	uint32_t pids;
	double cpus;
	const char *image; /* or NULL */
};

#define RUNNER_SIGNAL_CANCEL 1 /* slipway-init ends the step, runs always steps */
#define RUNNER_SIGNAL_KILL 2   /* everything, at once */

struct runner_ops {
	const char *type;
	/* Blocking, and not on the loop once that runs: it may probe the machine. One
	 * call at a time. What conf points to is copied. */
	struct runner *(*open)(const struct conf_runner *conf,
			       const struct runner_env *env, struct err *e);
	/* On the loop, once after open(): what needs timers and answers begins. May be
	 * NULL. */
	void (*begin)(struct runner *r, const struct runner_env *env);
	void (*close)(struct runner *r); /* leaves sandboxes alone, drops handles */
	/* Can it take such jobs at all? false: why says what is missing, in words for
	 * waitReason ("no runner provides images"). Cheap; cached probes. */
	bool (*can_run)(struct runner *r, const struct job_needs *needs, char *why,
			size_t size);
	unsigned (*capacity)(struct runner *r);
	/* The unix user that owns workspaces: false when it is the daemon's own. */
	bool (*job_user)(struct runner *r, uid_t *uid, gid_t *gid);
	/* What the sandbox of an attempt will be called where it runs: recorded before
	 * start(), so that it can be found whatever happens then. */
	void (*name)(struct runner *r, const char *job, unsigned attempt, char *out,
		     size_t size);
	/* Never NULL: failures come by on_started. s is copied as needed. */
	struct sandbox *(*start)(struct runner *r, const struct sandbox_start *s,
				 const struct sandbox_events *ev);
	/* Adopt what an earlier daemon started in dir; on_exit may come at once. */
	struct sandbox *(*attach)(struct runner *r, const char *job, unsigned attempt,
				  const char *dir, const struct sandbox_events *ev);
	void (*signal)(struct sandbox *s, int what);
	/* Let go of a sandbox; kills it if it still runs. on_removed follows. */
	void (*remove)(struct sandbox *s);
	/* Let go of the handle without touching the sandbox (daemon shutdown). */
	void (*detach)(struct sandbox *s);
	/* A line for people about the sandbox (pid), for dumps and sandboxId. */
	void (*describe)(struct sandbox *s, char *out, size_t size);
};

extern const struct runner_ops runner_local_ops;
/* By type name; NULL when there is none. */
const struct runner_ops *runner_ops_find(const char *type);
