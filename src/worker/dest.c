#include "dest.h"

#include <errno.h>
#include <git2/sys/repository.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "copy.h"
#include "gitdir.h"
#include "lg.h"
#include "lfs.h"
#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

static int
make_gitdir(const struct dest *d, const char *gitdir, struct err *e)
{
	char url[GITURL_MAX], hex[GIT_OID_HEXSZ + 1];
	cleanup_free char *ref = xasprintf("ref: refs/heads/%s", d->branch);
	struct gitdir g = { .origin = url };

	giturl_format(d->url, url);
	git_oid_tostr(hex, sizeof(hex), &d->commit);
	g.head = d->branch[0] ? ref : hex;
	g.branch = d->branch[0] ? d->branch : NULL;
	if (mkdir(d->path, 0755) &&
	    (errno != EEXIST ? err_sys(e, "%s", d->path)
			     : fs_remove_tree(gitdir, NULL, NULL, NULL, e)))
		return -1;
	return gitdir_create(gitdir, &g, e);
}

static void
add_ref(struct strbuf *b, const git_oid *id, const char *prefix, const char *name)
{
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), id);
	strbuf_addf(b, "%s %s%s\n", hex, prefix, name);
}

static int
add_refs(struct strbuf *b, const struct dest *d, const char *from, const char *to,
	 struct err *e)
{
	cleanup_git(reference_iterator) git_reference_iterator *it = NULL;
	cleanup_free char *glob = xasprintf("%s*", from);
	cleanup_free char *own = xasprintf("refs/heads/%s", d->branch);
	git_reference *ref;
	int rc = git_reference_iterator_glob_new(&it, d->src, glob);

	while (rc == 0 && (rc = git_reference_next(&ref, it)) == 0) {
		const char *name = git_reference_name(ref);

		/* The branch itself is written already, at the wanted commit. */
		if (git_reference_target(ref) && strcmp(name, own))
			add_ref(b, git_reference_target(ref), to, name + strlen(from));
		git_reference_free(ref);
	}
	return rc == GIT_ITEROVER ? 0 : lg_error(e, rc, "references");
}

static int
write_refs(const struct dest *d, const char *gitdir, struct err *e)
{
	cleanup_strbuf struct strbuf b = { 0 };

	if (d->branch[0]) {
		add_ref(&b, &d->commit, "refs/heads/", d->branch);
		add_ref(&b, &d->commit, "refs/remotes/origin/", d->branch);
	}
	if (d->depth == 0 &&
	    (add_refs(&b, d, "refs/heads/", "refs/remotes/origin/", e) ||
	     add_refs(&b, d, "refs/tags/", "refs/tags/", e)))
		return -1;
	return b.len ? gitdir_write(gitdir, "packed-refs", b.data, e) : 0;
}

/* A commit without parents is complete. */
static int
write_shallow(const struct dest *d, const char *gitdir, struct err *e)
{
	cleanup_git(commit) git_commit *c = NULL;
	char hex[GIT_OID_HEXSZ + 2];
	int rc = git_commit_lookup(&c, d->src, &d->commit);

	if (rc < 0)
		return lg_error(e, rc, "commit");
	if (!git_commit_parentcount(c))
		return 0;
	git_oid_tostr(hex, sizeof(hex), &d->commit);
	hex[GIT_OID_HEXSZ] = '\n';
	hex[GIT_OID_HEXSZ + 1] = '\0';
	return gitdir_write(gitdir, "shallow", hex, e);
}

static int
copy_objects(struct session *s, const struct dest *d, const char *gitdir, struct err *e)
{
	if (d->depth == 0)
		return copy_history(s, d->src, d->mirror, &d->commit, gitdir, e);
	if (write_shallow(d, gitdir, e))
		return -1;
	return copy_commit(s, d->src, &d->commit, gitdir, e);
}

/* What our own configuration says to a checkout is what holds without one, but libgit2
 * would look whether the file changed before each of its questions. */
static int
open_unconfigured(git_repository **repo, const char *path)
{
	cleanup_git(config) git_config *none = NULL;
	int rc = git_repository_open_ext(repo, path, GIT_REPOSITORY_OPEN_NO_SEARCH,
					 NULL);

	if (rc < 0 || (rc = git_config_new(&none)) < 0)
		return rc;
	return git_repository_set_config(*repo, none);
}

static int
write_files(struct session *s, const struct dest *d, struct err *e)
{
	cleanup_git(repository) git_repository *repo = NULL;
	cleanup_git(commit) git_commit *c = NULL;
	git_checkout_options co;
	char hex[8];
	int rc = open_unconfigured(&repo, d->path);

	git_checkout_options_init(&co, GIT_CHECKOUT_OPTIONS_VERSION);
	co.checkout_strategy = GIT_CHECKOUT_FORCE;
	co.disable_filters = 1;
	if (rc < 0 || (rc = git_commit_lookup(&c, repo, &d->commit)) < 0 ||
	    (rc = git_checkout_tree(repo, (git_object *)c, &co)) < 0)
		return lg_error(e, rc, "checkout");
	git_oid_tostr(hex, sizeof(hex), &d->commit);
	out_note(s->out, "HEAD is now at %s %s", hex,
		 git_commit_summary(c) ? git_commit_summary(c) : "");
	lfs_report(s, repo);
	return 0;
}

int
dest_create(struct session *s, const struct dest *d, struct err *e)
{
	cleanup_free char *gitdir = xasprintf("%s/.git", d->path);

	if (make_gitdir(d, gitdir, e) || copy_objects(s, d, gitdir, e) ||
	    write_refs(d, gitdir, e))
		goto failed;
	return write_files(s, d, e);
failed:
	/* An object that is not there is a fault of the source, not of the request. */
	if (e->code == ERR_NOT_FOUND)
		e->code = ERR_CORRUPT;
	return -1;
}
