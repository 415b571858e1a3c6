#include "source.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "lg.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

/* The configured directories may contain links themselves. */
static bool
is_in_roots(const struct session *s, const char *real)
{
	for (size_t i = 0; i < s->policy.nroots; i++) {
		cleanup_free char *root = realpath(s->policy.roots[i], NULL);

		if (root && fs_is_inside(root, real))
			return true;
	}
	return false;
}

static int
check_real_path(const struct session *s, const char *path, const char *shown,
		struct err *e)
{
	cleanup_free char *real = realpath(path, NULL);

	if (!real && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, ERR_NOT_FOUND, "%s: no such repository", shown);
	if (!real && errno == EACCES)
		return err_set(e, ERR_DENIED, "%s: the jobs' user may not read it",
			       shown);
	if (!real)
		return err_sys(e, "%s", shown);
	if (!is_in_roots(s, real))
		return err_set(e, ERR_DENIED, "%s: leads out of git.local_roots",
			       shown);
	return 0;
}

/* As git does, "name" also finds "name.git". */
static int
open_path(const char *path, git_repository **repo)
{
	cleanup_free char *dotgit = xasprintf("%s.git", path);
	int rc = git_repository_open_ext(repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH,
					 NULL);

	if (rc == GIT_ENOTFOUND)
		rc = git_repository_open_ext(repo, dotgit,
					     GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
	return rc;
}

int
source_open_local(const struct session *s, const struct giturl *u,
		  git_repository **repo, struct err *e)
{
	int rc = open_path(u->path, repo);

	if (rc == GIT_ENOTFOUND) {
		if (check_real_path(s, u->path, u->path, e))
			return -1;
		return err_set(e, ERR_NOT_FOUND, "%s: not a git repository", u->path);
	}
	if (rc < 0)
		return lg_error(e, rc, "%s", u->path);
	return check_real_path(s, git_repository_commondir(*repo), u->path, e);
}

static bool
on_find_reference(void *arg, const char *ref, git_oid *id)
{
	return git_reference_name_to_id(id, arg, ref) == 0;
}

bool
source_find_nothing(void *arg, const char *ref, git_oid *id)
{
	return false;
}

int
source_pick(git_repository *repo, const char *commit, const char *branch,
	    struct pick *p, struct err *e)
{
	cleanup_git(reference) git_reference *head = NULL;
	struct pick_source src = { .find = on_find_reference, .arg = repo, .head = "" };

	if (!git_reference_lookup(&head, repo, "HEAD") &&
	    git_reference_type(head) == GIT_REFERENCE_SYMBOLIC &&
	    !strncmp(git_reference_symbolic_target(head), "refs/heads/", 11))
		src.head = git_reference_symbolic_target(head) + 11;
	return pick_resolve(p, commit, branch, &src, e);
}

bool
source_has_commit(git_repository *repo, const git_oid *id)
{
	cleanup_git(commit) git_commit *c = NULL;

	return git_commit_lookup(&c, repo, id) == 0;
}

static int
look_up(git_repository *repo, const struct pick *p, const char *name, git_object **out)
{
	git_oid prefix;

	if (p->kind != PICK_PREFIX)
		return git_object_lookup(out, repo, &p->id, GIT_OBJECT_ANY);
	git_oid_fromstrp(&prefix, name);
	return git_object_lookup_prefix(out, repo, &prefix, strlen(name),
					GIT_OBJECT_ANY);
}

int
source_find_commit(git_repository *repo, const struct pick *p, const char *name,
		   const char *where, git_oid *commit, struct err *e)
{
	cleanup_git(object) git_object *found = NULL, *peeled = NULL;
	const char *shown = *name ? name : p->branch[0] ? p->branch : "HEAD";
	int rc = GIT_ENOTFOUND;

	if (p->kind != PICK_NONE)
		rc = look_up(repo, p, name, &found);
	if (rc == GIT_EAMBIGUOUS)
		return err_set(e, ERR_INVALID, "%s is ambiguous in %s", shown, where);
	if (rc == GIT_ENOTFOUND) {
		/* An advertised id that is missing after the fetch is damage. */
		if (p->kind == PICK_REF)
			return err_set(e, ERR_CORRUPT, "%s: %s is missing", where,
				       shown);
		return err_set(e, ERR_NOT_FOUND, "no commit, branch or tag %s in %s",
			       shown, where);
	}
	if (rc < 0)
		return lg_error(e, rc, "%s", shown);
	rc = git_object_peel(&peeled, found, GIT_OBJECT_COMMIT);
	if (rc < 0)
		return err_set(e, ERR_NOT_FOUND, "%s is not a commit in %s", shown,
			       where);
	*commit = *git_object_id(peeled);
	return 0;
}
