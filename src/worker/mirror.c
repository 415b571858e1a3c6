#include "mirror.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gitdir.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

#define MARKER "slipway-fetching"
#define WALK_FDS 16
#define PACKS_MAX 200

int
mirror_name(const struct giturl *u, char out[MIRROR_NAME_LEN + 1], struct err *e)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char url[GITURL_MAX];

	giturl_format(u, url);
	if (EVP_Digest(url, strlen(url), digest, NULL, EVP_sha256(), NULL) != 1)
		return err_set(e, ERR_INTERNAL, "SHA-256 failed");
	for (size_t i = 0; i < MIRROR_NAME_LEN / 2; i++)
		snprintf(out + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

int
mirror_open(struct mirror *m, const char *dir, const struct giturl *u, struct err *e)
{
	char name[MIRROR_NAME_LEN + 1];

	m->lock = -1;
	if (mirror_name(u, name, e))
		return -1;
	/* Room for names inside is left. */
	if (strlen(dir) > sizeof(m->path) - 300)
		return err_set(e, ERR_INVALID, "%s: too long a path", dir);
	snprintf(m->path, sizeof(m->path), "%s/%s.git", dir, name);

	cleanup_free char *lock = xasprintf("%s.lock", m->path);

	m->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return m->lock < 0 ? err_sys(e, "%s", lock) : 0;
}

void
mirror_close(struct mirror *m)
{
	if (m->lock >= 0)
		close(steal_fd(&m->lock));
}

int
mirror_lock(struct mirror *m, bool exclusive, struct err *e)
{
	while (flock(m->lock, exclusive ? LOCK_EX : LOCK_SH))
		if (errno != EINTR)
			return err_sys(e, "%s: lock", m->path);
	return 0;
}

bool
mirror_exists(const struct mirror *m)
{
	return access(m->path, F_OK) == 0;
}

static int
on_leftover(const char *path, const struct stat *st, int type, struct FTW *at)
{
	const char *name = path + at->base;
	size_t len = strlen(name);

	if (type != FTW_F)
		return 0;
	if ((len > 5 && !strcmp(name + len - 5, ".lock")) ||
	    !strncmp(name, "pack_git2_", 10) || !strncmp(name, "tmp_", 4))
		unlink(path);
	return 0;
}

/* Each fetch leaves a pack, and every reader opens them all. */
static bool
has_many_packs(const struct mirror *m)
{
	cleanup_free char *dir = xasprintf("%s/objects/pack", m->path);
	DIR *d = opendir(dir);
	unsigned n = 0;

	if (!d)
		return false;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 2 * PACKS_MAX;
}

int
mirror_begin(struct mirror *m, bool *fresh, struct err *e)
{
	static const struct gitdir bare = { .bare = true,
					    .head = "ref: refs/heads/main" };
	cleanup_free char *marker = xasprintf("%s/" MARKER, m->path);
	cleanup_free char *head = xasprintf("%s/HEAD", m->path);

	*fresh = access(head, F_OK) != 0 || has_many_packs(m);
	if (*fresh) {
		if (mirror_wipe(m, e) || gitdir_create(m->path, &bare, e))
			return -1;
	} else if (access(marker, F_OK) == 0) {
		nftw(m->path, on_leftover, WALK_FDS, FTW_PHYS);
		return 0;
	}
	return gitdir_write(m->path, MARKER, "", e);
}

void
mirror_end(struct mirror *m)
{
	cleanup_free char *marker = xasprintf("%s/" MARKER, m->path);

	unlink(marker);
}

int
mirror_wipe(struct mirror *m, struct err *e)
{
	return fs_remove_tree(m->path, NULL, NULL, NULL, e);
}

int
mirror_write_known_hosts(struct mirror *m, const char *text, char *home, struct err *e)
{
	/* m->path was made with this much room to spare. */
	snprintf(home, PATH_MAX, "%.*s.home", PATH_MAX - 10, m->path);

	cleanup_free char *dir = xasprintf("%s/.ssh", home);
	cleanup_free char *file = xasprintf("%s/known_hosts", dir);

	if (fs_mkdir_p(dir, 0700, e))
		return -1;
	return fs_write_atomic(file, text, strlen(text), 0600, e);
}
