/*
 * source: questions to a repository that is on this machine: a mirror or a local one.
 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "pick.h"
#include "session.h"

/* ERR_NOT_FOUND; ERR_DENIED when links lead out of the allowed directories. */
int source_open_local(const struct session *s, const struct giturl *u,
		      git_repository **repo, struct err *e);
int source_pick(git_repository *repo, const char *commit, const char *branch,
		struct pick *p, struct err *e);
bool source_find_nothing(void *arg, const char *ref, git_oid *id);
bool source_has_commit(git_repository *repo, const git_oid *id);
/* The commit of a pick, tags peeled. name is what was asked for, where is the
 * repository, both for the error. */
int source_find_commit(git_repository *repo, const struct pick *p, const char *name,
		       const char *where, git_oid *commit, struct err *e);
