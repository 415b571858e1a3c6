#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "slipway/log.h"
#include "slipway/mem.h"

#define SUPERVISOR "supervisor"
#define CONTROL ".control" /* where systemd runs ExecStartPre= of delegated units */
#define MOVED "user.slipway.moved" /* on the unit's group: we had to leave it */

static int
put(const char *dir, const char *name, const char *value)
{
	char path[CGROUP_PATH * 2];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, value, strlen(value)) < 0 ? -1 : 0;
}

/* The group that we are in, as a directory. */
static bool
own_dir(const char *mount, const char *self, char *out, size_t size)
{
	char own[CGROUP_PATH / 2];

	return cgroup_parse_self(self, own, sizeof(own)) &&
	       snprintf(out, size, "%s%s", mount, own) < (int)size;
}

static bool
is_named(const char *dir, const char *name)
{
	const char *slash = strrchr(dir, '/');

	return slash && !strcmp(slash + 1, name);
}

static bool
refuse(char *why, size_t size, const char *text)
{
	snprintf(why, size, "%s", text);
	return false;
}

/* Out of the unit's group, into one below it. self becomes what it is then. */
static bool
move_below(const char *dir, char *self, size_t size, char *why, size_t why_size)
{
	char below[CGROUP_PATH], own[CGROUP_PATH / 2];

	cgroup_parse_self(self, own, sizeof(own));
	if (!cgroup_is_delegated(dir))
		return refuse(why, why_size, "the control group is not delegated");
	if (snprintf(below, sizeof(below), "%s/" SUPERVISOR, dir) >= (int)sizeof(below))
		return refuse(why, why_size,
			      "the path of the control group is too long");
	if ((mkdir(below, 0755) && errno != EEXIST) ||
	    put(below, "cgroup.procs", "0")) {
		snprintf(why, why_size, "%s: %s", below, strerror(errno));
		return false;
	}
	if (setxattr(dir, MOVED, "1", 1, 0))
		log_debug(LOG_EXEC, "%s: %s", dir, strerror(errno));
	snprintf(self, size, "0::%s/" SUPERVISOR "\n", own);
	return true;
}

static void
enable_controllers(const char *dir)
{
	static const char *const wanted[] = { "+memory", "+pids", "+cpu" };

	/* One by one: what is not there must not keep the others away. */
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (put(dir, "cgroup.subtree_control", wanted[i]))
			log_debug(LOG_EXEC, "%s: %s: %s", dir, wanted[i],
				  strerror(errno));
}

bool
tree_open(struct cgroup *g, const char *mount, const char *self, char *why, size_t size)
{
	char dir[CGROUP_PATH], now[CGROUP_PATH];

	*g = (struct cgroup){ 0 };
	if (!own_dir(mount, self, dir, sizeof(dir)))
		return refuse(why, size, "no control groups of version 2");
	snprintf(now, sizeof(now), "0::%s\n", dir + strlen(mount));
	if (is_named(dir, SUPERVISOR))
		*strrchr(dir, '/') = '\0';
	else if (!move_below(dir, now, sizeof(now), why, size))
		return false;
	enable_controllers(dir);
	if (!cgroup_open(g, mount, now, why, size))
		return false;
	cgroup_leaves_restore(g);
	return true;
}

void
tree_make_room(const char *mount, const char *self)
{
	static const char *const all[] = { "-cpu", "-pids", "-memory" };
	char dir[CGROUP_PATH], value[4];

	if (!own_dir(mount, self, dir, sizeof(dir)) || !is_named(dir, CONTROL))
		return;
	*strrchr(dir, '/') = '\0';
	if (getxattr(dir, MOVED, value, sizeof(value)) < 1)
		return;
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		put(dir, "cgroup.subtree_control", all[i]);
}
