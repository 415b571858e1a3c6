#include "lfs.h"

#include <stdbool.h>
#include <string.h>

#include "lg.h"

#define NOTES_MAX 10
#define POINTER_MIN 100
#define POINTER_MAX 1024

static bool
blob_has(git_repository *repo, const git_oid *id, const char *text, bool at_start)
{
	cleanup_git(blob) git_blob *blob = NULL;
	size_t len = strlen(text), size;
	const void *data;

	if (git_blob_lookup(&blob, repo, id))
		return false;
	data = git_blob_rawcontent(blob);
	size = (size_t)git_blob_rawsize(blob);
	if (at_start)
		return size >= len && !memcmp(data, text, len);
	return memmem(data, size, text, len) != NULL;
}

static bool
is_attributes(const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(slash ? slash + 1 : path, ".gitattributes");
}

/* Looking into every small file is for repositories that say they use LFS. */
static bool
uses_lfs(git_repository *repo, git_index *index)
{
	for (size_t i = 0, n = git_index_entrycount(index); i < n; i++) {
		const git_index_entry *at = git_index_get_byindex(index, i);

		if (is_attributes(at->path) &&
		    blob_has(repo, &at->id, "filter=lfs", false))
			return true;
	}
	return false;
}

void
lfs_report(struct session *s, git_repository *repo)
{
	cleanup_git(index) git_index *index = NULL;
	unsigned found = 0;

	if (git_repository_index(&index, repo) || !uses_lfs(repo, index))
		return;
	for (size_t i = 0, n = git_index_entrycount(index); i < n; i++) {
		const git_index_entry *at = git_index_get_byindex(index, i);

		if ((at->mode & 0170000) != 0100000 || at->file_size < POINTER_MIN ||
		    at->file_size > POINTER_MAX ||
		    !blob_has(repo, &at->id, "version https://git-lfs.github.com/spec/",
			      true))
			continue;
		if (found++ < NOTES_MAX)
			out_warn(s->out, "LFS file not fetched: %s", at->path);
	}
	if (found > NOTES_MAX)
		out_warn(s->out, "LFS files not fetched: %u more", found - NOTES_MAX);
}
