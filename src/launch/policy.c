/*
 * An argument vector is either
 *     BWRAP OPTION... -- COMMAND...
 * or the same behind
 *     INIT net --slirp SLIRP --
 * Each option of bubblewrap that may stand there is a row of options[].
 */
#include "policy.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

#define INIT_INSIDE "/run/slipway-init"
#define WORKSPACE "/workspace"
#define ROOT "/sandbox/root"

/* What every sandbox must have asked for. */
#define HAS_USER 1u
#define HAS_PID 2u
#define HAS_IPC 4u
#define HAS_UTS 8u
#define HAS_CAP_DROP 16u
#define HAS_NEW_SESSION 32u
#define HAS_CLEARENV 64u
#define HAS_ALL 127u

typedef bool check_fn(const struct policy *p, const char *const *args);

static bool
is_anything(const struct policy *p, const char *const *args)
{
	return true;
}

static bool
is_all(const struct policy *p, const char *const *args)
{
	return !strcmp(args[0], "ALL");
}

/* Parts of the system, each at its own place. */
static bool
is_system_path(const char *path)
{
	static const char *const roots[] = { "/usr",   "/bin",	 "/sbin",   "/lib",
					     "/lib32", "/lib64", "/libx32", "/opt" };

	for (size_t i = 0; i < ARRAY_LEN(roots); i++)
		if (!strcmp(path, roots[i]))
			return true;
	return !strncmp(path, "/etc/", 5) && !strstr(path, "..");
}

static bool
is_below(const struct policy *p, const char *path)
{
	char plain[4096];

	if (path[0] != '/' || !fs_normalise(path, plain, sizeof(plain)) ||
	    strcmp(path, plain) != 0)
		return false;
	return !*p->state_dir || fs_is_inside(p->state_dir, path);
}

static bool
ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && !strcmp(s + n - m, end);
}

/* The daemon's own; one that is just called so may lie in any job's workspace. */
static bool
is_root(const struct policy *p, const char *path)
{
	cleanup_free char *root = xasprintf("%s" ROOT, p->state_dir);
	char plain[4096];

	if (!*p->state_dir)
		return ends_with(path, ROOT) && is_below(p, path);
	return fs_normalise(root, plain, sizeof(plain)) && !strcmp(path, plain);
}

static bool
is_readable(const struct policy *p, const char *const *args)
{
	const char *from = args[0], *to = args[1];

	if (!strcmp(to, "/"))
		return is_root(p, from);
	if (!strcmp(to, INIT_INSIDE))
		return p->init && !strcmp(from, p->init);
	return !strcmp(from, to) && is_system_path(to);
}

static bool
is_workspace(const struct policy *p, const char *const *args)
{
	return !strcmp(args[1], WORKSPACE) && ends_with(args[0], WORKSPACE) &&
	       is_below(p, args[0]);
}

static const struct option {
	const char *name;
	size_t nargs;
	check_fn *check;
	unsigned has;
} options[] = {
	{ "--unshare-user", 0, is_anything, HAS_USER },
	{ "--unshare-pid", 0, is_anything, HAS_PID },
	{ "--unshare-ipc", 0, is_anything, HAS_IPC },
	{ "--unshare-uts", 0, is_anything, HAS_UTS },
	{ "--unshare-cgroup-try", 0, is_anything, 0 },
	{ "--unshare-net", 0, is_anything, 0 },
	{ "--disable-userns", 0, is_anything, 0 },
	{ "--as-pid-1", 0, is_anything, 0 },
	{ "--new-session", 0, is_anything, HAS_NEW_SESSION },
	{ "--cap-drop", 1, is_all, HAS_CAP_DROP },
	{ "--hostname", 1, is_anything, 0 },
	{ "--clearenv", 0, is_anything, HAS_CLEARENV },
	{ "--setenv", 2, is_anything, 0 },
	{ "--ro-bind", 2, is_readable, 0 },
	{ "--ro-bind-try", 2, is_readable, 0 },
	{ "--ro-bind-data", 2, is_anything, 0 },
	{ "--bind", 2, is_workspace, 0 },
	{ "--symlink", 2, is_anything, 0 },
	{ "--proc", 1, is_anything, 0 },
	{ "--dev", 1, is_anything, 0 },
	{ "--size", 1, is_anything, 0 },
	{ "--perms", 1, is_anything, 0 },
	{ "--tmpfs", 1, is_anything, 0 },
	{ "--remount-ro", 1, is_anything, 0 },
	{ "--seccomp", 1, is_anything, 0 },
	{ "--json-status-fd", 1, is_anything, 0 },
	{ "--chdir", 1, is_anything, 0 },
};

static const struct option *
find_option(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		if (!strcmp(options[i].name, name))
			return &options[i];
	return NULL;
}

static size_t
count(const char *const *argv)
{
	size_t n = 0;

	while (argv[n])
		n++;
	return n;
}

static int
check_command(const char *const *argv, struct err *e)
{
	bool is_init = argv[0] && !strcmp(argv[0], INIT_INSIDE) && argv[1] &&
		       !strcmp(argv[1], "run");
	bool is_probe = argv[0] && !strcmp(argv[0], "/bin/true") && !argv[1];

	return is_init || is_probe
		       ? 0
		       : err_set(e, ERR_DENIED, "only slipway-init runs in a sandbox");
}

static int
check_bwrap(const struct policy *p, const char *const *argv, struct err *e)
{
	size_t n = count(argv), i = 0;
	unsigned has = 0;

	while (i < n && strcmp(argv[i], "--") != 0) {
		const struct option *o = find_option(argv[i]);

		if (!o)
			return err_set(e, ERR_DENIED, "option of the sandbox: %s",
				       argv[i]);
		if (n - i <= o->nargs || !o->check(p, argv + i + 1))
			return err_set(e, ERR_DENIED,
				       "value of the sandbox's option %s", argv[i]);
		has |= o->has;
		i += 1 + o->nargs;
	}
	if (has != HAS_ALL)
		return err_set(e, ERR_DENIED, "the sandbox is not closed");
	return i == n ? err_set(e, ERR_DENIED, "no command")
		      : check_command(argv + i + 1, e);
}

static bool
is_net(const struct policy *p, const char *const *argv)
{
	return p->init && p->slirp && !strcmp(argv[0], p->init) && count(argv) > 5 &&
	       !strcmp(argv[1], "net") && !strcmp(argv[2], "--slirp") &&
	       !strcmp(argv[3], p->slirp) && !strcmp(argv[4], "--");
}

int
policy_check(const struct policy *p, const char *const *argv, struct err *e)
{
	if (is_net(p, argv))
		argv += 5;
	if (!p->bwrap || strcmp(argv[0], p->bwrap) != 0)
		return err_set(e, ERR_DENIED, "%s is not what sandboxes are made with",
			       argv[0]);
	return check_bwrap(p, argv + 1, e);
}
