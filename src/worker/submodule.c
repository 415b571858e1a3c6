#include "submodule.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lg.h"
#include "slipway/mem.h"

#define SUBMODULES_MAX 256

static struct submodule *
find_path(struct submodules *m, const char *path)
{
	for (size_t i = 0; i < m->n; i++)
		if (!strcmp(m->v[i].path, path))
			return &m->v[i];
	return NULL;
}

static int
list_commits(git_index *index, struct submodules *m, struct err *e)
{
	for (size_t i = 0, n = git_index_entrycount(index); i < n; i++) {
		const git_index_entry *at = git_index_get_byindex(index, i);
		struct submodule *sub;

		if (at->mode != GIT_FILEMODE_COMMIT)
			continue;
		if (m->n == SUBMODULES_MAX)
			return err_set(e, ERR_TOO_LARGE, "more than %d submodules",
				       SUBMODULES_MAX);
		m->v = xreallocarray(m->v, m->n + 1, sizeof(*m->v));
		sub = &m->v[m->n++];
		*sub = (struct submodule){ .path = xstrdup(at->path) };
		git_oid_tostr(sub->commit, sizeof(sub->commit), &at->id);
	}
	return 0;
}

/* "submodule.<name>.path" gives the name of a path ... */
static int
on_path_entry(const git_config_entry *entry, void *arg)
{
	struct submodule *sub = entry->value ? find_path(arg, entry->value) : NULL;
	size_t len = strlen(entry->name);

	if (sub && !sub->name)
		sub->name = xstrndup(entry->name + 10, len - 10 - 5);
	return 0;
}

/* ... and "submodule.<name>.url" the URL of a name. */
static int
on_url_entry(const git_config_entry *entry, void *arg)
{
	struct submodules *m = arg;
	size_t len = strlen(entry->name) - 10 - 4;

	for (size_t i = 0; i < m->n; i++) {
		struct submodule *sub = &m->v[i];

		if (entry->value && sub->name && !sub->url &&
		    strlen(sub->name) == len &&
		    !strncmp(entry->name + 10, sub->name, len))
			sub->url = xstrdup(entry->value);
	}
	return 0;
}

static int
read_urls(const char *path, git_index *index, struct submodules *m, struct err *e)
{
	cleanup_free char *file = xasprintf("%s/.gitmodules", path);
	const git_index_entry *at = git_index_get_bypath(index, ".gitmodules", 0);
	cleanup_git(config) git_config *cfg = NULL;
	int rc;

	if (!at || (at->mode & 0170000) != 0100000)
		return err_set(e, ERR_NOT_FOUND, "the repository has submodules but no "
			       ".gitmodules");
	if ((rc = git_config_open_ondisk(&cfg, file)) < 0 ||
	    (rc = git_config_foreach_match(cfg, "^submodule\\..*\\.path$",
					   on_path_entry, m)) < 0 ||
	    (rc = git_config_foreach_match(cfg, "^submodule\\..*\\.url$", on_url_entry,
					   m)) < 0)
		return lg_error(e, rc, ".gitmodules");
	for (size_t i = 0; i < m->n; i++)
		if (!m->v[i].url || strpbrk(m->v[i].name, "\n\r"))
			return err_set(e, ERR_NOT_FOUND, ".gitmodules has no URL for "
				       "the submodule %s", m->v[i].path);
	return 0;
}

int
submodules_list(const char *path, struct submodules *out, struct err *e)
{
	cleanup_git(repository) git_repository *repo = NULL;
	cleanup_git(index) git_index *index = NULL;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = git_repository_open_ext(&repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	if (rc < 0 || (rc = git_repository_index(&index, repo)) < 0)
		return lg_error(e, rc, "submodules");
	if (list_commits(index, out, e) ||
	    (out->n && read_urls(path, index, out, e))) {
		submodules_free(out);
		return -1;
	}
	return 0;
}

void
submodules_free(struct submodules *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].name);
		free(m->v[i].path);
		free(m->v[i].url);
	}
	free(m->v);
	memset(m, 0, sizeof(*m));
}

int
submodule_check_path(const char *path, const char *sub, struct err *e)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	cleanup_close int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int fd = -1;

	if (dir >= 0)
		fd = (int)syscall(SYS_openat2, dir, sub, &how, sizeof(how));
	return fd < 0 ? err_sys(e, "submodule %s", sub) : 0;
}
