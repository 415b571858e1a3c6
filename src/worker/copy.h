/*
 * copy: brings objects from a mirror or a local repository into a checkout's own
 * repository. Copied, never linked or borrowed: a job could write through to the
 * source.
 *
 * Also the place where a tree is measured: the limits hold before anything is written
 * into the workspace, and small packs that unfold into huge trees are caught here.
 */
#pragma once

#include <git2.h>

#include "session.h"

/* That commit and its tree, no parents; gitdir/objects exists. */
int copy_commit(struct session *s, git_repository *src, const git_oid *commit,
		const char *gitdir, struct err *e);
/* All of its history, and that of every branch and tag of src. mirror: src's directory
 * when whole packs may be copied, else NULL. */
int copy_history(struct session *s, git_repository *src, const char *mirror,
		 const git_oid *commit, const char *gitdir, struct err *e);
