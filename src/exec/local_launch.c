/*
 * Starting a sandbox, on the reactor: the plan goes into a memory file, the status file
 * is created and locked, one vfork (or a message to slipway-launch), and our copies are
 * closed again. The lock then belongs to bubblewrap's monitor alone.
 */
#include "local.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define REFRESH_MS 1000

static const char *const bare_env[] = {
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LANG=C.UTF-8", NULL
};

struct files {
	int status, plan, seccomp, resolv, procs, errors;
};

static void
files_close(struct files *f)
{
	const int all[] = { f->status, f->plan, f->seccomp, f->resolv, f->procs,
			    f->errors };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i] >= 0)
			close(all[i]);
}
#define cleanup_files __attribute__((cleanup(files_close)))

void
local_leaf_name(char *out, size_t size, const char *job, unsigned attempt)
{
	snprintf(out, size, "slipway-%s-%u", job, attempt);
}

int
local_reopen(int memfd, struct err *e)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, "%s", path) : fd;
}

static int
plan_file(const struct plan *plan, struct err *e)
{
	cleanup_close int fd = -1;
	uint8_t *data = NULL;
	size_t len = 0;

	if (!plan_encode(plan, &data, &len))
		return err_set(e, ERR_TOO_LARGE, "the plan is too large");
	fd = memfd_create("slipway-plan", MFD_CLOEXEC);
	int r = fd < 0 ? err_sys(e, "memory file") : fs_write_all(fd, data, len, e);

	explicit_bzero(data, len); /* it holds secrets */
	free(data);
	if (r || lseek(fd, 0, SEEK_SET))
		return -1;
	return steal_fd(&fd);
}

static int
bare_plan_file(const struct runner *r, const struct sandbox_start *s, struct err *e)
{
	char secrets[80];
	struct plan plan;

	if (local_bare_secrets(r, s->dir, secrets, sizeof(secrets), e))
		return -1;
	local_bare_plan(&plan, s->plan, s->workspace, secrets);
	int fd = plan_file(&plan, e);

	local_bare_plan_free(&plan);
	if (fd < 0)
		local_bare_clean(s->dir);
	return fd;
}

static int
files_open(struct files *f, struct runner *r, const struct sandbox_start *s,
	   enum spec_network network, const char *leaf, struct err *e)
{
	struct cgroup_limits limits = { s->memory, s->pids, s->cpus };
	bool bare = local_is_bare(r);

	f->plan = bare ? bare_plan_file(r, s, e) : plan_file(s->plan, e);
	if (f->plan < 0)
		return -1;
	f->errors = memfd_create("slipway-errors", MFD_CLOEXEC);
	if (f->errors < 0)
		return err_sys(e, "memory file");
	if (!bare && (f->seccomp = local_reopen(r->seccomp_fd, e)) < 0)
		return -1;
	if (network == NETWORK_ISOLATED &&
	    (f->resolv = local_reopen(r->resolv_fd, e)) < 0)
		return -1;
	if (r->cgroup.parent[0] && !r->launcher) {
		f->procs = cgroup_leaf_create(&r->cgroup, leaf, &limits, e);
		if (f->procs < 0)
			return -1;
	}
	/* Last: once it exists the attempt counts as begun. */
	f->status = local_status_create(s->dir, e);
	return f->status < 0 ? -1 : 0;
}

static enum spec_network
network_of(const struct runner *r, const struct sandbox_start *s)
{
	return s->network == NETWORK_DEFAULT ? r->network : s->network;
}

static void
build_argv(struct local_argv *argv, struct runner *r, const struct sandbox_start *s,
	   enum spec_network network)
{
	struct local_args a = {
		.host = &r->host,
		.bwrap = r->bwrap,
		.init = r->init,
		.slirp = r->slirp,
		.root = r->root.path,
		.bind_init = !r->root.can_execute,
		.workspace = s->workspace,
		.network = network,
		.disable_userns = r->disable_userns,
		.seccomp = true,
		.tmp_size = s->memory,
	};

	if (local_is_bare(r))
		local_argv_build_bare(argv, r->init);
	else
		local_argv_build(argv, &a);
}

static int
start_as(struct runner *r, const struct sandbox_start *s, const char *leaf,
	 const struct launch_opts *o, struct local_started *out, struct err *e)
{
	const struct cgroup_limits limits = { s->memory, s->pids, s->cpus };
	const struct launcher_group group = { leaf, &limits };

	if (!r->launcher)
		return launch(o, &out->process, e);
	out->call = launcher_start(r->launcher, o, &group, out->on_launched, out->arg, e);
	return out->call ? 0 : -1;
}

static void
pass_files(const struct files *f, int spool_fd, struct launch_fd *fds, size_t *nfds)
{
	fds[(*nfds)++] = (struct launch_fd){ f->errors, STDERR_FILENO };
	fds[(*nfds)++] = (struct launch_fd){ f->status, LOCAL_FD_STATUS };
	fds[(*nfds)++] = (struct launch_fd){ f->plan, LOCAL_FD_PLAN };
	fds[(*nfds)++] = (struct launch_fd){ spool_fd, LOCAL_FD_SPOOL };
	if (f->seccomp >= 0)
		fds[(*nfds)++] = (struct launch_fd){ f->seccomp, LOCAL_FD_SECCOMP };
	if (f->resolv >= 0)
		fds[(*nfds)++] = (struct launch_fd){ f->resolv, LOCAL_FD_RESOLV };
}

static int
start_process(struct runner *r, const struct sandbox_start *s, const char *leaf,
	      const struct files *f, struct local_started *out, struct err *e)
{
	const struct launch_rlimit limits[] = {
		{ RLIMIT_CORE, 0, 0 },
		{ RLIMIT_NOFILE, r->nofile.rlim_cur, r->nofile.rlim_max },
	};
	struct launch_fd fds[6];
	size_t nfds = 0;
	struct local_argv argv;

	pass_files(f, s->spool_fd, fds, &nfds);
	build_argv(&argv, r, s, network_of(r, s));
	/* A session of its own: a terminal's ^C is for the daemon only. */
	struct launch_opts o = {
		.argv = argv.v,
		.envp = bare_env,
		.fds = fds,
		.nfds = nfds,
		.rlimits = limits,
		.nrlimits = ARRAY_LEN(limits),
		.cwd = local_is_bare(r) ? s->workspace : NULL,
		.has_user = r->has_user,
		.uid = r->uid,
		.gid = r->gid,
		.setsid = true,
		.no_new_privs = local_is_bare(r),
		.cgroup_procs_fd = f->procs > 0 ? f->procs : 0,
	};

	return start_as(r, s, leaf, &o, out, e);
}

/* Why it cannot be started, though that looked possible when it was picked. */
static int
check(const struct runner *r, const struct sandbox_start *s, enum spec_network network,
      struct err *e)
{
	if (s->image)
		return err_set(e, ERR_INVALID, "local runners provide no images");
	if (!r->sandbox_works && !r->allow_unsandboxed)
		return err_set(e, r->launcher ? ERR_CONNECT : ERR_DENIED, "%s", r->why);
	if (local_is_bare(r) && network != NETWORK_HOST)
		return err_set(e, ERR_DENIED, "network %s needs a sandbox: %s",
			       jobspec_network_name(network), r->why);
	if (network == NETWORK_ISOLATED && !r->isolated_works)
		return err_set(e, r->launcher ? ERR_CONNECT : ERR_DENIED, "%s",
			       r->isolated_why);
	return 0;
}

/* Under load sandboxes start more often than a host's files change. */
static void
refresh_tree(struct runner *r)
{
	struct err e = { 0 };
	int64_t now = clock_mono_ms();

	if (r->refreshed && now - r->refreshed < REFRESH_MS)
		return;
	r->refreshed = now;
	local_host_refresh(&r->host);
	/* Should that fail, the last copies are still good enough. */
	if (local_etc_refresh(&r->etc, "/", &e))
		log_warn(LOG_EXEC, "runner=%s %s", r->name, e.msg);
}

int
local_launch(struct runner *r, const struct sandbox_start *s, const char *leaf,
	     struct local_started *out, struct err *e)
{
	cleanup_files struct files f = { -1, -1, -1, -1, -1, -1 };
	enum spec_network network = network_of(r, s);

	if (check(r, s, network, e))
		return -1;
	if (!local_is_bare(r))
		refresh_tree(r);
	if (files_open(&f, r, s, network, leaf, e) ||
	    start_process(r, s, leaf, &f, out, e)) {
		if (f.status >= 0)
			local_status_remove(s->dir);
		if (f.procs >= 0)
			cgroup_leaf_remove(&r->cgroup, leaf);
		if (f.plan >= 0 && local_is_bare(r))
			local_bare_clean(s->dir);
		return -1;
	}
	if (local_is_bare(r) &&
	    local_status_note_child(f.status, out->process.pid, NULL))
		kill(out->process.pid, SIGKILL); /* no evidence, no job */
	out->errors = steal_fd(&f.errors);
	return 0;
}
