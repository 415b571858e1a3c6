/*
 * pick: which commit a request means. Pure, apart from the look-up it is given.
 *
 * A full id is itself. A name is a full reference, else a branch, else a tag; without a
 * commit it is the branch's newest, or what the repository's HEAD points at.
 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "slipway/err.h"

#define PICK_REF_MAX 512

enum pick_kind {
	PICK_REF,    /* ref and id are set; the id may be a tag's */
	PICK_ID,     /* id is set; ref is where to look first, or "" */
	PICK_PREFIX, /* no such name, but it may be an abbreviated id */
	PICK_NONE
};

struct pick {
	enum pick_kind kind;
	char ref[PICK_REF_MAX];
	char branch[PICK_REF_MAX]; /* local branch to be on, "" = detached HEAD */
	git_oid id;
};

/* Does the repository have that reference? head: the branch its HEAD names, or "". */
struct pick_source {
	bool (*find)(void *arg, const char *ref, git_oid *id);
	void *arg;
	const char *head;
};

/* commit, branch: "" = not given. ERR_INVALID for names that git would refuse. */
int pick_resolve(struct pick *p, const char *commit, const char *branch,
		 const struct pick_source *src, struct err *e);
bool pick_is_full_id(const char *s);
