#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

static char dir[64], path[256];

static void
make_dir(void)
{
	STR_COPY(dir, "/tmp/test_fs-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void
remove_dir(void)
{
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

static const char *
in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool
exists(const char *name)
{
	struct stat st;

	return !lstat(in_dir(name), &st);
}

static void
put(const char *name, const char *text)
{
	struct err e;

	cr_assert_eq(fs_write_atomic(in_dir(name), text, strlen(text), 0600, &e), 0);
}

TestSuite(fs, .init = make_dir, .fini = remove_dir);

Test(fs, mkdir_p_makes_parents_and_accepts_existing)
{
	struct err e;
	struct stat st;

	cr_assert_eq(fs_mkdir_p(in_dir("a/b/c"), 0700, &e), 0);
	cr_assert_eq(fs_mkdir_p(in_dir("a/b/c/"), 0700, &e), 0);
	cr_assert_eq(stat(in_dir("a/b/c"), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0700);
	cr_assert_eq(fs_mkdir_p("/", 0700, &e), 0);
}

Test(fs, mkdir_p_fails_on_a_file)
{
	struct err e;

	put("f", "x");
	cr_assert_eq(fs_mkdir_p(in_dir("f"), 0700, &e), -1);
	cr_assert_eq(e.sys, ENOTDIR);
	cr_assert_eq(fs_mkdir_p(in_dir("f/g"), 0700, &e), -1);
}

Test(fs, read_file_appends_up_to_the_limit)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct err e;

	put("f", "12345");
	strbuf_adds(&b, ">");
	cr_assert_eq(fs_read_file(in_dir("f"), 5, &b, &e), 0);
	cr_assert_str_eq(b.data, ">12345");
	cr_assert_eq(fs_read_file(in_dir("f"), 4, &b, &e), -1);
	cr_assert_eq(e.code, ERR_TOO_LARGE);
	cr_assert_str_eq(b.data, ">12345");
}

Test(fs, read_file_of_several_chunks)
{
	cleanup_strbuf struct strbuf b = { 0 };
	cleanup_free char *big = xcalloc(1, 200001);
	struct err e;

	memset(big, 'x', 200000);
	put("f", big);
	cr_assert_eq(fs_read_file(in_dir("f"), 200000, &b, &e), 0);
	cr_assert_str_eq(b.data, big);
	cr_assert_eq(fs_read_file(in_dir("f"), 199999, &b, &e), -1);
}

Test(fs, open_regular_refuses_everything_else)
{
	struct err e;
	int fd;

	put("f", "x");
	cr_assert_eq(symlink("f", in_dir("link")), 0);
	cr_assert_eq(mkfifo(in_dir("fifo"), 0600), 0);
	fd = fs_open_regular(in_dir("f"), O_RDONLY, &e);
	cr_assert_geq(fd, 0);
	cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	cr_assert_eq(fs_open_regular(in_dir("link"), O_RDONLY, &e), -1);
	cr_assert_eq(e.code, ERR_DENIED);
	cr_assert_eq(fs_open_regular(in_dir("fifo"), O_RDONLY, &e), -1);
	cr_assert_eq(e.code, ERR_DENIED);
	cr_assert_eq(fs_open_regular(dir, O_RDONLY, &e), -1);
	cr_assert_eq(e.code, ERR_DENIED);
	cr_assert_eq(fs_open_regular(in_dir("none"), O_RDONLY, &e), -1);
	cr_assert_eq(e.sys, ENOENT);
}

Test(fs, write_atomic_replaces_and_leaves_nothing_behind)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct stat st;
	struct err e;

	put("f", "old");
	cr_assert_eq(fs_write_atomic(in_dir("f"), "new", 3, 0640, &e), 0);
	cr_assert_eq(fs_read_file(in_dir("f"), 100, &b, &e), 0);
	cr_assert_str_eq(b.data, "new");
	cr_assert_eq(stat(in_dir("f"), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0640);
	cr_assert_eq(mkdir(in_dir("d"), 0700), 0);
	cr_assert_eq(fs_write_atomic(in_dir("d"), "x", 1, 0600, &e), -1);
	cr_assert_eq(unlink(in_dir("f")), 0);
	cr_assert_eq(rmdir(in_dir("d")), 0);
	cr_assert_eq(rmdir(dir), 0, "a temporary file was left");
}

Test(fs, remove_tree_counts_and_does_not_follow_links)
{
	uint64_t n = 0;
	struct err e;

	cr_assert_eq(fs_mkdir_p(in_dir("t/a/b"), 0700, &e), 0);
	put("t/a/f", "x");
	put("keep", "x");
	cr_assert_eq(symlink("../../keep", in_dir("t/a/l")), 0);
	cr_assert_eq(symlink(dir, in_dir("t/d")), 0);
	cr_assert_eq(fs_remove_tree(in_dir("t"), &n, NULL, NULL, &e), 0);
	cr_assert_eq(n, 6);
	cr_assert_not(exists("t"));
	cr_assert(exists("keep"));
}

Test(fs, remove_tree_of_nothing_a_file_or_a_link)
{
	struct err e;

	cr_assert_eq(fs_remove_tree(in_dir("none"), NULL, NULL, NULL, &e), 0);
	put("f", "x");
	cr_assert_eq(symlink(dir, in_dir("l")), 0);
	cr_assert_eq(fs_remove_tree(in_dir("l"), NULL, NULL, NULL, &e), 0);
	cr_assert_eq(fs_remove_tree(in_dir("f"), NULL, NULL, NULL, &e), 0);
	cr_assert_not(exists("f"));
	cr_assert_not(exists("l"));
}

Test(fs, remove_tree_deeper_than_descriptors_last)
{
	struct rlimit lim = { 100, 100 };
	uint64_t n = 0;
	struct err e;
	int at;

	cr_assert_eq(mkdir(in_dir("t"), 0700), 0);
	at = open(in_dir("t"), O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 1000; i++) {
		int next;

		cr_assert_eq(mkdirat(at, "d", 0700), 0);
		cr_assert_geq(next = openat(at, "x", O_CREAT | O_WRONLY, 0600), 0);
		close(next);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &lim), 0);
	cr_assert_eq(fs_remove_tree(in_dir("t"), &n, NULL, NULL, &e), 0, "%s", e.msg);
	cr_assert_eq(n, 2001);
	cr_assert_not(exists("t"));
}

/* Root is refused nothing: then somebody else does it. */
static void
become(uid_t uid)
{
	static const char *const made[] = { "", "t", "t/a", "t/a/b" };

	if (getuid())
		return;
	for (size_t i = 0; uid && i < ARRAY_LEN(made); i++)
		cr_assert_eq(chown(in_dir(made[i]), uid, uid), 0);
	cr_assert_eq(seteuid(uid), 0);
	/* Changing the user closes /proc/self. */
	cr_assert_eq(prctl(PR_SET_DUMPABLE, 1), 0);
}

Test(fs, remove_tree_opens_closed_directories)
{
	struct err e;

	cr_assert_eq(fs_mkdir_p(in_dir("t/a/b"), 0700, &e), 0);
	become(65534);
	cr_assert_eq(chmod(in_dir("t/a"), 0), 0);
	cr_assert_eq(chmod(in_dir("t"), 0500), 0);
	cr_assert_eq(fs_remove_tree(in_dir("t"), NULL, NULL, NULL, &e), 0, "%s", e.msg);
	become(0);
	cr_assert_not(exists("t"));
}

static bool
on_asked(void *arg)
{
	return ++*(int *)arg > 3;
}

Test(fs, remove_tree_can_be_stopped)
{
	int asked = 0;
	struct err e;

	cr_assert_eq(fs_mkdir_p(in_dir("t/a/b/c/d/e"), 0700, &e), 0);
	cr_assert_eq(fs_remove_tree(in_dir("t"), NULL, on_asked, &asked, &e), -1);
	cr_assert_eq(e.code, ERR_CLOSED);
	cr_assert(exists("t/a/b/c/d/e"));
}

Test(fs, a_wish_is_granted_by_ext4_and_harms_nowhere, .init = make_dir,
     .fini = remove_dir)
{
	struct statfs sfs;
	int flags = 0;

	fs_wish_apart("/nonexistent");
	fs_wish_apart("/proc");
	fs_wish_apart(dir);
	fs_wish_apart(dir);
	cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	cr_assert_eq(fstatfs(fd, &sfs), 0);
	if (sfs.f_type == EXT4_SUPER_MAGIC) {
		cr_assert_eq(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0);
		cr_assert(flags & FS_TOPDIR_FL);
	}
}

Test(fs, space_is_there)
{
	uint64_t avail, total;
	struct err e;

	cr_assert_eq(fs_space(dir, &avail, &total, &e), 0);
	cr_assert_gt(total, 0);
	cr_assert_leq(avail, total);
	cr_assert_eq(fs_space(in_dir("none"), &avail, &total, &e), -1);
}

Test(fs, is_inside_compares_whole_names)
{
	cr_assert(fs_is_inside("/a", "/a"));
	cr_assert(fs_is_inside("/a", "/a/b"));
	cr_assert(fs_is_inside("/a/", "/a/b"));
	cr_assert(fs_is_inside("/", "/a"));
	cr_assert_not(fs_is_inside("/a", "/ab"));
	cr_assert_not(fs_is_inside("/a/b", "/a"));
}

static void
check_normalised(const char *in, const char *want)
{
	char out[64];

	cr_assert(fs_normalise(in, out, sizeof(out)), "%s", in);
	cr_assert_str_eq(out, want);
}

Test(fs, normalise_resolves_lexically)
{
	char out[6];

	check_normalised("/", "/");
	check_normalised("//a///b/", "/a/b");
	check_normalised("/a/./b/../c", "/a/c");
	check_normalised("/a/..", "/");
	check_normalised("/..a/b..", "/..a/b..");
	cr_assert_not(fs_normalise("/..", out, sizeof(out)));
	cr_assert_not(fs_normalise("/a/../..", out, sizeof(out)));
	cr_assert_not(fs_normalise("a", out, sizeof(out)));
	cr_assert_not(fs_normalise("", out, sizeof(out)));
	cr_assert(fs_normalise("/abcd", out, sizeof(out)));
	cr_assert_not(fs_normalise("/abcde", out, sizeof(out)));
}
