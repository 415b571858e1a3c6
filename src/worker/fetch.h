/*
 * fetch: a repository's commit, from wherever it is, into a directory.
 */
#pragma once

#include "session.h"

/* The task of s. sha is the commit that was checked out. */
int fetch_run(struct session *s, char sha[WORKER_SHA_LEN + 1], struct err *e);
