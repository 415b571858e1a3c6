#include "db_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <time.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

#define LOCK_WAIT_MS 2000
#define LOCK_PAUSE_MS 5

static int
check_file_system(const char *dir, struct err *e)
{
	static const uint32_t remote[] = { NFS_SUPER_MAGIC, SMB_SUPER_MAGIC,
					   0xFF534D42 /* CIFS */,
					   0xFE534D42 /* SMB2 */ };
	struct statfs st;

	if (statfs(dir, &st) < 0)
		return err_sys(e, "%s", dir);
	for (size_t i = 0; i < ARRAY_LEN(remote); i++)
		if ((uint32_t)st.f_type == remote[i])
			return err_set(e, ERR_INVALID,
				       "%s is on a network file system; the database "
				       "needs a local one",
				       dir);
	return 0;
}

int
db_dir_take(const char *dir, struct err *e)
{
	cleanup_free char *path = xasprintf("%s/lock", dir);
	const struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000 };
	cleanup_close int fd = -1;
	int rc;

	if (fs_mkdir_p(dir, 0700, e) < 0 || check_file_system(dir, e) < 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "%s", path);
	/* A child that a killed daemon was just starting has the lock until its exec. */
	rc = flock(fd, LOCK_EX | LOCK_NB);
	for (int i = 0; rc < 0 && i < LOCK_WAIT_MS / LOCK_PAUSE_MS; i++) {
		nanosleep(&pause, NULL);
		rc = flock(fd, LOCK_EX | LOCK_NB);
	}
	if (rc == 0)
		return steal_fd(&fd);
	if (errno == EWOULDBLOCK)
		return err_set(e, ERR_CONFLICT,
			       "another slipwayd uses this state directory (%s)", dir);
	return err_sys(e, "lock %s", path);
}
