#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/local_argv.h"
#include "slipway/mem.h"

static char host_dir[64];

static void
make_host_dir(const char *path)
{
	cleanup_free char *full = xasprintf("%s%s", host_dir, path);

	cr_assert_eq(mkdir(full, 0755), 0, "%s", full);
}

static void
make_host_link(const char *target, const char *path)
{
	cleanup_free char *full = xasprintf("%s%s", host_dir, path);

	cr_assert_eq(symlink(target, full), 0, "%s", full);
}

static void
make_host_root(void)
{
	strcpy(host_dir, "/tmp/slipway-argv-XXXXXX");
	cr_assert_not_null(mkdtemp(host_dir));
	make_host_dir("/etc");
}

static void
remove_host_root(void)
{
	cleanup_free char *command = xasprintf("rm -rf %s", host_dir);

	cr_assert_eq(system(command), 0);
}

static const struct local_mount *
find_mount(const struct local_host *h, const char *to)
{
	for (size_t i = 0; i < h->nmounts; i++)
		if (!strcmp(h->mounts[i].to, to))
			return &h->mounts[i];
	return NULL;
}

/* Position of consecutive arguments, or -1. */
static int
find_args(const struct local_argv *a, const char *first, const char *second,
	  const char *third)
{
	for (size_t i = 0; i < a->n; i++) {
		if (strcmp(a->v[i], first) != 0)
			continue;
		if (second && (i + 1 >= a->n || strcmp(a->v[i + 1], second) != 0))
			continue;
		if (third && (i + 2 >= a->n || strcmp(a->v[i + 2], third) != 0))
			continue;
		return (int)i;
	}
	return -1;
}

static struct local_args
sample_args(const struct local_host *h, enum spec_network network)
{
	return (struct local_args){
		.host = h,
		.bwrap = "/usr/bin/bwrap",
		.init = "/lib/slipway-init",
		.slirp = "/usr/bin/slirp4netns",
		.root = "/s/root",
		.workspace = "/s/w",
		.network = network,
		.disable_userns = true,
		.seccomp = true,
	};
}

Test(local_argv, links_of_a_merged_root_stay_links_and_directories_are_bound,
     .init = make_host_root, .fini = remove_host_root)
{
	struct local_host h;

	make_host_link("usr/bin", "/bin");
	make_host_dir("/lib");
	local_host_read(&h, host_dir);
	const struct local_mount *bin = find_mount(&h, "/bin");
	const struct local_mount *lib = find_mount(&h, "/lib");

	cr_assert_not_null(bin);
	cr_assert_null(bin->how);
	cr_assert_str_eq(bin->from, "usr/bin");
	cr_assert_not_null(lib);
	cr_assert_str_eq(lib->how, "--ro-bind");
	cr_assert_null(find_mount(&h, "/lib64"));
	local_host_free(&h);
}

Test(local_argv, only_the_listed_directories_of_etc_are_mounted, .init = make_host_root,
     .fini = remove_host_root)
{
	struct local_host h;

	make_host_dir("/etc/passwd");
	make_host_dir("/etc/ssh");
	make_host_dir("/etc/ssl");
	make_host_dir("/home");
	make_host_dir("/var");
	local_host_read(&h, host_dir);
	cr_assert_null(find_mount(&h, "/etc/passwd"));
	cr_assert_not_null(find_mount(&h, "/etc/ssl"));
	cr_assert_null(find_mount(&h, "/etc/ssh"));
	cr_assert_null(find_mount(&h, "/etc"));
	cr_assert_null(find_mount(&h, "/home"));
	cr_assert_null(find_mount(&h, "/var"));
	cr_assert_not(h.has_resolv);
	local_host_free(&h);
}

Test(local_argv, a_job_outlives_the_daemon)
{
	struct local_host h = { 0 };
	struct local_args a = sample_args(&h, NETWORK_NONE);
	struct local_argv v;

	local_argv_build(&v, &a);
	cr_assert_eq(find_args(&v, "--die-with-parent", NULL, NULL), -1);
}

Test(local_argv, each_network_gets_its_own_arguments)
{
	struct local_host h = { .has_resolv = true };
	struct local_argv v;
	struct local_args a = sample_args(&h, NETWORK_NONE);

	local_argv_build(&v, &a);
	cr_assert_str_eq(v.v[0], "/usr/bin/bwrap");
	cr_assert_gt(find_args(&v, "--unshare-net", NULL, NULL), 0);
	cr_assert_eq(find_args(&v, "/etc/resolv.conf", NULL, NULL), -1);

	a = sample_args(&h, NETWORK_HOST);
	local_argv_build(&v, &a);
	cr_assert_str_eq(v.v[0], "/usr/bin/bwrap");
	cr_assert_eq(find_args(&v, "--unshare-net", NULL, NULL), -1);
	cr_assert_gt(find_args(&v, "--ro-bind-try", "/etc/resolv.conf", NULL), 0);

	a = sample_args(&h, NETWORK_ISOLATED);
	local_argv_build(&v, &a);
	cr_assert_eq(find_args(&v, "/lib/slipway-init", "net", "--slirp"), 0);
	cr_assert_eq(find_args(&v, "/usr/bin/slirp4netns", "--", "/usr/bin/bwrap"), 3);
	cr_assert_gt(find_args(&v, "--unshare-net", NULL, NULL), 0);
	cr_assert_gt(find_args(&v, "--ro-bind-data", "7", "/etc/resolv.conf"), 0);
}

Test(local_argv, the_read_only_root_comes_before_all_that_is_mounted_in_it)
{
	char how[] = "--ro-bind-try", ssl[] = "/etc/ssl";
	struct local_host h = { .mounts = { { .how = how, .from = ssl, .to = ssl } },
				.nmounts = 1 };
	struct local_args a = sample_args(&h, NETWORK_ISOLATED);
	struct local_argv v;

	local_argv_build(&v, &a);
	int root = find_args(&v, "--ro-bind", "/s/root", "/");

	cr_assert_gt(root, 0);
	for (size_t i = 0; i < (size_t)root; i++)
		cr_assert(!strstr(v.v[i], "bind") && strcmp(v.v[i], "--tmpfs"));
	cr_assert_gt(find_args(&v, "7", "/etc/resolv.conf", NULL), root);
	cr_assert_gt(find_args(&v, "/etc/ssl", "/etc/ssl", NULL), root);
	local_argv_build_probe(&v, &a);
	cr_assert_gt(find_args(&v, "--ro-bind", "/s/root", "/"), 0);
	cr_assert_eq(find_args(&v, "--ro-bind-data", NULL, NULL), -1);
}

Test(local_argv, links_lie_in_the_root_and_are_not_mounted)
{
	char from[] = "usr/bin", to[] = "/bin";
	struct local_host h = { .mounts = { { .from = from, .to = to } },
				.nmounts = 1 };
	struct local_args a = sample_args(&h, NETWORK_NONE);
	struct local_argv v;

	local_argv_build(&v, &a);
	cr_assert_eq(find_args(&v, "/bin", NULL, NULL), -1);
}

Test(local_argv, an_empty_opt_is_mounted_once_something_is_in_it,
     .init = make_host_root, .fini = remove_host_root)
{
	cleanup_free char *opt = xasprintf("%s/opt", host_dir);
	struct local_host h;
	struct local_args a = sample_args(&h, NETWORK_NONE);
	struct local_argv v;

	make_host_dir("/opt");
	local_host_read(&h, host_dir);
	struct local_mount *m = &h.mounts[h.nmounts - 1];

	cr_assert_str_eq(m->to, "/opt");
	free(m->from);
	m->from = xstrdup(opt);
	local_host_refresh(&h);
	local_argv_build(&v, &a);
	cr_assert_eq(find_args(&v, opt, "/opt", NULL), -1);
	make_host_dir("/opt/tool");
	local_host_refresh(&h);
	local_argv_build(&v, &a);
	cr_assert_gt(find_args(&v, "--ro-bind-try", opt, "/opt"), 0);
	local_host_free(&h);
}

Test(local_argv, init_is_mounted_only_where_the_one_in_the_root_cannot_run)
{
	struct local_host h = { 0 };
	struct local_args a = sample_args(&h, NETWORK_NONE);
	struct local_argv v;

	local_argv_build(&v, &a);
	cr_assert_eq(find_args(&v, "/lib/slipway-init", NULL, NULL), -1);
	cr_assert_gt(find_args(&v, "--", "/run/slipway-init", "run"), 0);
	a.bind_init = true;
	local_argv_build(&v, &a);
	cr_assert_gt(find_args(&v, "--ro-bind", "/lib/slipway-init",
			       "/run/slipway-init"), 0);
}

Test(local_argv, options_of_newer_versions_are_left_out_when_not_known)
{
	struct local_host h = { 0 };
	struct local_args a = sample_args(&h, NETWORK_NONE);
	struct local_argv v;

	local_argv_build(&v, &a);
	cr_assert_gt(find_args(&v, "--disable-userns", NULL, NULL), 0);
	a.disable_userns = false;
	local_argv_build(&v, &a);
	cr_assert_eq(find_args(&v, "--disable-userns", NULL, NULL), -1);
}

Test(local_argv, a_memory_limit_holds_for_every_tmpfs)
{
	struct local_host h = { 0 };
	struct local_args a = sample_args(&h, NETWORK_NONE);
	struct local_argv v;

	local_argv_build(&v, &a);
	cr_assert_eq(find_args(&v, "--size", NULL, NULL), -1);
	a.tmp_size = 64u << 20;
	local_argv_build(&v, &a);
	int at = find_args(&v, "--size", "67108864", NULL);

	cr_assert_gt(at, 0);
	cr_assert_gt(find_args(&v, "--tmpfs", "/tmp", NULL), at);
	for (size_t i = 4; i < v.n; i++)
		if (!strcmp(v.v[i], "--tmpfs"))
			cr_assert_str_eq(v.v[i - 4], "--size", "%s", v.v[i + 1]);
	cr_assert_gt(find_args(&v, "--remount-ro", "/dev", NULL),
		     find_args(&v, "--tmpfs", "/dev/shm", NULL));
}

Test(local_argv, nothing_but_the_workspace_is_bound_for_writing)
{
	struct local_host h = { 0 };
	struct local_args a = sample_args(&h, NETWORK_NONE);
	struct local_argv v;
	unsigned n = 0;

	local_argv_build(&v, &a);
	for (size_t i = 0; i < v.n; i++)
		n += !strcmp(v.v[i], "--bind") || !strcmp(v.v[i], "--dev-bind");
	cr_assert_eq(n, 1);
	cr_assert_gt(find_args(&v, "--bind", "/s/w", "/workspace"), 0);
}

Test(local_argv, the_largest_case_fits)
{
	struct local_host h = { .has_resolv = true };
	struct local_args a = sample_args(&h, NETWORK_ISOLATED);
	struct local_argv v;
	char from[] = "/x", to[] = "/x";

	for (size_t i = 0; i < LOCAL_MOUNTS_MAX; i++)
		h.mounts[h.nmounts++] = (struct local_mount){ .how = "--ro-bind-try",
							      .from = from, .to = to };
	a.tmp_size = UINT64_MAX;
	a.bind_init = true;
	local_argv_build(&v, &a);
	cr_assert_null(v.v[v.n]);
	cr_assert_leq(v.n, LOCAL_ARGV_MAX);
	cr_assert_str_eq(v.tmp_size, "18446744073709551615");
	cr_assert_str_eq(v.v[v.n - 1], "5");
}

Test(local_argv, all_names_of_the_table_fit_the_mounts)
{
	struct local_host h;

	/* This machine has most of them; the limit leaves room for all 12. */
	local_host_read(&h, "/");
	cr_assert_gt(h.nmounts, 4);
	cr_assert_leq(h.nmounts, 12);
	cr_assert_geq(LOCAL_MOUNTS_MAX, 12);
	local_host_free(&h);
	cr_assert_eq(h.nmounts, 0);
}

Test(local_argv, without_a_sandbox_init_runs_alone)
{
	struct local_argv v;

	local_argv_build_bare(&v, "/x/slipway-init");
	cr_assert_eq(find_args(&v, "/x/slipway-init", "run", "--plan-fd"), 0);
	cr_assert_eq(v.n, 6);
}

Test(local_argv, versions_are_compared_as_numbers)
{
	cr_assert(local_bwrap_is_at_least("bubblewrap 0.8.0\n", 0, 8));
	cr_assert(local_bwrap_is_at_least("bubblewrap 0.11.0\n", 0, 8));
	cr_assert(local_bwrap_is_at_least("bubblewrap 1.0.0\n", 0, 8));
	cr_assert_not(local_bwrap_is_at_least("bubblewrap 0.7.9\n", 0, 8));
	cr_assert_not(local_bwrap_is_at_least("bubblewrap\n", 0, 0));
	cr_assert_not(local_bwrap_is_at_least("", 0, 0));
}
