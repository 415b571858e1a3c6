#include "copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lg.h"
#include "oidset.h"
#include "packfile.h"
#include "slipway/mem.h"

#define DEPTH_MAX 256

struct walk {
	struct session *s;
	git_repository *src;
	struct oidset set; /* of trees and blobs, with their number of uses */
};

static int
count_file(struct session *s, struct err *e)
{
	if (++s->files <= s->task->max_objects)
		return 0;
	return err_set(e, ERR_TOO_LARGE, "the tree has more than %llu files",
		       (unsigned long long)s->task->max_objects);
}

static int
count_bytes(struct session *s, uint64_t size, uint32_t uses, struct err *e)
{
	uint64_t max = s->task->max_bytes * SESSION_TREE_FACTOR;
	uint64_t total;

	if (!__builtin_mul_overflow(size, (uint64_t)uses, &total) &&
	    !__builtin_add_overflow(s->bytes, total, &s->bytes) && s->bytes <= max)
		return 0;
	return err_set(e, ERR_TOO_LARGE, "the files of the tree are larger than %llu "
		       "bytes", (unsigned long long)max);
}

/* Trees that occur again are walked again: each of their files will be written. */
static int
walk_tree(struct walk *w, const git_oid *id, unsigned depth, struct err *e)
{
	cleanup_git(tree) git_tree *tree = NULL;
	int rc = git_tree_lookup(&tree, w->src, id);

	if (rc < 0)
		return lg_error(e, rc, "tree");
	if (depth > DEPTH_MAX)
		return err_set(e, ERR_TOO_LARGE, "the tree is deeper than %d",
			       DEPTH_MAX);
	if (oidset_add(&w->set, id, GIT_OBJECT_TREE, e))
		return -1;
	for (size_t i = 0, n = git_tree_entrycount(tree); i < n; i++) {
		const git_tree_entry *entry = git_tree_entry_byindex(tree, i);
		git_object_t type = git_tree_entry_type(entry);
		const git_oid *at = git_tree_entry_id(entry);

		if (count_file(w->s, e))
			return -1;
		if (type == GIT_OBJECT_TREE) {
			if (walk_tree(w, at, depth + 1, e))
				return -1;
		} else if (type == GIT_OBJECT_BLOB &&
			   oidset_add(&w->set, at, GIT_OBJECT_BLOB, e)) {
			return -1;
		}
	}
	return 0;
}

static int
walk_commit(struct walk *w, const git_oid *id, struct err *e)
{
	cleanup_git(commit) git_commit *commit = NULL;
	int rc = git_commit_lookup(&commit, w->src, id);

	if (rc < 0)
		return lg_error(e, rc, "commit");
	return walk_tree(w, git_commit_tree_id(commit), 0, e);
}

static int
pack_object(struct walk *w, git_odb *odb, struct packfile *p,
	    const struct oidset_item *o, struct err *e)
{
	cleanup_git(odb_object) git_odb_object *raw = NULL;
	int rc = git_odb_read(&raw, odb, &o->id);

	if (rc < 0)
		return lg_error(e, rc, "object");
	if (git_odb_object_type(raw) != o->type)
		return err_set(e, ERR_CORRUPT, "an object of another type than its "
			       "tree says");
	if (o->type == GIT_OBJECT_BLOB &&
	    count_bytes(w->s, git_odb_object_size(raw), o->uses, e))
		return -1;
	return packfile_add(p, &o->id, o->type, git_odb_object_data(raw),
			    git_odb_object_size(raw), e);
}

static int
pack_all(struct walk *w, const git_oid *commit, const char *gitdir, struct err *e)
{
	cleanup_free char *dir = xasprintf("%s/objects/pack", gitdir);
	struct oidset_item top = { .id = *commit, .type = GIT_OBJECT_COMMIT };
	cleanup_git(odb) git_odb *odb = NULL;
	struct packfile *p;
	int rc = git_repository_odb(&odb, w->src);

	if (rc < 0)
		return lg_error(e, rc, "objects");
	p = packfile_new(dir, commit, w->set.n + 1, e);
	if (!p)
		return -1;
	rc = pack_object(w, odb, p, &top, e);
	for (uint32_t i = 0; !rc && i < w->set.n; i++)
		rc = pack_object(w, odb, p, &w->set.items[i], e);
	if (!rc)
		rc = packfile_finish(p, e);
	packfile_free(p);
	return rc;
}

int
copy_commit(struct session *s, git_repository *src, const git_oid *commit,
	    const char *gitdir, struct err *e)
{
	struct walk w = { .s = s, .src = src };
	int rc = walk_commit(&w, commit, e) || pack_all(&w, commit, gitdir, e) ? -1 : 0;

	oidset_free(&w.set);
	return rc;
}

/* The whole history is copied without looking at every object; only what will be
 * checked out is measured. */
static int
measure(struct session *s, git_repository *src, const git_oid *commit, struct err *e)
{
	struct walk w = { .s = s, .src = src };
	cleanup_git(odb) git_odb *odb = NULL;
	int rc = git_repository_odb(&odb, src);

	if (rc < 0)
		return lg_error(e, rc, "objects");
	rc = walk_commit(&w, commit, e);
	for (uint32_t i = 0; !rc && i < w.set.n; i++) {
		const struct oidset_item *o = &w.set.items[i];
		git_object_t type;
		size_t size;

		if (o->type != GIT_OBJECT_BLOB)
			continue;
		rc = git_odb_read_header(&size, &type, odb, &o->id);
		rc = rc < 0 ? lg_error(e, rc, "object")
			    : count_bytes(s, size, o->uses, e);
	}
	oidset_free(&w.set);
	return rc;
}

static int
copy_bytes(int from, int to, const char *path, struct err *e)
{
	for (;;) {
		ssize_t n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0);

		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_sys(e, "%s", path);
	}
}

static int
copy_file(int from_dir, int to_dir, const char *name, struct err *e)
{
	cleanup_close int from = openat(from_dir, name, O_RDONLY | O_CLOEXEC |
					O_NOFOLLOW);
	cleanup_close int to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL |
				      O_CLOEXEC, 0444);

	if (from < 0 || to < 0)
		return err_sys(e, "%s", name);
	return copy_bytes(from, to, name, e);
}

static bool
is_pack(const char *name)
{
	const char *dot = strrchr(name, '.');

	return !strncmp(name, "pack-", 5) && dot &&
	       (!strcmp(dot, ".pack") || !strcmp(dot, ".idx"));
}

static int
copy_packs(const char *mirror, const char *gitdir, struct err *e)
{
	cleanup_free char *from = xasprintf("%s/objects/pack", mirror);
	cleanup_free char *to = xasprintf("%s/objects/pack", gitdir);
	cleanup_close int to_dir = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = opendir(from);
	struct dirent *ent;
	int rc = 0;

	if (!d)
		return err_sys(e, "%s", from);
	if (to_dir < 0)
		rc = err_sys(e, "%s", to);
	while (!rc && (ent = readdir(d)))
		if (is_pack(ent->d_name))
			rc = copy_file(dirfd(d), to_dir, ent->d_name, e);
	closedir(d);
	return rc;
}

/* Annotated tags are objects of their own that no commit leads to. */
static int
insert_tags(git_repository *src, git_packbuilder *pb, struct err *e)
{
	cleanup_git(reference_iterator) git_reference_iterator *it = NULL;
	git_reference *ref;
	int rc = git_reference_iterator_glob_new(&it, src, "refs/tags/*");

	while (rc == 0 && (rc = git_reference_next(&ref, it)) == 0) {
		const git_oid *id = git_reference_target(ref);

		if (id)
			rc = git_packbuilder_insert(pb, id, NULL);
		git_reference_free(ref);
	}
	return rc == GIT_ITEROVER ? 0 : lg_error(e, rc, "tags");
}

static int
pack_history(git_repository *src, const git_oid *commit, const char *gitdir,
	     struct err *e)
{
	cleanup_free char *dir = xasprintf("%s/objects/pack", gitdir);
	cleanup_git(packbuilder) git_packbuilder *pb = NULL;
	cleanup_git(revwalk) git_revwalk *walk = NULL;
	int rc;

	if ((rc = git_revwalk_new(&walk, src)) < 0 ||
	    (rc = git_revwalk_push(walk, commit)) < 0 ||
	    (rc = git_revwalk_push_glob(walk, "refs/heads/*")) < 0 ||
	    (rc = git_revwalk_push_glob(walk, "refs/tags/*")) < 0 ||
	    (rc = git_packbuilder_new(&pb, src)) < 0 ||
	    (rc = git_packbuilder_insert_walk(pb, walk)) < 0)
		return lg_error(e, rc, "history");
	if (insert_tags(src, pb, e))
		return -1;
	rc = git_packbuilder_write(pb, dir, 0444, NULL, NULL);
	return rc < 0 ? lg_error(e, rc, "history") : 0;
}

int
copy_history(struct session *s, git_repository *src, const char *mirror,
	     const git_oid *commit, const char *gitdir, struct err *e)
{
	if (measure(s, src, commit, e))
		return -1;
	return mirror ? copy_packs(mirror, gitdir, e)
		      : pack_history(src, commit, gitdir, e);
}
