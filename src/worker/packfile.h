/*
 * packfile: writes a pack and its index, without deltas.
 *
 * libgit2's own pack builder searches for deltas and then reads the result again to
 * index it; a pack that lives as long as one job is better written once and quickly.
 */
#pragma once

#include <git2.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"

struct packfile;

/* In dir (".../objects/pack"), named after a commit; exactly count objects will be
 * added, each once. */
struct packfile *packfile_new(const char *dir, const git_oid *commit, uint32_t count,
			      struct err *e);
int packfile_add(struct packfile *p, const git_oid *id, git_object_t type,
		 const void *data, size_t len, struct err *e);
/* Write the index: without one a pack is not there. */
int packfile_finish(struct packfile *p, struct err *e);
/* Removes what was not finished. NULL is fine. */
void packfile_free(struct packfile *p);
