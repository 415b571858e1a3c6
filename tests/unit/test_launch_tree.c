#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "launch/tree.h"
#include "slipway/mem.h"

/* A folder with the names of a delegated unit. In the real one each write to
 * subtree_control is a change; here the last one stays to be read. */
static char mount[64];

#define UNIT "/system.slice/slipway-jobs.service"

static char *
path_of(const char *name)
{
	return xasprintf("%s" UNIT "%s%s", mount, *name ? "/" : "", name);
}

static void
put(const char *name, const char *text)
{
	cleanup_free char *path = path_of(name);
	cleanup_file FILE *f = fopen(path, "w");

	cr_assert_not_null(f, "%s", path);
	fputs(text, f);
}

static const char *
get(const char *name)
{
	static char text[128];
	cleanup_free char *path = path_of(name);
	cleanup_file FILE *f = fopen(path, "r");

	text[f ? fread(text, 1, sizeof(text) - 1, f) : 0] = '\0';
	return text;
}

static void
make(const char *name)
{
	cleanup_free char *path = path_of(name);

	cr_assert_eq(mkdir(path, 0755), 0, "%s", path);
}

static void
remove_tree(void)
{
	cleanup_free char *command = xasprintf("rm -rf %s", mount);

	cr_assert_eq(system(command), 0);
}

static void
make_tree(void)
{
	cleanup_free char *slice = NULL, *unit = NULL;

	strcpy(mount, "/tmp/slipway-tree-XXXXXX");
	cr_assert_not_null(mkdtemp(mount));
	slice = xasprintf("%s/system.slice", mount);
	unit = path_of("");
	cr_assert_eq(mkdir(slice, 0755), 0);
	cr_assert_eq(mkdir(unit, 0755), 0);
	put("cgroup.subtree_control", "cpu memory pids\n");
	if (!setxattr(unit, "user.delegate", "1", 1, 0))
		return;
	remove_tree();
	cr_skip_test("no extended attributes here");
}

static bool
was_moved(void)
{
	cleanup_free char *unit = path_of("");
	char value[4];

	return getxattr(unit, "user.slipway.moved", value, sizeof(value)) == 1;
}

static bool
open_as(struct cgroup *g, const char *self)
{
	char why[256] = "";
	bool ok = tree_open(g, mount, self, why, sizeof(why));

	cr_assert(ok || *why);
	return ok;
}

/* cgroup.procs of the new group is the kernel's; here it has to be there before. */
static void
make_supervisor(void)
{
	make("supervisor");
	put("supervisor/cgroup.procs", "");
}

#define TREE(name) Test(launch_tree, name, .init = make_tree, .fini = remove_tree)

TREE(it_leaves_the_units_own_group)
{
	cleanup_free char *unit = path_of("");
	struct cgroup g;

	make_supervisor();
	/* The controllers are already on in this folder. */
	cr_assert_not(was_moved());
	open_as(&g, "3:pids:/x\n0::" UNIT "\n");
	cr_expect_str_eq(get("supervisor/cgroup.procs"), "0");
	cr_expect(was_moved());
}

TREE(it_stays_where_systemd_put_it)
{
	struct cgroup g;

	make_supervisor();
	open_as(&g, "0::" UNIT "/supervisor\n");
	cr_expect_str_eq(get("supervisor/cgroup.procs"), "");
	cr_expect_not(was_moved());
}

TREE(controllers_are_switched_on)
{
	struct cgroup g;

	make_supervisor();
	put("cgroup.subtree_control", "");
	open_as(&g, "0::" UNIT "/supervisor\n");
	/* Written one after the other over the same few bytes. */
	cr_expect(strstr(get("cgroup.subtree_control"), "+cpu"));
}

TREE(what_is_not_delegated_is_left_alone)
{
	cleanup_free char *unit = path_of("");
	struct cgroup g;

	if (geteuid() != 0) {
		remove_tree();
		cr_skip_test("what others than root may write to is theirs");
	}
	cr_assert_eq(removexattr(unit, "user.delegate"), 0);
	cr_expect_not(open_as(&g, "0::" UNIT "\n"));
	cr_expect_not(open_as(&g, "1:name=systemd:/\n"));
	cr_expect_str_eq(get("cgroup.subtree_control"), "cpu memory pids\n");
}

TREE(room_is_made_only_where_it_had_to_move)
{
	cleanup_free char *unit = path_of("");

	tree_make_room(mount, "0::" UNIT "/.control\n");
	cr_expect_str_eq(get("cgroup.subtree_control"), "cpu memory pids\n");
	cr_assert_eq(setxattr(unit, "user.slipway.moved", "1", 1, 0), 0);
	tree_make_room(mount, "0::" UNIT "/other\n");
	cr_expect_str_eq(get("cgroup.subtree_control"), "cpu memory pids\n");
	tree_make_room(mount, "0::" UNIT "/.control\n");
	cr_expect(strstr(get("cgroup.subtree_control"), "-memory"));
}

TREE(limits_of_running_sandboxes_are_set_again)
{
	static const char *const files[] = { "memory.max", "memory.oom.group",
					     "pids.max", "cpu.max", "cgroup.procs" };
	const struct cgroup_limits limits = { 1 << 20, 99, 0.5 };
	cleanup_free char *unit = path_of("");
	struct cgroup g = { .has_cpu = true };
	struct err e = { 0 };

	make("slipway-j1-1");
	make("foreign");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		cleanup_free char *path = xasprintf("slipway-j1-1/%s", files[i]);

		put(path, "");
	}
	STR_COPY(g.parent, unit);
	int fd = cgroup_leaf_create(&g, "slipway-j1-1", &limits, &e);

	cr_assert_geq(fd, 0, "%s", e.msg);
	close(fd);
	put("slipway-j1-1/memory.max", "");
	put("slipway-j1-1/pids.max", "");
	cgroup_leaves_restore(&g);
	cr_expect_str_eq(get("slipway-j1-1/memory.max"), "1048576");
	cr_expect_str_eq(get("slipway-j1-1/pids.max"), "99");
	cr_expect_str_eq(get("slipway-j1-1/cpu.max"), "50000 100000");
	cr_expect_str_eq(get("foreign/memory.max"), "");
}
