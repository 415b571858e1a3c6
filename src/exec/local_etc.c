#include "local_etc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

/* All of /etc that a build needs to find its libraries, users and certificates. */
static const char *const files[LOCAL_ETC_FILES] = {
	"passwd",
	"group",
	"nsswitch.conf",
	"hosts",
	"host.conf",
	"gai.conf",
	"protocols",
	"services",
	"ld.so.cache",
	"ld.so.conf",
	"ca-certificates.conf",
	"localtime",
	"timezone",
	"mime.types",
};

const char *const local_etc_dirs[LOCAL_ETC_DIRS] = { "ssl", "alternatives", "pki",
						     "crypto-policies" };

/* A runner that is being opened must not meet the one it will replace. */
static atomic_uint copies;

static char *
host_path(const char *root, const char *name)
{
	return xasprintf("%s/etc/%s", strcmp(root, "/") ? root : "", name);
}

static bool
same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
is_seen(const struct local_etc_seen *seen, const struct stat *st)
{
	return seen->ino == st->st_ino && seen->size == st->st_size &&
	       same_time(&seen->mtime, &st->st_mtim) &&
	       same_time(&seen->ctime, &st->st_ctim);
}

/* What others could not read on the host they must not read here. */
static bool
is_public(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & S_IROTH) &&
	       st->st_size <= (off_t)LOCAL_ETC_FILE_MAX;
}

/* Links are followed: what they lead to is not in the sandbox. */
static int
read_original(const char *path, struct strbuf *out, struct err *e)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n = 1;

	if (fd < 0 || fstat(fd, &st))
		return err_sys(e, "%s", path);
	if (!is_public(&st))
		return err_set(e, ERR_DENIED, "%s: not for everybody", path);
	while (n > 0 && out->len <= LOCAL_ETC_FILE_MAX) {
		strbuf_reserve(out, 4096);
		n = read(fd, out->data + out->len, 4096);
		if (n < 0)
			return err_sys(e, "%s", path);
		out->len += (size_t)n;
	}
	return n ? err_set(e, ERR_TOO_LARGE, "%s: too large", path) : 0;
}

/* By name: sandboxes have the directory mounted, and read the old one or the new one.
 * No fsync: after a crash the content differs, or is right. */
static int
write_copy(const struct local_etc *etc, const char *path, const struct strbuf *text,
	   struct err *e)
{
	cleanup_strbuf struct strbuf old = { 0 };
	cleanup_close int fd = -1;

	if (!fs_read_file(path, LOCAL_ETC_FILE_MAX, &old, NULL) &&
	    old.len == text->len &&
	    (!old.len || !memcmp(old.data, text->data, old.len)))
		return 0;
	unlink(etc->temp);
	fd = open(etc->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "%s", etc->temp);
	if (fchmod(fd, 0644))
		return err_sys(e, "%s", etc->temp);
	if (fs_write_all(fd, text->len ? text->data : "", text->len, e))
		return err_wrap(e, "%s", etc->temp);
	return rename(etc->temp, path) ? err_sys(e, "%s", path) : 0;
}

static int
refresh_file(struct local_etc *etc, size_t i, const char *root, struct err *e)
{
	cleanup_free char *from = host_path(root, files[i]);
	cleanup_free char *to = NULL;
	cleanup_strbuf struct strbuf text = { 0 };
	struct stat st = { 0 };

	if (stat(from, &st) || !is_public(&st))
		st = (struct stat){ 0 };
	if (is_seen(&etc->seen[i], &st))
		return 0;
	to = xasprintf("%s/%s", etc->path, files[i]);
	if (!st.st_ino || read_original(from, &text, NULL))
		unlink(to);
	else if (write_copy(etc, to, &text, e))
		return -1;
	etc->seen[i] = (struct local_etc_seen){ st.st_ino, st.st_size, st.st_mtim,
						st.st_ctim };
	return 0;
}

int
local_etc_refresh(struct local_etc *etc, const char *root, struct err *e)
{
	for (size_t i = 0; i < LOCAL_ETC_FILES; i++)
		if (refresh_file(etc, i, root, e))
			return -1;
	return 0;
}

static int
make_dir(const char *path, struct err *e)
{
	if (fs_mkdir_p(path, 0755, e))
		return -1;
	return chmod(path, 0755) ? err_sys(e, "%s", path) : 0;
}

/* Mount points: one that is missing cannot be made in a read-only directory. */
static int
make_mount_points(const struct local_etc *etc, const char *root, struct err *e)
{
	cleanup_free char *resolv = xasprintf("%s/resolv.conf", etc->path);
	struct strbuf empty = { 0 };

	for (size_t i = 0; i < LOCAL_ETC_DIRS; i++) {
		cleanup_free char *from = host_path(root, local_etc_dirs[i]);
		cleanup_free char *to = xasprintf("%s/%s", etc->path,
						  local_etc_dirs[i]);
		struct stat st;

		if (!stat(from, &st) && S_ISDIR(st.st_mode) && make_dir(to, e))
			return -1;
	}
	return write_copy(etc, resolv, &empty, e);
}

int
local_etc_prepare(struct local_etc *etc, const char *state_dir, const char *root,
		  struct err *e)
{
	cleanup_free char *above = xasprintf("%s/sandbox", state_dir);
	cleanup_free char *inside = xasprintf("%s/root", above);

	*etc = (struct local_etc){ 0 };
	etc->path = xasprintf("%s/etc", inside);
	etc->temp = xasprintf("%s/etc.new.%u", above, atomic_fetch_add(&copies, 1));
	for (size_t i = 0; i < LOCAL_ETC_FILES; i++)
		etc->seen[i].size = -1; /* of none yet */
	if (make_dir(above, e) || make_dir(inside, e) || make_dir(etc->path, e) ||
	    make_mount_points(etc, root, e) || local_etc_refresh(etc, root, e))
		return err_wrap(e, "the sandboxes' /etc");
	return 0;
}

void
local_etc_free(struct local_etc *etc)
{
	free(etc->path);
	free(etc->temp);
	etc->path = etc->temp = NULL;
}
