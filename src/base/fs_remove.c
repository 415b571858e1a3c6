/*
 * Trees that jobs leave behind may be deeper than the process has descriptors or
 * stack for: what lies too deep is moved up beside the root's own entries and found
 * there again by the root's next pass.
 */
#include "slipway/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "slipway/mem.h"

#define REMOVE_DEPTH_MAX 48

struct remover {
	int root; /* fd of the outermost directory */
	unsigned moved;
	uint64_t removed;
	bool (*stop)(void *);
	void *arg;
};

static void
cleanup_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int remove_entry(struct remover *r, int at, const char *name, unsigned depth,
			struct err *e);

/* A directory of mode 0 is made accessible first; its owner may. By /proc because
 * fchmod() refuses O_PATH, and fchmodat() would follow a link put there meanwhile. */
static int
remove_open(int at, const char *name)
{
	const int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(at, name, O_RDONLY | flags);
	cleanup_close int handle = -1;
	char proc[32];

	if (fd >= 0 || errno != EACCES)
		return fd;
	handle = openat(at, name, O_PATH | flags);
	if (handle < 0)
		return -1;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", handle);
	if (chmod(proc, 0700))
		return -1;
	return openat(at, name, O_RDONLY | flags);
}

static int
remove_move_up(struct remover *r, int at, const char *name, struct err *e)
{
	char to[32];

	do {
		snprintf(to, sizeof(to), ".deep-%u", r->moved++);
		if (!renameat(at, name, r->root, to))
			return 0;
	} while (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR);
	return err_sys(e, "rename %s", name);
}

static int
remove_pass(struct remover *r, DIR *d, unsigned depth, struct err *e)
{
	struct dirent *de;

	rewinddir(d);
	while ((errno = 0, de = readdir(d))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (remove_entry(r, dirfd(d), de->d_name, depth + 1, e))
			return -1;
	}
	return errno ? err_sys(e, "readdir") : 0;
}

static int
remove_dir(struct remover *r, int at, const char *name, unsigned depth, struct err *e)
{
	__attribute__((cleanup(cleanup_dir))) DIR *d = NULL;
	cleanup_close int fd = remove_open(at, name);
	uint64_t before;
	struct stat st;

	if (fd < 0)
		return err_sys(e, "open %s", name);
	if (!fstat(fd, &st) && (st.st_mode & 0300) != 0300)
		fchmod(fd, 0700);
	d = fdopendir(fd);
	if (!d)
		return err_sys(e, "open %s", name);
	fd = -1;
	if (!depth)
		r->root = dirfd(d);
	do {
		before = r->removed;
		if (remove_pass(r, d, depth, e))
			return -1;
		if (!unlinkat(at, name, AT_REMOVEDIR) || errno == ENOENT)
			return 0;
		/* Not empty: moved up from below, or made meanwhile. */
	} while (errno == ENOTEMPTY && r->removed > before);
	return err_sys(e, "rmdir %s", name);
}

static int
remove_entry(struct remover *r, int at, const char *name, unsigned depth, struct err *e)
{
	if (r->stop && r->stop(r->arg))
		return err_set(e, ERR_CLOSED, "stopped");
	if (unlinkat(at, name, 0)) {
		if (errno == ENOENT)
			return 0;
		if (errno != EISDIR)
			return err_sys(e, "unlink %s", name);
		if (depth > REMOVE_DEPTH_MAX)
			return remove_move_up(r, at, name, e);
		if (remove_dir(r, at, name, depth, e))
			return -1;
	}
	r->removed++;
	return 0;
}

int
fs_remove_tree(const char *path, uint64_t *removed, bool (*stop)(void *), void *arg,
	       struct err *e)
{
	struct remover r = { .root = -1, .stop = stop, .arg = arg };
	int rc = remove_entry(&r, AT_FDCWD, path, 0, e);

	if (removed)
		*removed += r.removed;
	return rc ? err_wrap(e, "remove %s", path) : 0;
}
