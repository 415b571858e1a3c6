/*
 * lfs: tells when a checkout holds Git LFS pointers instead of the files.
 */
#pragma once

#include <git2.h>

#include "session.h"

/* Notes only, never an error. repo has its index. */
void lfs_report(struct session *s, git_repository *repo);
