#include "slipway/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <linux/magic.h>
#include <unistd.h>

#include "slipway/mem.h"

#define CPU_PERIOD_US 100000
#define LIMITS "user.slipway.limits" /* attribute of a leaf */

const char *
cgroup_mount(void)
{
	static const char whole[] = "/sys/fs/cgroup";
	struct statfs st;

	if (!statfs(whole, &st) && st.f_type == CGROUP2_SUPER_MAGIC)
		return whole;
	return "/sys/fs/cgroup/unified";
}

bool
cgroup_parse_self(const char *text, char *out, size_t size)
{
	while (text && *text) {
		const char *end = strchrnul(text, '\n');

		if (!strncmp(text, "0::/", 4)) {
			size_t n = (size_t)(end - text) - 3;

			if (n >= size)
				return false;
			memcpy(out, text + 3, n);
			out[n] = '\0';
			return true;
		}
		text = *end ? end + 1 : NULL;
	}
	return false;
}

static bool
has_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)); p += n)
		if ((p == list || p[-1] == ' ') &&
		    (p[n] == '\0' || p[n] == ' ' || p[n] == '\n'))
			return true;
	return false;
}

/* A file of a group into a small buffer; "" when it cannot be read. */
static void
read_small(const char *dir, const char *name, char *out, size_t size)
{
	char path[CGROUP_PATH * 2];

	out[0] = '\0';
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);

	out[n > 0 ? n : 0] = '\0';
}

bool
cgroup_is_delegated(const char *dir)
{
	static const char *const marks[] = { "user.delegate", "trusted.delegate" };
	char value[4];

	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (getxattr(dir, marks[i], value, sizeof(value)) >= 1 &&
		    value[0] == '1')
			return true;
	/* Root may write everywhere; what it was given is marked. */
	return geteuid() != 0 && !access(dir, W_OK);
}

static bool
refuse(char *why, size_t size, const char *text)
{
	snprintf(why, size, "%s", text);
	return false;
}

bool
cgroup_open(struct cgroup *g, const char *mount, const char *self, char *why,
	    size_t size)
{
	char own[CGROUP_PATH / 2], dir[CGROUP_PATH], controllers[256];

	*g = (struct cgroup){ 0 };
	if (!cgroup_parse_self(self, own, sizeof(own)))
		return refuse(why, size, "no control groups of version 2");
	char *slash = strrchr(own, '/');

	if (!slash[1])
		return refuse(why, size, "the daemon has no control group of its own");
	*slash = '\0';
	if (snprintf(dir, sizeof(dir), "%s%s", mount, own) >= (int)sizeof(dir))
		return refuse(why, size, "the path of the control group is too long");
	if (access(dir, W_OK) || !cgroup_is_delegated(dir))
		return refuse(why, size, "the control group is not delegated");
	read_small(dir, "cgroup.subtree_control", controllers, sizeof(controllers));
	if (!has_word(controllers, "memory") || !has_word(controllers, "pids"))
		return refuse(why, size,
			      "the control group lacks controllers memory and pids");
	g->has_cpu = has_word(controllers, "cpu");
	return STR_COPY(g->parent, dir);
}

static int
leaf_write(const char *leaf, const char *name, const char *value, struct err *e)
{
	char path[CGROUP_PATH * 2];

	snprintf(path, sizeof(path), "%s/%s", leaf, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return err_sys(e, "%s", path);
	return 0;
}

static int
leaf_limit(const struct cgroup *g, const char *leaf, const struct cgroup_limits *l,
	   struct err *e)
{
	char value[64];

	if (l->memory) {
		snprintf(value, sizeof(value), "%" PRIu64, l->memory);
		/* Without swap accounting there is no such file: nothing to forbid. */
		leaf_write(leaf, "memory.swap.max", "0", NULL);
		if (leaf_write(leaf, "memory.max", value, e) ||
		    leaf_write(leaf, "memory.oom.group", "1", e))
			return -1;
	}
	if (l->pids) {
		snprintf(value, sizeof(value), "%" PRIu32, l->pids);
		if (leaf_write(leaf, "pids.max", value, e))
			return -1;
	}
	if (l->cpus > 0 && g->has_cpu) {
		snprintf(value, sizeof(value), "%.0f %d", l->cpus * CPU_PERIOD_US,
			 CPU_PERIOD_US);
		if (leaf_write(leaf, "cpu.max", value, e))
			return -1;
	}
	return 0;
}

/* For cgroup_leaves_restore(); a wish only. */
static void
leaf_remember(const char *leaf, const struct cgroup_limits *l)
{
	char text[96];
	int n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu32 " %.3f", l->memory,
			 l->pids, l->cpus);

	(void)setxattr(leaf, LIMITS, text, (size_t)n, 0);
}

static bool
leaf_path(const struct cgroup *g, const char *name, char *out, size_t size)
{
	return g->parent[0] && !strchr(name, '/') &&
	       snprintf(out, size, "%s/%s", g->parent, name) < (int)size;
}

int
cgroup_leaf_create(const struct cgroup *g, const char *name,
		   const struct cgroup_limits *l, struct err *e)
{
	char leaf[CGROUP_PATH], procs[CGROUP_PATH + 16];

	if (!leaf_path(g, name, leaf, sizeof(leaf)))
		return err_set(e, ERR_INTERNAL, "no control group for %s", name);
	if (mkdir(leaf, 0755) && errno != EEXIST)
		return err_sys(e, "%s", leaf);
	if (leaf_limit(g, leaf, l, e)) {
		rmdir(leaf);
		return -1;
	}
	leaf_remember(leaf, l);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", leaf);
	int fd = open(procs, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, "%s", procs) : fd;
}

bool
cgroup_leaf_had_oom(const struct cgroup *g, const char *name)
{
	char leaf[CGROUP_PATH], events[512];

	if (!leaf_path(g, name, leaf, sizeof(leaf)))
		return false;
	read_small(leaf, "memory.events", events, sizeof(events));
	const char *kills = strstr(events, "oom_kill ");

	return kills && strtoull(kills + strlen("oom_kill "), NULL, 10) > 0;
}

bool
cgroup_leaf_remove(const struct cgroup *g, const char *name)
{
	char leaf[CGROUP_PATH];

	if (!leaf_path(g, name, leaf, sizeof(leaf)) || !rmdir(leaf) || errno == ENOENT)
		return true;
	leaf_write(leaf, "cgroup.kill", "1", NULL);
	return !rmdir(leaf) || errno == ENOENT;
}

void
cgroup_leaves_restore(const struct cgroup *g)
{
	DIR *d = opendir(g->parent);
	struct dirent *ent;

	while (d && (ent = readdir(d))) {
		char leaf[CGROUP_PATH], text[96];
		struct cgroup_limits l;

		if (!leaf_path(g, ent->d_name, leaf, sizeof(leaf)))
			continue;
		ssize_t n = getxattr(leaf, LIMITS, text, sizeof(text) - 1);

		text[n > 0 ? n : 0] = '\0';
		if (sscanf(text, "%" SCNu64 " %" SCNu32 " %lf", &l.memory, &l.pids,
			   &l.cpus) == 3)
			leaf_limit(g, leaf, &l, NULL);
	}
	if (d)
		closedir(d);
}
