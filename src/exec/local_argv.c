#include "local_argv.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "local_etc.h"
#include "slipway/mem.h"

#define PLAN_FD "4"
#define SPOOL_FD "5"

/* Each of these is a link into /usr on merged systems, a directory on others. */
static const char *const root_dirs[] = { "bin",	  "sbin",  "lib",
					 "lib32", "lib64", "libx32" };

static char *
path_in(const char *root, const char *path)
{
	return xasprintf("%s%s", strcmp(root, "/") ? root : "", path);
}

static bool
is_dir(const char *root, const char *path)
{
	cleanup_free char *full = path_in(root, path);
	struct stat st;

	return !stat(full, &st) && S_ISDIR(st.st_mode);
}

static void
host_add(struct local_host *h, const char *how, char *from, char *to)
{
	if (h->nmounts == LOCAL_MOUNTS_MAX)
		abort();
	h->mounts[h->nmounts++] = (struct local_mount){ .how = how, .from = from,
							.to = to };
}

static void
host_add_root_dir(struct local_host *h, const char *root, const char *name)
{
	cleanup_free char *path = xasprintf("/%s", name);
	cleanup_free char *full = path_in(root, path);
	char target[256];
	struct stat st;

	if (lstat(full, &st))
		return;
	if (S_ISDIR(st.st_mode))
		return host_add(h, "--ro-bind", xstrdup(path), xstrdup(path));
	ssize_t n = readlink(full, target, sizeof(target) - 1);

	if (n <= 0)
		return;
	target[n] = '\0';
	host_add(h, NULL, xstrdup(target), STEAL(path));
}

void
local_host_read(struct local_host *h, const char *root)
{
	cleanup_free char *resolv = path_in(root, "/etc/resolv.conf");
	struct stat st;

	*h = (struct local_host){ 0 };
	host_add(h, "--ro-bind", xstrdup("/usr"), xstrdup("/usr"));
	for (size_t i = 0; i < ARRAY_LEN(root_dirs); i++)
		host_add_root_dir(h, root, root_dirs[i]);
	if (is_dir(root, "/opt")) {
		host_add(h, "--ro-bind-try", xstrdup("/opt"), xstrdup("/opt"));
		h->mounts[h->nmounts - 1].maybe_empty = true;
	}
	for (size_t i = 0; i < LOCAL_ETC_DIRS; i++) {
		cleanup_free char *path = xasprintf("/etc/%s", local_etc_dirs[i]);

		/* -try all the same: what is there now may go away later. */
		if (is_dir(root, path))
			host_add(h, "--ro-bind-try", xstrdup(path), xstrdup(path));
	}
	h->has_resolv = !lstat(resolv, &st);
}

static bool
is_empty(const char *path)
{
	DIR *d = opendir(path);
	const struct dirent *ent;
	bool empty = true;

	if (!d)
		return true;
	while (empty && (ent = readdir(d)))
		empty = !strcmp(ent->d_name, ".") || !strcmp(ent->d_name, "..");
	closedir(d);
	return empty;
}

void
local_host_refresh(struct local_host *h)
{
	for (size_t i = 0; i < h->nmounts; i++)
		if (h->mounts[i].maybe_empty)
			h->mounts[i].empty = is_empty(h->mounts[i].from);
}

void
local_host_free(struct local_host *h)
{
	for (size_t i = 0; i < h->nmounts; i++) {
		free(h->mounts[i].from);
		free(h->mounts[i].to);
	}
	h->nmounts = 0;
}

static void
add(struct local_argv *a, const char *arg)
{
	if (a->n == LOCAL_ARGV_MAX)
		abort();
	a->v[a->n++] = arg;
	a->v[a->n] = NULL;
}

#define ADD(a, ...) add_all((a), (const char *const[]){ __VA_ARGS__, NULL })

static void
add_all(struct local_argv *a, const char *const *args)
{
	while (*args)
		add(a, *args++);
}

static void
add_programs(struct local_argv *out, const struct local_args *a)
{
	if (a->network == NETWORK_ISOLATED)
		ADD(out, a->init, "net", "--slirp", a->slirp, "--");
	add(out, a->bwrap);
}

static void
add_namespaces(struct local_argv *out, const struct local_args *a)
{
	ADD(out, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts",
	    "--unshare-cgroup-try");
	if (a->disable_userns)
		add(out, "--disable-userns");
	if (a->network != NETWORK_HOST)
		add(out, "--unshare-net");
	/* No --die-with-parent: a job outlives the daemon. */
	ADD(out, "--as-pid-1", "--new-session", "--cap-drop", "ALL", "--hostname",
	    "slipway");
	ADD(out, "--clearenv", "--setenv", "PATH",
	    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "--setenv",
	    "LANG", "C.UTF-8");
}

static void
add_resolv(struct local_argv *out, const struct local_args *a)
{
	static const char path[] = "/etc/resolv.conf";

	if (a->network == NETWORK_ISOLATED)
		ADD(out, "--ro-bind-data", "7", path);
	else if (a->network == NETWORK_HOST && a->host->has_resolv)
		ADD(out, "--ro-bind-try", path, path);
}

/* What lies in a tmpfs is memory, too. */
static void
add_tmpfs(struct local_argv *out, const struct local_args *a, const char *perms,
	  const char *where)
{
	if (a->tmp_size)
		ADD(out, "--size", out->tmp_size);
	ADD(out, "--perms", perms, "--tmpfs", where);
}

/* Its size cannot be set: so nothing can be written to it. */
static void
add_dev(struct local_argv *out, const struct local_args *a)
{
	ADD(out, "--dev", "/dev");
	add_tmpfs(out, a, "1777", "/dev/shm");
	ADD(out, "--remount-ro", "/dev");
}

static void
add_host(struct local_argv *out, const struct local_args *a)
{
	for (size_t i = 0; i < a->host->nmounts; i++) {
		const struct local_mount *m = &a->host->mounts[i];

		if (m->how && !m->empty)
			ADD(out, m->how, m->from, m->to);
	}
	if (a->bind_init)
		ADD(out, "--ro-bind", a->init, LOCAL_INIT);
}

static void
add_tree(struct local_argv *out, const struct local_args *a)
{
	snprintf(out->tmp_size, sizeof(out->tmp_size), "%" PRIu64, a->tmp_size);
	ADD(out, "--ro-bind", a->root, "/");
	add_dev(out, a);
	add_host(out, a);
	if (a->workspace)
		ADD(out, "--bind", a->workspace, LOCAL_WORKSPACE);
	ADD(out, "--proc", "/proc");
	add_tmpfs(out, a, "1777", "/tmp");
	add_tmpfs(out, a, "0700", LOCAL_SECRETS_DIR);
}

void
local_argv_build(struct local_argv *out, const struct local_args *a)
{
	out->n = 0;
	add_programs(out, a);
	add_namespaces(out, a);
	add_tree(out, a);
	add_resolv(out, a);
	if (a->seccomp)
		ADD(out, "--seccomp", "6");
	ADD(out, "--json-status-fd", "3", "--chdir", LOCAL_WORKSPACE "/repo");
	ADD(out, "--", LOCAL_INIT, "run", "--plan-fd", PLAN_FD, "--spool-fd",
	    SPOOL_FD);
}

void
local_argv_build_probe(struct local_argv *out, const struct local_args *a)
{
	out->n = 0;
	add_programs(out, a);
	add_namespaces(out, a);
	add_tree(out, a);
	if (a->status)
		ADD(out, "--json-status-fd", "3");
	ADD(out, "--", "/bin/true");
}

void
local_argv_build_bare(struct local_argv *out, const char *init)
{
	out->n = 0;
	ADD(out, init, "run", "--plan-fd", PLAN_FD, "--spool-fd", SPOOL_FD);
}

bool
local_bwrap_is_at_least(const char *version, unsigned major, unsigned minor)
{
	unsigned have_major, have_minor;

	if (sscanf(version, "bubblewrap %u.%u", &have_major, &have_minor) != 2)
		return false;
	return have_major > major || (have_major == major && have_minor >= minor);
}
