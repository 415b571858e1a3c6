#include "envfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "util.h"

int
envfile_create(struct envfile *f, const char *dir)
{
	cleanup_free char *path = util_format("%s/slipway-env-XXXXXX", dir);
	cleanup_close int fd = mkostemp(path, O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	*f = (struct envfile){ STEAL(path), st.st_dev, st.st_ino };
	return 0;
}

uint8_t *
envfile_read(const struct envfile *f, size_t *len, const char **why)
{
	cleanup_close int fd =
		open(f->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY);
	cleanup_free uint8_t *data = NULL;
	struct stat st;
	size_t size = 0;
	ssize_t n;

	*why = "it cannot be opened";
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	*why = "it is no longer a regular file";
	if (!S_ISREG(st.st_mode))
		return NULL;
	*why = "it was replaced by another file";
	if (st.st_dev != f->dev || st.st_ino != f->ino)
		return NULL;
	*why = "it is larger than 1 MiB";
	if (st.st_size > (off_t)ENVFILE_MAX)
		return NULL;
	/* One byte more than it has, to see the end: a process left behind may still
	 * append. */
	*len = 0;
	do {
		if (*len == size) {
			size = size ? 2 * size : (size_t)st.st_size + 1;
			data = util_realloc(data, size);
		}
		n = read(fd, data + *len, size - *len);
		if (n > 0)
			*len += (size_t)n;
	} while (*len <= ENVFILE_MAX && (n > 0 || (n < 0 && errno == EINTR)));
	if (*len > ENVFILE_MAX)
		return NULL;
	return STEAL(data);
}

void
envfile_remove(struct envfile *f)
{
	if (f->path)
		unlink(f->path);
	free(f->path);
	*f = (struct envfile){ 0 };
}

static bool
envfile_name_ok(const uint8_t *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t c = name[i];
		bool alpha = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			     c == '_';

		if (!alpha && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return len > 0 && len <= ENVFILE_NAME_MAX;
}

static const char *
envfile_split(struct envfile_line *line, const uint8_t *p, size_t len)
{
	static const char reserved[] = "SLIPWAY_";
	const uint8_t *eq = memchr(p, '=', len);

	if (!eq)
		return "no \"=\"";
	line->name = p;
	line->name_len = (size_t)(eq - p);
	line->value = eq + 1;
	line->value_len = len - line->name_len - 1;
	if (!envfile_name_ok(line->name, line->name_len))
		return "invalid name";
	if (line->name_len >= sizeof(reserved) - 1 &&
	    memcmp(p, reserved, sizeof(reserved) - 1) == 0)
		return "reserved name";
	if (len > ENVFILE_LINE_MAX)
		return "value too long";
	if (memchr(line->value, 0, line->value_len))
		return "NUL byte in the value";
	return NULL;
}

bool
envfile_next(struct envfile_parser *parser, struct envfile_line *line)
{
	while (parser->p < parser->end) {
		const uint8_t *p = parser->p;
		const uint8_t *nl = memchr(p, '\n', (size_t)(parser->end - p));
		size_t len = (size_t)((nl ? nl : parser->end) - p);

		parser->p = nl ? nl + 1 : parser->end;
		parser->line++;
		if (!len)
			continue;
		*line = (struct envfile_line){ 0 };
		line->bad = envfile_split(line, p, len);
		return true;
	}
	return false;
}
