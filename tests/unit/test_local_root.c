#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/local_root.h"
#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

static char top[64], state[80], init[80];
static struct local_root root;

static char usr[] = "/usr", bin[] = "/bin", usr_bin[] = "usr/bin", ssl[] = "/etc/ssl";

static void
put_init(const char *text)
{
	FILE *f = fopen(init, "w");

	cr_assert_not_null(f);
	cr_assert_geq(fputs(text, f), 0);
	cr_assert_eq(fclose(f), 0);
}

static void
set_up(void)
{
	cleanup_free char *path = NULL;

	umask(077);
	strcpy(top, "/tmp/slipway-root-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	snprintf(state, sizeof(state), "%s/state", top);
	snprintf(init, sizeof(init), "%s/init", top);
	path = xasprintf("%s/sandbox/root", state);
	cr_assert_eq(fs_mkdir_p(path, 0755, NULL), 0);
	put_init("one");
}

static void
tear_down(void)
{
	local_root_free(&root);
	fs_remove_tree(top, NULL, NULL, NULL, NULL);
}

#define ROOT(name) Test(local_root, name, .init = set_up, .fini = tear_down)

/* A host whose /bin is a link into /usr, or a directory. */
static struct local_host
host(bool merged)
{
	return (struct local_host){
		.mounts = { { .how = "--ro-bind", .from = usr, .to = usr },
			    { .how = merged ? NULL : "--ro-bind",
			      .from = merged ? usr_bin : bin, .to = bin },
			    { .how = "--ro-bind-try", .from = ssl, .to = ssl } },
		.nmounts = 3,
	};
}

static void
prepare(bool merged)
{
	struct local_host h = host(merged);
	struct err e = { 0 };

	local_root_free(&root);
	cr_assert_eq(local_root_prepare(&root, state, &h, init, &e), 0, "%s", e.msg);
}

static struct stat
stat_in(const char *path)
{
	cleanup_free char *full = xasprintf("%s%s", root.path, path);
	struct stat st;

	cr_assert_eq(lstat(full, &st), 0, "%s", full);
	return st;
}

static void
assert_link(const char *path, const char *target)
{
	cleanup_free char *full = xasprintf("%s%s", root.path, path);
	char text[64];
	ssize_t n = readlink(full, text, sizeof(text) - 1);

	cr_assert_gt(n, 0, "%s", path);
	text[n] = '\0';
	cr_assert_str_eq(text, target);
}

static void
assert_init(const char *text)
{
	cleanup_free char *full = xasprintf("%s/run/slipway-init", root.path);
	cleanup_strbuf struct strbuf b = { 0 };

	cr_assert_eq(fs_read_file(full, 100, &b, NULL), 0);
	cr_assert_str_eq(strbuf_str(&b), text);
}

ROOT(it_has_what_sandboxes_mount_on_and_everybody_may_pass)
{
	static const char *const dirs[] = { "/usr", "/dev",	 "/proc",
					    "/tmp", "/run/slipway", "/workspace",
					    "/var" };

	prepare(true);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		cr_assert_eq(stat_in(dirs[i]).st_mode, S_IFDIR | 0755, "%s", dirs[i]);
	assert_link("/bin", "usr/bin");
	assert_link("/var/tmp", "../tmp");
	assert_link("/var/run", "../run");
	assert_init("one");
	cr_assert_eq(stat_in("/run/slipway-init").st_mode, S_IFREG | 0755);
	cr_assert(root.can_execute);
}

ROOT(directories_of_etc_are_not_its_business)
{
	cleanup_free char *full = NULL;

	prepare(true);
	full = xasprintf("%s/etc/ssl", root.path);
	cr_assert_neq(access(full, F_OK), 0);
}

ROOT(a_link_that_became_a_directory_follows_and_back)
{
	prepare(true);
	prepare(false);
	cr_assert_eq(stat_in("/bin").st_mode, S_IFDIR | 0755);
	prepare(true);
	assert_link("/bin", "usr/bin");
}

ROOT(a_new_init_takes_the_place_of_the_old_one_and_the_same_stays)
{
	ino_t before, after;

	prepare(true);
	before = stat_in("/run/slipway-init").st_ino;
	prepare(true);
	cr_assert_eq(stat_in("/run/slipway-init").st_ino, before);
	put_init("two");
	prepare(true);
	after = stat_in("/run/slipway-init").st_ino;
	cr_assert_neq(after, before);
	assert_init("two");
}

ROOT(an_init_whose_mode_was_changed_is_made_anew)
{
	cleanup_free char *full = NULL;

	prepare(true);
	full = xasprintf("%s/run/slipway-init", root.path);
	cr_assert_eq(chmod(full, 0600), 0);
	prepare(true);
	cr_assert_eq(stat_in("/run/slipway-init").st_mode, S_IFREG | 0755);
}

ROOT(without_an_init_there_is_no_root)
{
	struct local_host h = host(true);
	struct err e = { 0 };

	put_init("");
	cr_assert_eq(local_root_prepare(&root, state, &h, init, &e), -1);
	local_root_free(&root);
	unlink(init);
	cr_assert_eq(local_root_prepare(&root, state, &h, init, &e), -1);
}
