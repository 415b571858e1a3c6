#include "audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

#define TAIL_MAX (1u << 20)

static void
add_text(struct json_object *o, const char *key, const char *value)
{
	cleanup_strbuf struct strbuf safe = { 0 };

	strbuf_add_utf8(&safe, value, strlen(value));
	json_object_object_add(o, key, json_object_new_string(strbuf_str(&safe)));
}

static void
add_who(struct json_object *o, const struct audit_entry *en)
{
	struct passwd pw, *found = NULL;
	char buf[4096], text[32];

	if (!en->has_uid) {
		add_text(o, "who", en->who);
		return;
	}
	if (getpwuid_r(en->uid, &pw, buf, sizeof(buf), &found) == 0 && found) {
		add_text(o, "who", found->pw_name);
		return;
	}
	snprintf(text, sizeof(text), "uid %u", en->uid);
	add_text(o, "who", text);
}

void
audit_format(const struct audit_entry *en, struct strbuf *out)
{
	struct json_object *o = json_object_new_object();
	char time[CLOCK_ISO_SIZE];

	clock_format_iso(en->time, time);
	add_text(o, "time", time);
	add_who(o, en);
	add_text(o, "via", en->via);
	add_text(o, "address", en->address);
	add_text(o, "method", en->method);
	add_text(o, "path", en->path ? en->path : "");
	if (*en->job)
		add_text(o, "job", en->job);
	json_object_object_add(o, "status", json_object_new_int(en->status));
	if (en->suppressed)
		json_object_object_add(o, "suppressed",
				       json_object_new_int64((int64_t)en->suppressed));
	if (en->lost)
		json_object_object_add(o, "lost",
				       json_object_new_int64((int64_t)en->lost));
	strbuf_adds(out, json_object_to_json_string_ext(
				 o, JSON_C_TO_STRING_PLAIN |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	strbuf_addc(out, '\n');
	json_object_put(o);
}

static int
sync_dir(const char *path, struct err *e)
{
	cleanup_free char *copy = xstrdup(path);
	cleanup_close int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? err_sys(e, "sync %s", copy) : 0;
}

static void
name_of(const char *path, unsigned n, struct strbuf *out)
{
	strbuf_reset(out);
	strbuf_adds(out, path);
	if (n)
		strbuf_addf(out, ".%u", n);
}

static int
rotate(const char *path, struct err *e)
{
	cleanup_strbuf struct strbuf from = { 0 }, to = { 0 };

	for (unsigned n = AUDIT_FILES_KEPT; n > 0; n--) {
		name_of(path, n - 1, &from);
		name_of(path, n, &to);
		if (rename(from.data, to.data) < 0 && errno != ENOENT)
			return err_sys(e, "rename %s", from.data);
	}
	return 0;
}

static int
open_file(const char *path, bool *made, struct err *e)
{
	struct stat st;
	int fd;

	*made = lstat(path, &st) < 0;
	fd = open(path,
		  O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		  0600);
	if (fd < 0)
		return err_sys(e, "open %s", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	return err_set(e, ERR_DENIED, "%s is not a regular file", path);
}

/* A line that a power cut tore is ended, so that it spoils no other. */
static int
append(int fd, const struct strbuf *lines, off_t size, struct err *e)
{
	char last = '\n';

	if (size > 0 && pread(fd, &last, 1, size - 1) != 1)
		return err_sys(e, "read");
	if (last != '\n' && fs_write_all(fd, "\n", 1, e))
		return -1;
	if (fs_write_all(fd, lines->data, lines->len, e))
		return -1;
	return fdatasync(fd) < 0 ? err_sys(e, "sync") : 0;
}

int
audit_append(const char *path, const struct strbuf *lines, size_t max, struct err *e)
{
	cleanup_close int fd = -1;
	struct stat st;
	bool made;

	if (lstat(path, &st) == 0 && st.st_size > 0 &&
	    (size_t)st.st_size + lines->len > max && rotate(path, e))
		return -1;
	fd = open_file(path, &made, e);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat %s", path);
	if (append(fd, lines, st.st_size, e)) {
		/* Half of it would be there twice after the next try. */
		if (ftruncate(fd, st.st_size) < 0)
			err_wrap(e, "cannot be taken back, either");
		return err_wrap(e, "%s", path);
	}
	return made ? sync_dir(path, e) : 0;
}

/* The end of the file, from the beginning of a line; nothing when there is none. */
static int
read_tail(const char *path, struct strbuf *out, struct err *e)
{
	cleanup_close int fd = open(path,
				    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	off_t from;
	ssize_t n;
	char *nl;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, "open %s", path);
	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat %s", path);
	from = st.st_size > TAIL_MAX ? st.st_size - TAIL_MAX : 0;
	strbuf_reserve(out, TAIL_MAX + 1);
	n = pread(fd, out->data, TAIL_MAX, from);
	if (n < 0)
		return err_sys(e, "read %s", path);
	out->len = (size_t)n;
	out->data[out->len] = '\0';
	if (from && (nl = memchr(out->data, '\n', out->len)))
		strbuf_consume(out, (size_t)(nl + 1 - out->data));
	return 0;
}

/* Lines from the end on; how many of limit are still to come. */
static unsigned
add_lines(struct strbuf *out, const struct strbuf *text, unsigned limit)
{
	size_t end = text->len, start;

	for (; limit && end; end = start) {
		size_t stop = end - (text->data[end - 1] == '\n');

		for (start = stop; start && text->data[start - 1] != '\n';)
			start--;
		/* What is not whole is of no use to a program. */
		if (stop - start < 2 || text->data[start] != '{' ||
		    text->data[stop - 1] != '}')
			continue;
		if (out->len > 1)
			strbuf_adds(out, ",\n");
		strbuf_add(out, text->data + start, stop - start);
		limit--;
	}
	return limit;
}

int
audit_tail(const char *path, unsigned limit, struct strbuf *out, struct err *e)
{
	cleanup_strbuf struct strbuf name = { 0 };

	strbuf_addc(out, '[');
	for (unsigned n = 0; n <= AUDIT_FILES_KEPT && limit; n++) {
		cleanup_strbuf struct strbuf text = { 0 };

		name_of(path, n, &name);
		if (read_tail(name.data, &text, e))
			return -1;
		limit = add_lines(out, &text, limit);
		if (text.len > TAIL_MAX / 2)
			break;
	}
	strbuf_adds(out, "]\n");
	return 0;
}
