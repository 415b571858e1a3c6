#include "slipway/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

#define SECRET_NAME_MAX 64

/* systemd shows credentials 0440 to the service's own user, in a directory that
 * nobody else can enter. */
static bool
secret_is_credential(const char *path)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	return dir && dir[0] == '/' && fs_is_inside(dir, path);
}

static int
secret_read(int fd, char *buf, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, buf + *len, size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return 0;
}

static int
secret_take(struct secret *s, const char *path, const char *buf, size_t len,
	    struct err *e)
{
	if (len && buf[len - 1] == '\n')
		len--;
	if (len < SECRET_MIN || len > SECRET_MAX)
		return err_set(e, ERR_INVALID, "%s: a secret has %d to %d bytes", path,
			       SECRET_MIN, SECRET_MAX);
	secret_set(s, buf, len);
	return 0;
}

int
secret_load_file(struct secret *s, const char *path, struct err *e)
{
	char buf[SECRET_MAX + 2];
	cleanup_close int fd = -1;
	struct stat st;
	size_t len;
	int rc;

	fd = fs_open_regular(path, O_RDONLY, e);
	if (fd < 0) {
		if (e && e->sys == ENOENT)
			e->code = ERR_NOT_FOUND;
		return -1;
	}
	if (fstat(fd, &st))
		return err_sys(e, "%s", path);
	if ((st.st_mode & 077) && !secret_is_credential(path))
		return err_set(e, ERR_DENIED,
			       "%s: others may read it (mode %03o), make it 0600", path,
			       (unsigned)(st.st_mode & 0777));
	if (secret_read(fd, buf, sizeof(buf), &len))
		rc = err_sys(e, "%s", path);
	else
		rc = secret_take(s, path, buf, len, e);
	explicit_bzero(buf, sizeof(buf));
	return rc;
}

static bool
secret_name_is_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t n = strlen(name);

	return n && n <= SECRET_NAME_MAX && strspn(name, allowed) == n;
}

int
secret_load(struct secret *s, const char *dir, const char *name, struct err *e)
{
	char path[PATH_MAX];

	if (!secret_name_is_valid(name))
		return err_set(e, ERR_INVALID, "not a secret's name");
	if (!*dir)
		return err_set(e, ERR_NOT_FOUND, "no secrets.dir is configured");
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path))
		return err_set(e, ERR_INVALID, "secrets.dir: path too long");
	return secret_load_file(s, path, e);
}

void
secret_set(struct secret *s, const void *data, size_t len)
{
	char *copy = xmalloc(len + 1);

	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';
	secret_wipe(s);
	s->data = copy;
	s->len = len;
}

void
secret_wipe(struct secret *s)
{
	if (s->data)
		explicit_bzero(s->data, s->len);
	free(s->data);
	*s = (struct secret){ 0 };
}
