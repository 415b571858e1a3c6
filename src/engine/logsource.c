#include "logsource.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

int
logsource_open(struct logsource *s, const char *dir, struct err *e)
{
	cleanup_free char *spool = xasprintf("%s/spool", dir);
	cleanup_free char *sealed = xasprintf("%s/spool.zst", dir);
	struct stat st;

	*s = (struct logsource){ .fd = fs_open_regular(spool, O_RDONLY, NULL) };
	if (s->fd >= 0) {
		s->size = fstat(s->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
		return 0;
	}
	if (access(sealed, F_OK) != 0)
		return err_set(e, ERR_NOT_FOUND, "there is no log (any more)");
	s->sealed = sealed_open(sealed, e);
	if (!s->sealed)
		return -1;
	s->size = sealed_size(s->sealed);
	return 0;
}

void
logsource_close(struct logsource *s)
{
	if (s->fd >= 0)
		close(s->fd);
	sealed_close(s->sealed);
	*s = (struct logsource){ .fd = -1 };
}

int
logsource_read(struct logsource *s, uint64_t offset, size_t max, struct strbuf *out,
	       struct err *e)
{
	size_t left = max;

	if (s->sealed)
		return sealed_read(s->sealed, offset, max, out, e);
	strbuf_reserve(out, max);
	while (left > 0) {
		ssize_t n = pread(s->fd, out->data + out->len, left, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "reading the log");
		if (n == 0)
			break;
		out->len += (size_t)n;
		offset += (uint64_t)n;
		left -= (size_t)n;
	}
	out->data[out->len] = '\0';
	return 0;
}
