#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "slipway/cgroup.h"
#include "slipway/mem.h"

/* A folder with the names of a delegated tree: <mount>/unit/daemon is our own group. */
static char group_mount[64];

#define SELF "12:pids:/x\n0::/unit/daemon\n"

static void
put(const char *path, const char *text)
{
	cleanup_free char *full = xasprintf("%s/%s", group_mount, path);
	cleanup_file FILE *f = fopen(full, "w");

	cr_assert_not_null(f, "%s", full);
	fputs(text, f);
}

static const char *
get(const char *path)
{
	static char text[128];
	cleanup_free char *full = xasprintf("%s/%s", group_mount, path);
	cleanup_file FILE *f = fopen(full, "r");

	cr_assert_not_null(f, "%s", full);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	return text;
}

static void
make(const char *path)
{
	cleanup_free char *full = xasprintf("%s/%s", group_mount, path);

	cr_assert_eq(mkdir(full, 0755), 0);
}

static void
remove_tree(void)
{
	cleanup_free char *command = xasprintf("rm -rf %s", group_mount);

	cr_assert_eq(system(command), 0);
}

static void
delegate(const char *value)
{
	cleanup_free char *unit = xasprintf("%s/unit", group_mount);

	/* Some file systems of /tmp have no such attributes; then root cannot test. */
	if (setxattr(unit, "user.delegate", value, strlen(value), 0) && !geteuid()) {
		remove_tree();
		cr_skip_test("no extended attributes here");
	}
}

static void
make_tree(void)
{
	strcpy(group_mount, "/tmp/slipway-cgroup-XXXXXX");
	cr_assert_not_null(mkdtemp(group_mount));
	make("unit");
	make("unit/daemon");
	put("unit/cgroup.subtree_control", "cpu memory pids\n");
}

static void
make_leaf(void)
{
	static const char *const files[] = { "memory.max", "memory.swap.max",
					     "memory.oom.group", "pids.max", "cpu.max",
					     "cgroup.procs", "cgroup.kill" };

	make("unit/leaf");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		cleanup_free char *path = xasprintf("unit/leaf/%s", files[i]);

		put(path, "");
	}
}

static struct cgroup
open_tree(void)
{
	struct cgroup g;
	char why[128] = "";

	delegate("1");
	cr_assert(cgroup_open(&g, group_mount, SELF, why, sizeof(why)), "%s", why);
	return g;
}

Test(cgroup, the_unified_line_is_found_among_others)
{
	char out[17];

	cr_assert(cgroup_parse_self("1:name=systemd:/a\n0::/b/c\n", out, sizeof(out)));
	cr_assert_str_eq(out, "/b/c");
	cr_assert_not(cgroup_parse_self("1:name=systemd:/a\n", out, sizeof(out)));
	cr_assert_not(cgroup_parse_self("", out, sizeof(out)));
	cr_assert(cgroup_parse_self("0::/123456789012345", out, sizeof(out)));
	cr_assert_not(cgroup_parse_self("0::/123456789012345", out, 16));
}

Test(cgroup, leaves_are_made_beside_the_daemons_own_group, .init = make_tree,
     .fini = remove_tree)
{
	struct cgroup g = open_tree();
	cleanup_free char *unit = xasprintf("%s/unit", group_mount);

	cr_assert_str_eq(g.parent, unit);
	cr_assert(g.has_cpu);
}

Test(cgroup, a_group_that_was_not_delegated_is_not_used, .init = make_tree,
     .fini = remove_tree)
{
	struct cgroup g;
	char why[128] = "";

	if (geteuid()) {
		remove_tree();
		cr_skip_test("everything writable is delegated to others than root");
	}
	cr_assert_not(cgroup_open(&g, group_mount, SELF, why, sizeof(why)));
	cr_assert_str_eq(why, "the control group is not delegated");
	delegate("0");
	cr_assert_not(cgroup_open(&g, group_mount, SELF, why, sizeof(why)));
	cr_assert_str_eq(g.parent, "");
}

Test(cgroup, both_controllers_are_needed, .init = make_tree, .fini = remove_tree)
{
	static const char *const lists[] = { "", "memory\n", "pids cpu\n",
					     "memory2 pids\n" };
	struct cgroup g;
	char why[128] = "";

	delegate("1");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		put("unit/cgroup.subtree_control", lists[i]);
		cr_assert_not(cgroup_open(&g, group_mount, SELF, why, sizeof(why)),
			      "%s", lists[i]);
	}
	put("unit/cgroup.subtree_control", "memory pids");
	cr_assert(cgroup_open(&g, group_mount, SELF, why, sizeof(why)), "%s", why);
	cr_assert_not(g.has_cpu);
}

Test(cgroup, the_root_group_is_nobodys_own, .init = make_tree, .fini = remove_tree)
{
	struct cgroup g;
	char why[128] = "";

	cr_assert_not(cgroup_open(&g, group_mount, "0::/\n", why, sizeof(why)));
	cr_assert_not(cgroup_open(&g, group_mount, "3:cpu:/\n", why, sizeof(why)));
}

Test(cgroup, limits_are_written_before_anything_can_join, .init = make_tree,
     .fini = remove_tree)
{
	struct cgroup g = open_tree();
	struct cgroup_limits l = { 512u << 20, 100, 1.5 };
	struct err e = { 0 };

	make_leaf();
	int fd = cgroup_leaf_create(&g, "leaf", &l, &e);

	cr_assert_geq(fd, 0, "%s", e.msg);
	cr_assert_str_eq(get("unit/leaf/memory.max"), "536870912");
	cr_assert_str_eq(get("unit/leaf/memory.swap.max"), "0");
	cr_assert_str_eq(get("unit/leaf/memory.oom.group"), "1");
	cr_assert_str_eq(get("unit/leaf/pids.max"), "100");
	cr_assert_str_eq(get("unit/leaf/cpu.max"), "150000 100000");
	cr_assert_eq(write(fd, "0", 1), 1);
	cr_assert_str_eq(get("unit/leaf/cgroup.procs"), "0");
	close(fd);
}

Test(cgroup, without_limits_none_is_written, .init = make_tree, .fini = remove_tree)
{
	struct cgroup g = open_tree();
	struct cgroup_limits l = { 0 };
	struct err e = { 0 };

	make_leaf();
	int fd = cgroup_leaf_create(&g, "leaf", &l, &e);

	cr_assert_geq(fd, 0, "%s", e.msg);
	cr_assert_str_eq(get("unit/leaf/memory.max"), "");
	cr_assert_str_eq(get("unit/leaf/pids.max"), "");
	cr_assert_str_eq(get("unit/leaf/cpu.max"), "");
	close(fd);
}

Test(cgroup, a_limit_that_cannot_be_set_leaves_no_leaf, .init = make_tree,
     .fini = remove_tree)
{
	struct cgroup g = open_tree();
	struct cgroup_limits l = { 512u << 20, 0, 0 };
	cleanup_free char *leaf = xasprintf("%s/unit/other", group_mount);
	struct err e = { 0 };

	/* In a plain folder the kernel's files do not appear by themselves. */
	cr_assert_eq(cgroup_leaf_create(&g, "other", &l, &e), -1);
	cr_assert_eq(e.code, ERR_SYSTEM);
	cr_assert_neq(access(leaf, F_OK), 0);
}

Test(cgroup, names_stay_inside, .init = make_tree, .fini = remove_tree)
{
	struct cgroup g = open_tree();
	struct cgroup_limits l = { 0 };
	struct err e = { 0 };

	cr_assert_eq(cgroup_leaf_create(&g, "../out", &l, &e), -1);
	cr_assert_eq(e.code, ERR_INTERNAL);
}

Test(cgroup, running_out_of_memory_is_read_from_the_events, .init = make_tree,
     .fini = remove_tree)
{
	struct cgroup g = open_tree();

	make_leaf();
	cr_assert_not(cgroup_leaf_had_oom(&g, "leaf"));
	put("unit/leaf/memory.events", "low 0\noom 2\noom_kill 0\noom_group_kill 0\n");
	cr_assert_not(cgroup_leaf_had_oom(&g, "leaf"));
	put("unit/leaf/memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 1\n");
	cr_assert(cgroup_leaf_had_oom(&g, "leaf"));
}

Test(cgroup, removal_kills_what_is_left, .init = make_tree, .fini = remove_tree)
{
	struct cgroup g = open_tree();

	make_leaf(); /* its files keep the folder from being removed */
	cr_assert_not(cgroup_leaf_remove(&g, "leaf"));
	cr_assert_str_eq(get("unit/leaf/cgroup.kill"), "1");
}

Test(cgroup, removal_of_an_empty_or_missing_leaf_succeeds, .init = make_tree,
     .fini = remove_tree)
{
	struct cgroup g = open_tree();
	struct cgroup unused = { 0 };

	make("unit/empty");
	cr_assert(cgroup_leaf_remove(&g, "empty"));
	cr_assert(cgroup_leaf_remove(&g, "empty"));
	cr_assert(cgroup_leaf_remove(&unused, "leaf"));
}
