/*
 * fetch_repository(), for the task's repository and then for each submodule:
 *
 *   local     source_open_local(): the repository is its own mirror
 *   remote    a commit id that the mirror has: read it, no network
 *             else lock the mirror, fetch, choose, share the lock
 *   both      dest_create()
 *
 * A damaged mirror is thrown away and fetched again, once.
 */
#include "fetch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dest.h"
#include "gitdir.h"
#include "lg.h"
#include "mirror.h"
#include "pick.h"
#include "remote.h"
#include "remote_auth.h"
#include "slipway/fs.h"
#include "slipway/mem.h"
#include "source.h"
#include "submodule.h"

#define LEVELS_MAX 8
#define REPOSITORIES_MAX 256

struct fetch {
	struct session *s;
	const struct giturl *url;
	char text[GITURL_MAX]; /* url, for people */
	const char *commit, *branch, *dest;
	unsigned level;
	char sha[WORKER_SHA_LEN + 1];
};

/* The request's name is known; make sure that it is a commit, and check it out. */
static int
finish(struct fetch *f, git_repository *src, const char *mirror,
       const struct pick *pick, struct err *e)
{
	struct dest d = { .path = f->dest, .url = f->url, .src = src, .mirror = mirror,
			  .branch = pick->branch, .depth = f->s->task->depth };

	if (source_find_commit(src, pick, f->commit, f->text, &d.commit, e))
		return -1;
	git_oid_tostr(f->sha, sizeof(f->sha), &d.commit);
	if (pick->kind == PICK_REF)
		out_note(f->s->out, "%s -> %s", pick->branch[0] && !*f->commit
			 ? pick->branch : *f->commit ? f->commit : "HEAD", f->sha);
	return dest_create(f->s, &d, e);
}

static int
fetch_local(struct fetch *f, struct err *e)
{
	cleanup_git(repository) git_repository *repo = NULL;
	struct pick pick;

	out_note(f->s->out, "Cloning %s", f->text);
	if (source_open_local(f->s, f->url, &repo, e) ||
	    source_pick(repo, f->commit, f->branch, &pick, e))
		return -1;
	return finish(f, repo, NULL, &pick, e);
}

static int
open_mirror(const struct mirror *m, git_repository **repo, struct err *e)
{
	int rc = git_repository_open_bare(repo, m->path);

	if (rc >= 0)
		return 0;
	lg_error(e, rc, "mirror");
	/* mirror_exists() was asked before. */
	if (e->code == ERR_NOT_FOUND)
		e->code = ERR_CORRUPT;
	return -1;
}

/* Opens the mirror when it has the commit that is asked for, so that no server needs to
 * be asked. A lock is held. */
static int
open_if_there(struct fetch *f, struct mirror *m, struct pick *pick,
	      git_repository **repo, struct err *e)
{
	static const struct pick_source none = { .find = source_find_nothing,
						 .head = "" };

	if (!mirror_exists(m))
		return 0;
	if (pick_resolve(pick, f->commit, f->branch, &none, e) ||
	    open_mirror(m, repo, e))
		return -1;
	if (!source_has_commit(*repo, &pick->id))
		git_repository_free(STEAL(*repo));
	return 0;
}

static int
start_network(struct fetch *f, struct mirror *m, struct err *e)
{
	const char *known = remote_auth_known_hosts(f->s, f->url);
	char home[PATH_MAX];
	bool has_home = f->url->scheme == GITURL_SSH && *known;

	if (has_home && mirror_write_known_hosts(m, known, home, e))
		return -1;
	return lg_reinit(has_home ? home : NULL, e);
}

/* Under the exclusive lock. */
static int
fetch_into(struct fetch *f, struct mirror *m, struct pick *pick, git_repository **repo,
	   struct err *e)
{
	struct remote_want want = { .commit = f->commit, .branch = f->branch,
				    .everything = f->s->task->depth == 0 };
	bool fresh;

	if (mirror_begin(m, &fresh, e))
		return -1;
	out_note(f->s->out, fresh ? "Cloning %s" : "Fetching %s", f->text);
	if (start_network(f, m, e) || open_mirror(m, repo, e) ||
	    remote_fetch(f->s, f->url, *repo, &want, pick, e)) {
		if (fresh)
			mirror_wipe(m, NULL);
		return -1;
	}
	mirror_end(m);
	return 0;
}

static int
fetch_mirrored_once(struct fetch *f, struct mirror *m, struct err *e)
{
	cleanup_git(repository) git_repository *repo = NULL;
	bool by_id = f->s->task->depth == 1 && pick_is_full_id(f->commit);
	struct pick pick;

	/* Again after waiting for the second lock: somebody may have fetched it. */
	for (int exclusive = 0; exclusive < 2 && !repo; exclusive++)
		if ((by_id || exclusive) &&
		    (mirror_lock(m, exclusive, e) ||
		     (by_id && open_if_there(f, m, &pick, &repo, e))))
			return -1;
	if (!repo && (fetch_into(f, m, &pick, &repo, e) || mirror_lock(m, false, e)))
		return -1;
	return finish(f, repo, m->path, &pick, e);
}

static int
fetch_mirrored(struct fetch *f, struct err *e)
{
	struct mirror m;
	struct session before = *f->s;
	int rc;

	if (mirror_open(&m, f->s->task->mirrors, f->url, e))
		return -1;
	rc = fetch_mirrored_once(f, &m, e);
	if (rc && e->code == ERR_CORRUPT) {
		out_warn(f->s->out, "The mirror is damaged (%s), fetching it again",
			 e->msg);
		memset(e, 0, sizeof(*e));
		f->s->files = before.files;
		f->s->bytes = before.bytes;
		rc = mirror_lock(&m, true, e) || mirror_wipe(&m, e)
		     ? -1 : fetch_mirrored_once(f, &m, e);
	}
	mirror_close(&m);
	return rc;
}

static int fetch_repository(struct fetch *f, struct err *e);

static int
fetch_submodule(struct fetch *f, const struct submodule *sub, struct err *e)
{
	cleanup_free char *dest = xasprintf("%s/%s", f->dest, sub->path);
	cleanup_free char *gitdir = xasprintf("%s/.git", f->dest);
	struct giturl url;
	struct fetch inner = { .s = f->s, .url = &url, .commit = sub->commit,
			       .branch = "", .dest = dest, .level = f->level + 1 };

	if (giturl_resolve(f->url, sub->url, &url, e))
		return -1;
	/* A repository from elsewhere must not pick what lies on this machine. */
	if (url.scheme == GITURL_LOCAL && f->url->scheme != GITURL_LOCAL)
		return err_set(e, ERR_DENIED, "a local path in a remote repository");
	giturl_format(&url, inner.text);
	if (submodule_check_path(f->dest, sub->path, e) ||
	    gitdir_add_submodule(gitdir, sub->name, inner.text, e) ||
	    fetch_repository(&inner, e))
		return -1;
	out_note(f->s->out, "Submodule path '%s': checked out '%s'", sub->path,
		 sub->commit);
	return 0;
}

static int
fetch_submodules(struct fetch *f, struct err *e)
{
	struct submodules list;
	int rc = submodules_list(f->dest, &list, e);

	if (!rc && list.n && f->level == LEVELS_MAX)
		rc = err_set(e, ERR_TOO_LARGE, "submodules are nested deeper than %d",
			     LEVELS_MAX);
	for (size_t i = 0; !rc && i < list.n; i++) {
		rc = fetch_submodule(f, &list.v[i], e);
		if (rc)
			err_wrap(e, "submodule %s", list.v[i].path);
	}
	submodules_free(&list);
	return rc;
}

static int
fetch_repository(struct fetch *f, struct err *e)
{
	if (++f->s->repositories > REPOSITORIES_MAX)
		return err_set(e, ERR_TOO_LARGE, "more than %d submodules in all",
			       REPOSITORIES_MAX);
	if (giturl_check(f->url, &f->s->policy, e))
		return -1;
	if (f->url->scheme == GITURL_LOCAL ? fetch_local(f, e) : fetch_mirrored(f, e))
		return -1;
	return f->s->task->submodules ? fetch_submodules(f, e) : 0;
}

int
fetch_run(struct session *s, char sha[WORKER_SHA_LEN + 1], struct err *e)
{
	const struct worker_fetch *t = s->task;
	struct giturl url;
	struct fetch f = { .s = s, .url = &url, .commit = t->commit,
			   .branch = t->branch, .dest = t->dest };

	if (giturl_parse(t->url, &url, e))
		return -1;
	giturl_format(&url, f.text);
	if (fetch_repository(&f, e))
		return -1;
	memcpy(sha, f.sha, WORKER_SHA_LEN + 1);
	return 0;
}
