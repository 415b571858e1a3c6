#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/local_etc.h"
#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

static char top[64], root[80], state[80];
static struct local_etc etc;

static void
set_up(void)
{
	cleanup_free char *host = NULL;

	strcpy(top, "/tmp/slipway-etc-XXXXXX");
	cr_assert_not_null(mkdtemp(top));
	snprintf(root, sizeof(root), "%s/host", top);
	snprintf(state, sizeof(state), "%s/state", top);
	host = xasprintf("%s/etc", root);
	cr_assert_eq(mkdir(root, 0755), 0);
	cr_assert_eq(mkdir(host, 0755), 0);
	cr_assert_eq(mkdir(state, 0700), 0);
}

static void
tear_down(void)
{
	local_etc_free(&etc);
	fs_remove_tree(top, NULL, NULL, NULL, NULL);
}

#define ETC(name) Test(local_etc, name, .init = set_up, .fini = tear_down)

/* As the host's tools do it: the new one takes the place of the old one. */
static void
put_file(const char *name, const char *text, size_t len, mode_t mode)
{
	cleanup_free char *path = xasprintf("%s/etc/%s", root, name);
	cleanup_free char *temp = xasprintf("%s.new", path);
	FILE *f = fopen(temp, "w");

	cr_assert_not_null(f);
	cr_assert_eq(fwrite(text, 1, len, f), len);
	cr_assert_eq(fclose(f), 0);
	cr_assert_eq(chmod(temp, mode), 0);
	cr_assert_eq(rename(temp, path), 0);
}

static void
put_text(const char *name, const char *text)
{
	put_file(name, text, strlen(text), 0644);
}

static void
put_dir(const char *name)
{
	cleanup_free char *path = xasprintf("%s/etc/%s", root, name);

	cr_assert_eq(mkdir(path, 0700), 0);
}

static void
prepare(void)
{
	struct err e = { 0 };

	local_etc_free(&etc);
	cr_assert_eq(local_etc_prepare(&etc, state, root, &e), 0, "%s", e.msg);
}

static void
refresh(void)
{
	struct err e = { 0 };

	cr_assert_eq(local_etc_refresh(&etc, root, &e), 0, "%s", e.msg);
}

static bool
stat_copy(const char *name, struct stat *st)
{
	cleanup_free char *path = xasprintf("%s/%s", etc.path, name);

	return !lstat(path, st);
}

static void
assert_copy(const char *name, const char *text)
{
	cleanup_free char *path = xasprintf("%s/%s", etc.path, name);
	cleanup_strbuf struct strbuf b = { 0 };
	struct err e = { 0 };

	cr_assert_eq(fs_read_file(path, 1 << 16, &b, &e), 0, "%s", e.msg);
	cr_assert_str_eq(strbuf_str(&b), text);
}

ETC(only_listed_files_are_copied_for_everybody_to_read)
{
	struct stat st;

	umask(077);
	put_text("passwd", "root:x:0:0\n");
	put_text("shadow", "secret\n");
	prepare();
	assert_copy("passwd", "root:x:0:0\n");
	assert_copy("resolv.conf", "");
	cr_assert_not(stat_copy("shadow", &st));
	cr_assert(stat_copy("passwd", &st));
	cr_assert_eq(st.st_mode, S_IFREG | 0644);
	cr_assert(stat_copy(".", &st));
	cr_assert_eq(st.st_mode, S_IFDIR | 0755);
	cr_assert(stat_copy("..", &st));
	cr_assert_eq(st.st_mode, S_IFDIR | 0755);
}

ETC(a_link_is_copied_as_what_it_leads_to)
{
	cleanup_free char *path = xasprintf("%s/etc/localtime", root);
	struct stat st;

	put_text("zone", "UTC");
	cr_assert_eq(symlink("zone", path), 0);
	prepare();
	assert_copy("localtime", "UTC");
	cr_assert(stat_copy("localtime", &st));
	cr_assert(S_ISREG(st.st_mode));
}

ETC(directories_of_the_host_become_empty_mount_points)
{
	cleanup_free char *below = xasprintf("%s/etc/ssl/private", root);
	struct stat st;

	put_dir("ssl");
	cr_assert_eq(mkdir(below, 0700), 0);
	put_dir("ssh");
	prepare();
	cr_assert(stat_copy("ssl", &st));
	cr_assert_eq(st.st_mode, S_IFDIR | 0755);
	cr_assert_not(stat_copy("ssl/private", &st));
	cr_assert_not(stat_copy("ssh", &st));
	cr_assert_not(stat_copy("pki", &st));
}

ETC(what_not_everybody_may_read_is_not_copied)
{
	cleanup_free char *fifo = xasprintf("%s/etc/hosts", root);
	struct stat st;

	put_file("group", "g", 1, 0640);
	put_dir("services");
	cr_assert_eq(mkfifo(fifo, 0666), 0);
	prepare();
	cr_assert_not(stat_copy("group", &st));
	cr_assert_not(stat_copy("services", &st));
	cr_assert_not(stat_copy("hosts", &st));
}

ETC(a_file_of_the_largest_size_is_copied_and_a_larger_one_is_not)
{
	cleanup_free char *data = xcalloc(1, LOCAL_ETC_FILE_MAX + 1);
	struct stat st;

	put_file("hosts", data, LOCAL_ETC_FILE_MAX, 0644);
	put_file("services", data, LOCAL_ETC_FILE_MAX + 1, 0644);
	prepare();
	cr_assert(stat_copy("hosts", &st));
	cr_assert_eq(st.st_size, (off_t)LOCAL_ETC_FILE_MAX);
	cr_assert_not(stat_copy("services", &st));
}

ETC(changes_on_the_host_are_followed)
{
	cleanup_free char *gone = xasprintf("%s/etc/group", root);
	struct stat st;

	put_text("hosts", "127.0.0.1 a\n");
	put_text("group", "g\n");
	prepare();
	put_text("hosts", "127.0.0.1 b\n");
	put_text("timezone", "Etc/UTC\n");
	cr_assert_eq(unlink(gone), 0);
	refresh();
	assert_copy("hosts", "127.0.0.1 b\n");
	assert_copy("timezone", "Etc/UTC\n");
	cr_assert_not(stat_copy("group", &st));
	put_file("hosts", "secret", 6, 0600);
	refresh();
	cr_assert_not(stat_copy("hosts", &st));
}

ETC(a_copy_of_the_same_content_stays_the_same_file)
{
	struct stat before, after;

	put_text("hosts", "127.0.0.1 a\n");
	prepare();
	cr_assert(stat_copy("hosts", &before));
	put_text("hosts", "127.0.0.1 a\n");
	refresh();
	prepare();
	cr_assert(stat_copy("hosts", &after));
	cr_assert_eq(before.st_ino, after.st_ino);
	put_text("hosts", "127.0.0.1 b\n");
	refresh();
	cr_assert(stat_copy("hosts", &after));
	cr_assert_neq(before.st_ino, after.st_ino);
}

ETC(what_went_while_the_daemon_was_down_goes_at_its_next_start)
{
	cleanup_free char *gone = xasprintf("%s/etc/hosts", root);
	struct stat st;

	put_text("hosts", "127.0.0.1 a\n");
	prepare();
	cr_assert_eq(unlink(gone), 0);
	prepare();
	cr_assert_not(stat_copy("hosts", &st));
}

ETC(a_state_directory_that_cannot_be_used_is_an_error)
{
	cleanup_free char *path = xasprintf("%s/sandbox", state);
	FILE *f = fopen(path, "w");
	struct err e = { 0 };

	cr_assert_not_null(f);
	fclose(f);
	cr_assert_eq(local_etc_prepare(&etc, state, root, &e), -1);
	cr_assert_neq(e.code, ERR_NONE);
}
