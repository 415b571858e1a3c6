/*
 * local: what the files of the local runner share.
 *
 *     runner_local.c   the ops, the runner's life
 *     local_probe.c    what this machine can do, found out once, when it is opened
 *     local_sandbox.c  one sandbox's life
 *     local_launch.c   how it is started
 *     local_remote.c   the same by slipway-launch: is it there, what can it do
 *     local_argv.c     bubblewrap's arguments (pure)
 *     local_root.c     what is the same in all sandboxes
 *     local_etc.c      what is in their /etc
 *     local_status.c   the evidence on disk
 *     local_bare.c     the little that can be done without bubblewrap
 *
 * Loop thread only, but for the opening of runners.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "slipway/cgroup.h"
#include "local_argv.h"
#include "local_etc.h"
#include "launcher.h"
#include "local_root.h"
#include "local_status.h"
#include "slipway/launch.h"
#include "slipway/runner.h"

struct runner {
	char *name;
	char **labels;
	size_t nlabels;
	unsigned capacity;
	enum spec_network network; /* the default of its jobs */
	bool allow_unsandboxed;
	struct loop *loop;
	bool by_launch; /* sandboxes are started by slipway-launch */
	struct launcher *launcher; /* NULL: the daemon is the parent of all */
	struct local_remote *remote; /* what asks it, with it */

	/* found by the probe */
	char *bwrap, *slirp, *init; /* paths; NULL: not there */
	bool bwrap_fits; /* new enough */
	bool disable_userns;
	bool sandbox_works;
	char why[400]; /* when it does not */
	bool isolated_works;
	char isolated_why[400];
	struct local_host host;
	struct local_etc etc;
	struct local_root root;
	int64_t refreshed; /* when the host was looked at, monotonic ms; 0: never */
	bool has_user; /* jobs run as another user than the daemon */
	uid_t uid;
	gid_t gid;
	struct rlimit nofile; /* for jobs */
	int seccomp_fd, resolv_fd;
	struct cgroup cgroup;

	unsigned refs; /* itself until closed, and its sandboxes */
};

/* Fills everything of the second half. Blocks for some milliseconds, or seconds. */
int local_probe(struct runner *r, const struct conf_runner *conf,
		const struct runner_env *env, struct err *e);
/* What people can do about sandboxes that do not work, as far as the kernel tells. */
const char *local_find_cure(void);
/* From now on sandboxes are started by slipway-launch; the second half is filled
 * whenever it answers, and env's on_changed called. */
void local_remote_open(struct runner *r, const struct runner_env *env);
void local_remote_close(struct runner *r);
void local_log_runner(const struct runner *r);
/* Does a new sandbox go without bubblewrap? */
static inline bool
local_is_bare(const struct runner *r)
{
	return !r->sandbox_works && r->allow_unsandboxed;
}
void local_runner_unref(struct runner *r);

struct local_started {
	struct launched process;
	int errors; /* memory file: what it says on standard error */
	/* With slipway-launch: the process comes by this. */
	launcher_fn *on_launched;
	void *arg;
	struct launcher_call *call;
};
/* Status file, descriptors, control group, process. */
int local_launch(struct runner *r, const struct sandbox_start *s, const char *leaf,
		 struct local_started *out, struct err *e);
/* An own description, for reading from the start, of a memory file; -1 on error. */
int local_reopen(int memfd, struct err *e);
/* The name of an attempt's control group. */
void local_leaf_name(char *out, size_t size, const char *job, unsigned attempt);

struct sandbox *local_start(struct runner *r, const struct sandbox_start *s,
			    const struct sandbox_events *ev);
struct sandbox *local_attach(struct runner *r, const char *job, unsigned attempt,
			     const char *dir, const struct sandbox_events *ev);
void local_signal(struct sandbox *s, int what);
void local_remove(struct sandbox *s);
void local_detach(struct sandbox *s);
void local_describe(struct sandbox *s, char *out, size_t size);

/* Kill whatever is still in the session of a bare slipway-init. Best effort: what left
 * the session is not found. */
void local_bare_kill(pid_t session);
/* A copy of the plan with the paths of a bare run; what it shares stays in's. */
void local_bare_plan(struct plan *out, const struct plan *in, const char *workspace,
		     const char *secrets_dir);
void local_bare_plan_free(struct plan *p);
/* Make the directory, in memory, for the secrets of the attempt in dir, which
 * local_bare_clean() removes. */
int local_bare_secrets(const struct runner *r, const char *dir, char *out, size_t size,
		       struct err *e);
void local_bare_clean(const char *dir);
