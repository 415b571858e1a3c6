#include "local_status.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

static bool
parse_uint(struct json_object *o, const char *key, uint64_t max, uint64_t *out)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v))
		return true;
	if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0)
		return false;
	uint64_t n = json_object_get_uint64(v);

	if (n > max)
		return false;
	*out = n;
	return true;
}

static bool
parse_boot_id(struct json_object *o, struct local_status *st)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, "boot-id", &v))
		return true;
	return json_object_is_type(v, json_type_string) &&
	       STR_COPY(st->boot_id, json_object_get_string(v));
}

/* The child's three come in one line and are believed together only. */
static bool
parse_child(struct json_object *o, struct local_status *st)
{
	uint64_t pid = 0, ns = 0, start = 0;

	if (!parse_uint(o, "child-pid", INT_MAX, &pid) ||
	    !parse_uint(o, "pid-namespace", INT64_MAX, &ns) ||
	    !parse_uint(o, "start-time", INT64_MAX, &start))
		return false;
	if (pid && !st->child) {
		st->child = (pid_t)pid;
		st->pid_ns = ns;
		st->start_time = start;
	}
	return true;
}

static bool
parse_exit(struct json_object *o, struct local_status *st)
{
	uint64_t code = UINT64_MAX;

	if (!parse_uint(o, "exit-code", 255, &code))
		return false;
	if (code != UINT64_MAX && !st->has_exit) {
		st->has_exit = true;
		st->exit_code = (int)code;
	}
	return true;
}

static bool
parse_cancel(struct json_object *o, struct local_status *st)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, "cancel-sent", &v))
		return true;
	st->cancel_sent = json_object_get_boolean(v);
	return json_object_is_type(v, json_type_boolean);
}

static bool
parse_line(struct local_status *st, struct json_tokener *t, const char *line,
	   size_t len)
{
	json_tokener_reset(t);
	struct json_object *o = json_tokener_parse_ex(t, line, (int)len);
	bool ok = o && json_tokener_get_error(t) == json_tokener_success &&
		  json_tokener_get_parse_end(t) == len &&
		  json_object_is_type(o, json_type_object) && parse_boot_id(o, st) &&
		  parse_child(o, st) && parse_exit(o, st) && parse_cancel(o, st);

	json_object_put(o);
	return ok;
}

bool
local_status_parse(struct local_status *st, const char *data, size_t len)
{
	*st = (struct local_status){ 0 };
	struct json_tokener *t = json_tokener_new_ex(4);
	bool ok = t && len <= LOCAL_STATUS_MAX;

	if (t)
		json_tokener_set_flags(t, JSON_TOKENER_STRICT |
						  JSON_TOKENER_VALIDATE_UTF8);
	while (ok && len) {
		const char *end = memchr(data, '\n', len);

		if (!end)
			break;
		size_t n = (size_t)(end - data);

		ok = !memchr(data, '\0', n) && parse_line(st, t, data, n);
		data += n + 1;
		len -= n + 1;
	}
	if (t)
		json_tokener_free(t);
	return ok;
}

static int
open_in(const char *dir, int flags)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/" LOCAL_STATUS_NAME, dir) >=
	    (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
}

static int
append(int fd, const char *line, struct err *e)
{
	return fs_write_all(fd, line, strlen(line), e);
}

int
local_status_create(const char *dir, struct err *e)
{
	char line[80];
	cleanup_close int fd = open_in(dir, O_RDWR | O_CREAT | O_EXCL | O_APPEND);

	if (fd < 0 && errno == EEXIST)
		return err_set(e, ERR_CONFLICT, "%s was started already", dir);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB))
		return err_sys(e, "%s/" LOCAL_STATUS_NAME, dir);
	snprintf(line, sizeof(line), "{\"boot-id\": \"%s\"}\n", clock_boot_id());
	if (append(fd, line, e))
		return err_wrap(e, "%s/" LOCAL_STATUS_NAME, dir);
	return steal_fd(&fd);
}

int
local_status_open(const char *dir, struct err *e)
{
	int fd = open_in(dir, O_RDONLY);

	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "%s was never started", dir);
	return fd < 0 ? err_sys(e, "%s/" LOCAL_STATUS_NAME, dir) : fd;
}

int
local_status_read(int fd, struct local_status *st, struct err *e)
{
	char data[LOCAL_STATUS_MAX + 1];
	ssize_t n = pread(fd, data, sizeof(data), 0);

	*st = (struct local_status){ 0 };
	if (n < 0)
		return err_sys(e, LOCAL_STATUS_NAME);
	if (!local_status_parse(st, data, (size_t)n))
		return err_set(e, ERR_CORRUPT, "the status file is damaged");
	return 0;
}

bool
local_status_is_held(int fd)
{
	if (flock(fd, LOCK_SH | LOCK_NB))
		return errno == EWOULDBLOCK;
	flock(fd, LOCK_UN);
	return false;
}

/* Field 22 of /proc/<pid>/stat; 0 when it cannot be had. */
static uint64_t
read_start_time(pid_t pid)
{
	char path[40], data[1024];
	uint64_t start = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data) - 1);

	if (n <= 0)
		return 0;
	data[n] = '\0';
	/* The second field is the program's name, with any bytes in it. */
	const char *p = strrchr(data, ')');

	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p)
		sscanf(p, " %" SCNu64, &start);
	return start;
}

int
local_status_note_child(int fd, pid_t pid, struct err *e)
{
	char line[120];

	snprintf(line, sizeof(line),
		 "{\"child-pid\": %d, \"start-time\": %" PRIu64 "}\n", (int)pid,
		 read_start_time(pid));
	return append(fd, line, e);
}

static int
append_in(const char *dir, const char *line, struct err *e)
{
	cleanup_close int fd = open_in(dir, O_WRONLY | O_APPEND);

	return fd < 0 ? err_sys(e, "%s/" LOCAL_STATUS_NAME, dir) : append(fd, line, e);
}

int
local_status_note_exit(const char *dir, int code, struct err *e)
{
	char line[40];

	snprintf(line, sizeof(line), "{\"exit-code\": %d}\n", code);
	return append_in(dir, line, e);
}

int
local_status_note_cancel(const char *dir, struct err *e)
{
	return append_in(dir, "{\"cancel-sent\": true}\n", e);
}

void
local_status_remove(const char *dir)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/" LOCAL_STATUS_NAME, dir) <
	    (int)sizeof(path))
		unlink(path);
}

/* A program that changed itself cannot hide from a daemon that made its namespace, but
 * hardened kernels may say no: then there is no proof either way. */
static enum local_child
prove(const struct local_status *st)
{
	char path[40];
	struct stat ns;

	if (!st->pid_ns)
		return st->start_time && read_start_time(st->child) == st->start_time
			       ? LOCAL_CHILD_LIVES
			       : LOCAL_CHILD_GONE;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)st->child);
	if (stat(path, &ns))
		return errno == ENOENT ? LOCAL_CHILD_GONE : LOCAL_CHILD_UNSURE;
	return ns.st_ino == st->pid_ns ? LOCAL_CHILD_LIVES : LOCAL_CHILD_GONE;
}

bool
local_status_has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

enum local_child
local_status_find_child(const struct local_status *st, int *pidfd)
{
	*pidfd = -1;
	if (!st->child || strcmp(st->boot_id, clock_boot_id()) != 0)
		return LOCAL_CHILD_GONE;
	/* First the handle, then the proof: a pid reused in between fails the proof or
	 * leaves a handle of the dead. */
	cleanup_close int fd = pidfd_open(st->child, 0);

	if (fd < 0)
		return errno == ESRCH ? LOCAL_CHILD_GONE : LOCAL_CHILD_UNSURE;
	enum local_child found = prove(st);

	if (local_status_has_ended(fd))
		return LOCAL_CHILD_GONE;
	if (found == LOCAL_CHILD_LIVES)
		*pidfd = steal_fd(&fd);
	return found;
}
