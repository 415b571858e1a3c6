#include "local_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

#define INIT_MAX ((size_t)16 << 20)

/* What is mounted on besides the host's directories. */
static const char *const dirs[] = { "/dev", "/proc",	       "/run",
				    "/tmp", LOCAL_SECRETS_DIR, LOCAL_WORKSPACE,
				    "/var" };

static const struct {
	const char *target, *path;
} links[] = {
	{ "../tmp", "/var/tmp" },
	{ "../run", "/var/run" },
};

static char *
path_in(const struct local_root *root, const char *path)
{
	return xasprintf("%s%s", root->path, path);
}

/* Should the host's link have become a directory, or the reverse, it follows. */
static int
make_dir(const struct local_root *root, const char *path, struct err *e)
{
	cleanup_free char *full = path_in(root, path);
	struct stat st;

	if (!lstat(full, &st) && S_ISLNK(st.st_mode))
		unlink(full);
	if (fs_mkdir_p(full, 0755, e))
		return -1;
	return chmod(full, 0755) ? err_sys(e, "%s", full) : 0;
}

static int
make_link(const struct local_root *root, const char *target, const char *path,
	  struct err *e)
{
	cleanup_free char *full = path_in(root, path);
	char now[256];
	ssize_t n = readlink(full, now, sizeof(now));

	if (n == (ssize_t)strlen(target) && !memcmp(now, target, (size_t)n))
		return 0;
	if (n >= 0)
		unlink(full);
	else if (errno == EINVAL)
		rmdir(full);
	return symlink(target, full) ? err_sys(e, "%s", full) : 0;
}

static int
make_host_points(const struct local_root *root, const struct local_host *host,
		 struct err *e)
{
	for (size_t i = 0; i < host->nmounts; i++) {
		const struct local_mount *m = &host->mounts[i];

		/* Those are local_etc's. */
		if (!strncmp(m->to, "/etc/", 5))
			continue;
		if (m->how ? make_dir(root, m->to, e)
			   : make_link(root, m->from, m->to, e))
			return -1;
	}
	return 0;
}

static int
make_own_points(const struct local_root *root, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (make_dir(root, dirs[i], e))
			return -1;
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		if (make_link(root, links[i].target, links[i].path, e))
			return -1;
	return 0;
}

static bool
is_same(const char *path, const struct strbuf *want)
{
	cleanup_strbuf struct strbuf have = { 0 };
	struct stat st;

	return !lstat(path, &st) && S_ISREG(st.st_mode) &&
	       (st.st_mode & 07777) == 0755 &&
	       !fs_read_file(path, INIT_MAX, &have, NULL) && have.len == want->len &&
	       !memcmp(have.data, want->data, have.len);
}

static int
copy_init(const struct local_root *root, const char *init, struct err *e)
{
	cleanup_free char *to = path_in(root, LOCAL_INIT);
	cleanup_free char *temp = xasprintf("%s.init.new", root->path);
	cleanup_strbuf struct strbuf program = { 0 };
	cleanup_close int fd = -1;

	if (fs_read_file(init, INIT_MAX, &program, e))
		return -1;
	if (!program.len)
		return err_set(e, ERR_CORRUPT, "%s is empty", init);
	if (is_same(to, &program))
		return 0;
	unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0 || fchmod(fd, 0755))
		return err_sys(e, "%s", temp);
	if (fs_write_all(fd, program.data, program.len, e))
		return err_wrap(e, "%s", temp);
	return rename(temp, to) ? err_sys(e, "%s", to) : 0;
}

static bool
can_execute(const char *path)
{
	struct statvfs fs;

	return statvfs(path, &fs) || !(fs.f_flag & ST_NOEXEC);
}

int
local_root_prepare(struct local_root *root, const char *state_dir,
		   const struct local_host *host, const char *init, struct err *e)
{
	root->path = xasprintf("%s/sandbox/root", state_dir);
	root->can_execute = can_execute(root->path);
	if (make_own_points(root, e) || make_host_points(root, host, e) ||
	    copy_init(root, init, e))
		return err_wrap(e, "the sandboxes' root");
	return 0;
}

void
local_root_free(struct local_root *root)
{
	free(root->path);
	root->path = NULL;
}
