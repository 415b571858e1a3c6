/*
 * What this machine can do, in order: find the programs; ask bubblewrap for its
 * version; run it once without and once with a network, as the jobs' user, with the
 * very namespaces and mounts of a job. The answers hold until the runner is opened
 * again. On a pool thread, unless the daemon is starting.
 */
#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "seccomp_filter.h"
#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

#define PROBE_TIMEOUT_MS 3000
#define PROBE_TRIES 2
#define PROBE_OUTPUT_MAX 4096
#define JOB_NOFILE 1024
#define PASSWD_MAX 16384

/* Wait for the process and its output, both within the time; -1 when it took longer. */
static int
collect(const struct launched *p, int out, struct strbuf *text)
{
	int64_t end = clock_mono_ms() + PROBE_TIMEOUT_MS;
	char buf[512];

	for (;;) {
		struct pollfd fd = { .fd = out, .events = POLLIN };
		int64_t left = end - clock_mono_ms();

		if (left <= 0 || (poll(&fd, 1, (int)left) < 0 && errno != EINTR))
			break;
		ssize_t n = fd.revents ? read(out, buf, sizeof(buf)) : -1;

		if (!n)
			break;
		if (n > 0 && text->len < PROBE_OUTPUT_MAX)
			strbuf_add(text, buf, (size_t)n);
	}
	struct pollfd fd = { .fd = p->pidfd, .events = POLLIN };
	int64_t left = end - clock_mono_ms();
	siginfo_t info = { 0 };

	if (poll(&fd, 1, left > 0 ? (int)left : 0) != 1)
		kill(p->pid, SIGKILL);
	waitid(P_PIDFD, (id_t)p->pidfd, &info, WEXITED);
	return info.si_code == CLD_EXITED ? info.si_status : -1;
}

/* Its exit code, or -1; both output streams go to text. */
static int
run(const struct runner *r, const char *const *argv, struct strbuf *text)
{
	cleanup_close int in = -1, out = -1;
	int fds[2];
	struct err e = { 0 };
	struct launched p;

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	in = fds[0];
	out = fds[1];
	struct launch_fd pass[] = { { out, 1 }, { out, 2 } };
	struct launch_opts o = {
		.argv = argv,
		.fds = pass,
		.nfds = ARRAY_LEN(pass),
		.has_user = r->has_user,
		.uid = r->uid,
		.gid = r->gid,
	};

	if (launch(&o, &p, &e)) {
		strbuf_adds(text, e.msg);
		return -1;
	}
	close(steal_fd(&out));
	int code = collect(&p, in, text);

	close(p.pidfd);
	return code;
}

static int
find_user(struct runner *r, const struct conf_runner *conf, struct err *e)
{
	static const char standard[] = "slipway";
	const char *name = conf->user && *conf->user ? conf->user : standard;

	if (geteuid() != 0)
		return 0;
	char text[PASSWD_MAX];
	struct passwd entry, *pw;

	if (getpwnam_r(name, &entry, text, sizeof(text), &pw) || !pw)
		pw = NULL;
	if (!pw && !strcmp(name, standard) &&
	    getpwnam_r("nobody", &entry, text, sizeof(text), &pw))
		pw = NULL;
	if (!pw)
		return err_field(e, ERR_INVALID, "user", "there is no user %s", name);
	if (!pw->pw_uid || !pw->pw_gid)
		return err_field(e, ERR_INVALID, "user",
				 "jobs never run as root: name another user");
	r->has_user = true;
	r->uid = pw->pw_uid;
	r->gid = pw->pw_gid;
	return 0;
}

static bool
sysctl_is(const char *path, char value)
{
	char c = '\0';
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, &c, 1) == 1 && c == value;
}

const char *
local_find_cure(void)
{
	static const struct {
		const char *path;
		char value;
		const char *cure;
	} known[] = {
		{ "/proc/sys/kernel/unprivileged_userns_clone", '0',
		  "; set sysctl kernel.unprivileged_userns_clone=1" },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1',
		  "; install an AppArmor profile that lets bwrap have them, or set "
		  "sysctl kernel.apparmor_restrict_unprivileged_userns=0" },
		{ "/proc/sys/user/max_user_namespaces", '0',
		  "; raise sysctl user.max_user_namespaces" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (sysctl_is(known[i].path, known[i].value))
			return known[i].cure;
	return "";
}

/* Does a sandbox with such a network run? why gets what was said otherwise. */
static bool
try_sandbox(struct runner *r, enum spec_network network, char *why, size_t size)
{
	struct local_argv argv;
	struct local_args a = {
		.host = &r->host,
		.bwrap = r->bwrap,
		.init = r->init,
		.slirp = r->slirp,
		.root = r->root.path,
		.bind_init = !r->root.can_execute,
		.network = network,
		.disable_userns = r->disable_userns,
	};
	cleanup_strbuf struct strbuf text = { 0 };

	local_argv_build_probe(&argv, &a);
	/* The answer is kept for long: one bad moment must not make it. */
	for (int i = 0; i < PROBE_TRIES; i++) {
		strbuf_reset(&text);
		if (!run(r, argv.v, &text))
			return true;
	}
	snprintf(why, size, "%s", text.len ? text.data : "no answer in time");
	why[strcspn(why, "\n")] = '\0';
	return false;
}

static void
probe_sandbox(struct runner *r)
{
	char said[200];

	r->sandbox_works = try_sandbox(r, NETWORK_NONE, said, sizeof(said));
	if (!r->sandbox_works)
		snprintf(r->why, sizeof(r->why), "sandboxes do not work here: %s%s",
			 said, local_find_cure());
}

static void
probe_isolated(struct runner *r)
{
	char said[300];

	r->slirp = fs_find_program("slirp4netns");
	if (!r->slirp) {
		snprintf(r->isolated_why, sizeof(r->isolated_why),
			 "slirp4netns is not installed: needed for network isolated");
		return;
	}
	if (!r->sandbox_works || r->by_launch)
		return;
	r->isolated_works = try_sandbox(r, NETWORK_ISOLATED, said, sizeof(said));
	if (!r->isolated_works)
		snprintf(r->isolated_why, sizeof(r->isolated_why),
			 "network isolated does not work here: %s", said);
}

static void
probe_bwrap(struct runner *r)
{
	cleanup_strbuf struct strbuf text = { 0 };

	r->bwrap = fs_find_program("bwrap");
	if (!r->bwrap) {
		snprintf(r->why, sizeof(r->why), "bubblewrap is not installed");
		return;
	}
	int code = run(r, (const char *const[]){ r->bwrap, "--version", NULL }, &text);

	if (code != 0 || !local_bwrap_is_at_least(strbuf_str(&text), 0, 6)) {
		snprintf(r->why, sizeof(r->why), "%s is too old: 0.6 is needed",
			 r->bwrap);
		return;
	}
	r->bwrap_fits = true;
	r->disable_userns = local_bwrap_is_at_least(strbuf_str(&text), 0, 8);
	if (!r->by_launch)
		probe_sandbox(r);
}

static int
make_resolv(struct runner *r, struct err *e)
{
	static const char text[] = LOCAL_RESOLV;

	r->resolv_fd = memfd_create("slipway-resolv", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r->resolv_fd < 0)
		return err_sys(e, "memory file");
	if (fs_write_all(r->resolv_fd, text, strlen(text), e))
		return -1;
	if (fcntl(r->resolv_fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return err_sys(e, "memory file");
	return 0;
}

static void
probe_cgroup(struct runner *r)
{
	cleanup_strbuf struct strbuf self = { 0 };
	char why[128] = "no /proc";

	if (fs_read_file("/proc/self/cgroup", PROBE_OUTPUT_MAX * 4, &self, NULL) ||
	    !cgroup_open(&r->cgroup, cgroup_mount(), strbuf_str(&self), why,
			 sizeof(why)))
		log_debug(LOG_EXEC, "runner=%s limits by rlimits: %s", r->name, why);
}

int
local_probe(struct runner *r, const struct conf_runner *conf,
	    const struct runner_env *env, struct err *e)
{
	if (find_user(r, conf, e))
		return -1;
	cleanup_free char *init = xasprintf("%s/slipway-init", env->libexec_dir);

	r->init = realpath(init, NULL);
	if (!r->init || !fs_is_program(r->init))
		return err_set(e, ERR_NOT_FOUND, "%s is missing", init);
	if (getrlimit(RLIMIT_NOFILE, &r->nofile))
		return err_sys(e, "limits");
	if (r->nofile.rlim_max == RLIM_INFINITY || r->nofile.rlim_max > JOB_NOFILE)
		r->nofile.rlim_cur = JOB_NOFILE;
	else
		r->nofile.rlim_cur = r->nofile.rlim_max;
	r->seccomp_fd = seccomp_filter_open(e);
	if (r->seccomp_fd < 0 || make_resolv(r, e))
		return -1;
	local_host_read(&r->host, "/");
	if (local_etc_prepare(&r->etc, env->state_dir, "/", e) ||
	    local_root_prepare(&r->root, env->state_dir, &r->host, r->init, e))
		return -1;
	r->by_launch = env->launch_socket && *env->launch_socket;
	if (!r->by_launch)
		probe_cgroup(r);
	probe_bwrap(r);
	probe_isolated(r);
	return 0;
}
