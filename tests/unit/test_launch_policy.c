#include <criterion/criterion.h>
#include <string.h>

#include "exec/local_argv.h"
#include "launch/policy.h"
#include "slipway/mem.h"

#define BWRAP "/usr/bin/bwrap"
#define SLIRP "/usr/bin/slirp4netns"
#define INIT "/usr/libexec/slipway/slipway-init"
#define STATE "/var/lib/slipway"

static char bwrap[] = BWRAP, slirp[] = SLIRP, init[] = INIT, state[] = STATE,
	    none[] = "";
static struct policy policy = { bwrap, slirp, init, state };

/* What the daemon asks for, as of today. */
static void
build(struct local_argv *argv, enum spec_network network, bool probe)
{
	static struct local_host host;
	struct local_args a = {
		.host = &host,
		.bwrap = BWRAP,
		.init = INIT,
		.slirp = SLIRP,
		.root = STATE "/sandbox/root",
		.workspace = STATE "/jobs/j1/1/workspace",
		.network = network,
		.disable_userns = true,
		.seccomp = true,
		.tmp_size = 1 << 20,
		.status = true,
	};

	if (!host.nmounts)
		local_host_read(&host, "/");
	if (probe)
		a.workspace = NULL, local_argv_build_probe(argv, &a);
	else
		local_argv_build(argv, &a);
}

static bool
is_allowed(const char *const *argv)
{
	struct err e = { 0 };

	if (!policy_check(&policy, argv, &e))
		return true;
	cr_assert_eq(e.code, ERR_DENIED);
	return false;
}

/* The job's sandbox, with one argument replaced by others. */
static bool
is_allowed_with(const char *old, const char *const *instead)
{
	const char *v[LOCAL_ARGV_MAX + 8];
	struct local_argv argv;
	size_t n = 0;
	bool found = false;

	build(&argv, NETWORK_NONE, false);
	for (size_t i = 0; i < argv.n; i++) {
		if (found || strcmp(argv.v[i], old) != 0) {
			v[n++] = argv.v[i];
			continue;
		}
		found = true;
		for (size_t k = 0; instead[k]; k++)
			v[n++] = instead[k];
	}
	v[n] = NULL;
	cr_assert(found, "%s", old);
	return is_allowed(v);
}
#define WITH(old, ...) is_allowed_with(old, (const char *const[]){ __VA_ARGS__, NULL })
#define WITHOUT(old) is_allowed_with(old, (const char *const[]){ NULL })

Test(launch_policy, what_the_daemon_asks_for_is_allowed)
{
	static const enum spec_network all[] = { NETWORK_NONE, NETWORK_ISOLATED,
						 NETWORK_HOST };
	struct local_argv argv;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct err e = { 0 };

		build(&argv, all[i], false);
		cr_expect_eq(policy_check(&policy, argv.v, &e), 0, "%s", e.msg);
		build(&argv, all[i], true);
		cr_expect_eq(policy_check(&policy, argv.v, &e), 0, "%s", e.msg);
	}
	cr_expect(WITH("--new-session", "--new-session"));
}

Test(launch_policy, other_programs_are_not)
{
	static const char *const shell[] = { "/bin/sh", "-c", "id", NULL };
	static const char *const bare[] = { INIT, "run", "--plan-fd", "4", NULL };
	static const char *const net[] = { INIT, "net",	    "--slirp", SLIRP,
					   "--", "/bin/sh", NULL };
	static const char *const short_net[] = { INIT,	"net", "--slirp",
						 SLIRP, "--",  NULL };

	cr_expect_not(is_allowed(shell));
	cr_expect_not(is_allowed(bare));
	cr_expect_not(is_allowed(net));
	cr_expect_not(is_allowed(short_net));
	cr_expect_not(WITH(BWRAP, "bwrap"));
	cr_expect_not(WITH(BWRAP, INIT, "net", "--slirp", "/tmp/slirp", "--", BWRAP));
	cr_expect(WITH(BWRAP, INIT, "net", "--slirp", SLIRP, "--", BWRAP));
	policy.bwrap = NULL;
	cr_expect_not(WITH("--new-session", "--new-session"));
	policy.bwrap = bwrap;
}

Test(launch_policy, only_slipway_init_runs_inside)
{
	cr_expect_not(WITH("run", "net"));
	cr_expect_not(WITH("--", "--", "/bin/sh"));
	cr_expect_not(WITHOUT("--"));
	cr_expect_not(WITH("--", "--", "/bin/true"));
}

Test(launch_policy, the_sandbox_is_closed)
{
	cr_expect_not(WITHOUT("--unshare-user"));
	cr_expect_not(WITHOUT("--unshare-pid"));
	cr_expect_not(WITHOUT("--unshare-ipc"));
	cr_expect_not(WITHOUT("--unshare-uts"));
	cr_expect_not(WITHOUT("--new-session"));
	cr_expect_not(WITHOUT("--clearenv"));
	cr_expect_not(WITH("ALL", "CAP_KILL"));
	cr_expect_not(WITH("--new-session", "--new-session", "--cap-add", "ALL"));
	cr_expect_not(WITH("--new-session", "--new-session", "--share-net"));
}

Test(launch_policy, nothing_but_the_system_and_a_workspace_is_mounted)
{
	cr_expect_not(WITH("--new-session", "--new-session", "--ro-bind", "/", "/"));
	cr_expect_not(WITH("--new-session", "--new-session", "--ro-bind", "/", "/usr"));
	cr_expect_not(
		WITH("--new-session", "--new-session", "--ro-bind", "/root", "/root"));
	cr_expect_not(WITH("--new-session", "--new-session", "--ro-bind",
			   "/etc/../root", "/etc/../root"));
	cr_expect(WITH("--new-session", "--new-session", "--ro-bind", "/opt", "/opt"));
	cr_expect_not(WITH("--new-session", "--new-session", "--bind", "/opt", "/opt"));
	cr_expect_not(
		WITH("--new-session", "--new-session", "--dev-bind", "/dev", "/dev"));
	cr_expect_not(WITH("--new-session", "--new-session", "--ro-bind", "/tmp/init",
			   "/run/slipway-init"));
	cr_expect_not(
		WITH("--new-session", "--new-session", "--ro-bind", "/etc", "/etc"));
}

Test(launch_policy, workspaces_are_below_the_state_directory)
{
	const char *const job = STATE "/jobs/j1/1/workspace";

	cr_expect_not(WITH(job, "/home/me/workspace"));
	cr_expect_not(WITH(job, STATE "/../workspace"));
	cr_expect_not(WITH(job, STATE "/db"));
	cr_expect_not(WITH(job, STATE "/db/../jobs/workspace"));
	cr_expect_not(WITH(job, "jobs/j1/1/workspace"));
	cr_expect(WITH(job, STATE "/jobs/j2/1/workspace"));
	policy.state_dir = none;
	cr_expect(WITH(job, "/home/me/workspace"));
	policy.state_dir = state;
}

Test(launch_policy, the_root_is_the_state_directory_s)
{
	static char slash[] = STATE "/";
	const char *const root = STATE "/sandbox/root";

	cr_expect_not(WITH(root, "/"));
	cr_expect_not(WITH(root, "/home/me/sandbox/root"));
	cr_expect_not(WITH(root, STATE));
	cr_expect_not(WITH(root, STATE "/sandbox"));
	cr_expect_not(WITH(root, STATE "/sandbox/root/etc"));
	cr_expect_not(WITH(root, STATE "/sandbox/../sandbox/root"));
	cr_expect_not(WITH(root, STATE "/jobs/j1/1/workspace/repo/sandbox/root"));
	policy.state_dir = slash;
	cr_expect(WITH(root, root));
	policy.state_dir = none;
	cr_expect(WITH(root, "/home/me/sandbox/root"));
	cr_expect_not(WITH(root, "/home/me/../sandbox/root"));
	cr_expect_not(WITH(root, "/home/me/root"));
	cr_expect_not(WITH(root, "sandbox/root"));
	policy.state_dir = state;
}

Test(launch_policy, options_that_end_too_early_are_refused)
{
	static const char *const cut[] = { BWRAP, "--unshare-user", "--ro-bind", "/usr",
					   NULL };
	static const char *const cut2[] = { BWRAP, "--cap-drop", NULL };
	static const char *const only[] = { BWRAP, NULL };

	cr_expect_not(is_allowed(cut));
	cr_expect_not(is_allowed(cut2));
	cr_expect_not(is_allowed(only));
}
