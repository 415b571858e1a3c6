/*
 * oidset: object ids in order of their first addition, and how often each was added.
 */
#pragma once

#include <git2.h>
#include <stdint.h>

#include "slipway/err.h"

struct oidset_item {
	git_oid id;
	git_object_t type;
	uint32_t uses;
};

struct oidset {
	struct oidset_item *items;
	uint32_t n, cap;
	uint32_t *slots; /* open addressing: number of the item, plus one */
	uint32_t nslots;
};

/* ERR_TOO_LARGE when memory is out, ERR_CORRUPT when the type changed. */
int oidset_add(struct oidset *s, const git_oid *id, git_object_t type, struct err *e);
void oidset_free(struct oidset *s);
