#include "slipway/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "slipway/mem.h"

#define FS_READ_CHUNK 65536
#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The path that ends at end. A read-only or foreign parent answers so before EEXIST, so
 * any failure may mean that the directory is there. */
static int
mkdir_up_to(char *path, char *end, mode_t mode, struct err *e)
{
	char *slash = end;
	struct stat st;
	int saved;

	*end = '\0';
	if (!mkdir(path, mode))
		return 0;
	saved = errno;
	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return 0;
	while (slash > path && *slash != '/')
		slash--;
	if (saved == ENOENT && slash > path) {
		if (mkdir_up_to(path, slash, mode, e))
			return -1;
		*slash = '/';
		if (!mkdir(path, mode) || errno == EEXIST)
			return 0;
		saved = errno;
	}
	errno = saved == EEXIST ? ENOTDIR : saved;
	return err_sys(e, "mkdir %s", path);
}

/* From the end on: mostly only the last one is missing. */
int
fs_mkdir_p(const char *path, mode_t mode, struct err *e)
{
	cleanup_free char *p = xstrdup(path);
	char *end = p + strlen(p);

	while (end > p + 1 && end[-1] == '/')
		end--;
	return mkdir_up_to(p, end, mode, e);
}

void
fs_wish_apart(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int flags = 0;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) || (flags & FS_TOPDIR_FL))
		return;
	flags |= FS_TOPDIR_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int
fs_open_regular(const char *path, int flags, struct err *e)
{
	/* O_NONBLOCK: opening a fifo must not hang; regular files ignore it. */
	cleanup_close int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
						  O_NOCTTY);
	struct stat st;

	if (fd < 0) {
		bool other = errno == ELOOP || errno == EISDIR || errno == ENXIO;

		err_sys(e, "%s", path);
		if (e && other)
			e->code = ERR_DENIED;
		return -1;
	}
	if (fstat(fd, &st))
		return err_sys(e, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_DENIED, "%s: not a regular file", path);
	return steal_fd(&fd);
}

int
fs_read_file(const char *path, size_t max, struct strbuf *out, struct err *e)
{
	cleanup_close int fd = fs_open_regular(path, O_RDONLY, e);
	size_t start = out->len, room;
	ssize_t n;

	if (fd < 0)
		return -1;
	for (;;) {
		/* One byte over the limit tells "too large" from "just fits". */
		room = max - (out->len - start) + 1;
		if (room > FS_READ_CHUNK)
			room = FS_READ_CHUNK;
		strbuf_reserve(out, room);
		n = read(fd, out->data + out->len, room);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "%s", path);
		out->len += (size_t)n;
		out->data[out->len] = '\0';
		if (n == 0)
			return 0;
		if (out->len - start > max) {
			out->len = start;
			out->data[start] = '\0';
			return err_set(e, ERR_TOO_LARGE, "%s: over %zu bytes", path,
				       max);
		}
	}
}

int
fs_write_all(int fd, const void *data, size_t len, struct err *e)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "write");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
fs_sync_parent(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = NULL;
	cleanup_close int fd = -1;

	if (!slash)
		dir = xstrdup(".");
	else if (slash == path)
		dir = xstrdup("/");
	else
		dir = xstrndup(path, (size_t)(slash - path));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		return err_sys(e, "sync %s", dir);
	return 0;
}

static int
fs_fill_temp(int fd, const void *data, size_t len, mode_t mode, struct err *e)
{
	if (fs_write_all(fd, data, len, e))
		return -1;
	if (fchmod(fd, mode))
		return err_sys(e, "chmod");
	if (fsync(fd))
		return err_sys(e, "fsync");
	return 0;
}

int
fs_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
		struct err *e)
{
	cleanup_free char *temp = xasprintf("%s.tmp-XXXXXX", path);
	cleanup_close int fd = mkostemp(temp, O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "%s", path);
	if (fs_fill_temp(fd, data, len, mode, e)) {
		unlink(temp);
		return err_wrap(e, "%s", path);
	}
	if (rename(temp, path)) {
		err_sys(e, "rename to %s", path);
		unlink(temp);
		return -1;
	}
	return fs_sync_parent(path, e);
}

int
fs_space(const char *path, uint64_t *avail, uint64_t *total, struct err *e)
{
	struct statvfs v;

	if (statvfs(path, &v))
		return err_sys(e, "statvfs %s", path);
	*avail = (uint64_t)v.f_bavail * v.f_frsize;
	*total = (uint64_t)v.f_blocks * v.f_frsize;
	return 0;
}

bool
fs_is_inside(const char *root, const char *path)
{
	size_t n = strlen(root);

	while (n && root[n - 1] == '/')
		n--;
	return !strncmp(root, path, n) && (!path[n] || path[n] == '/');
}

bool
fs_normalise(const char *path, char *out, size_t size)
{
	size_t len = 0;

	if (path[0] != '/' || size < 2)
		return false;
	while (*path) {
		size_t n;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			if (!len)
				return false;
			while (out[--len] != '/')
				;
		} else if (n && !(n == 1 && path[0] == '.')) {
			if (len + 1 + n >= size)
				return false;
			out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n;
	}
	if (!len)
		out[len++] = '/';
	out[len] = '\0';
	return true;
}

bool
fs_is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

char *
fs_find_program(const char *name)
{
	const char *path = getenv("PATH");
	cleanup_free char *list = xstrdup(path && *path ? path : PATH_DEFAULT);
	char *rest = NULL;

	for (char *dir = strtok_r(list, ":", &rest); dir;
	     dir = strtok_r(NULL, ":", &rest)) {
		cleanup_free char *full = xasprintf("%s/%s", dir, name);

		if (dir[0] == '/' && fs_is_program(full))
			return STEAL(full);
	}
	return NULL;
}
