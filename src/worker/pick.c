#include "pick.h"

#include <stdio.h>
#include <string.h>

#include "slipway/mem.h"

#define HEADS "refs/heads/"
#define PREFIX_MIN 7

static bool
is_hex(const char *s, size_t min, size_t max)
{
	size_t n = strspn(s, "0123456789abcdefABCDEF");

	return !s[n] && n >= min && n <= max;
}

bool
pick_is_full_id(const char *s)
{
	return is_hex(s, GIT_OID_HEXSZ, GIT_OID_HEXSZ);
}

static bool
is_ref_name(const char *ref)
{
	int valid = 0;

	return strlen(ref) < PICK_REF_MAX &&
	       git_reference_name_is_valid(&valid, ref) == 0 && valid;
}

static int
check_name(const char *name, const char *what, struct err *e)
{
	cleanup_free char *ref = xasprintf(HEADS "%s", name);

	if (*name == '-' || !is_ref_name(ref))
		return err_set(e, ERR_INVALID, "not a name of a %s: %.200s", what,
			       name);
	return 0;
}

static bool
find(struct pick *p, const struct pick_source *src, const char *prefix,
     const char *name)
{
	snprintf(p->ref, sizeof(p->ref), "%s%s", prefix, name);
	if (src->find(src->arg, p->ref, &p->id))
		return true;
	p->ref[0] = '\0';
	return false;
}

static bool
find_name(struct pick *p, const struct pick_source *src, const char *name)
{
	if (!strncmp(name, "refs/", 5) || !strcmp(name, "HEAD"))
		return find(p, src, "", name);
	return find(p, src, HEADS, name) || find(p, src, "refs/tags/", name);
}

static void
set_branch(struct pick *p, const char *branch, const struct pick_source *src)
{
	if (*branch)
		STR_COPY(p->branch, branch);
	else if (!strncmp(p->ref, HEADS, strlen(HEADS)))
		STR_COPY(p->branch, p->ref + strlen(HEADS));
	else if (!strcmp(p->ref, "HEAD"))
		STR_COPY(p->branch, src->head);
}

int
pick_resolve(struct pick *p, const char *commit, const char *branch,
	     const struct pick_source *src, struct err *e)
{
	memset(p, 0, sizeof(*p));
	if ((*branch && check_name(branch, "branch", e)) ||
	    (*commit && check_name(commit, "commit, branch or tag", e)))
		return -1;
	if (pick_is_full_id(commit)) {
		git_oid at;

		git_oid_fromstr(&at, commit);
		if (*branch)
			find(p, src, HEADS, branch);
		STR_COPY(p->branch, branch);
		p->id = at;
		p->kind = PICK_ID;
		return 0;
	}
	if (*commit ? find_name(p, src, commit)
		    : *branch ? find(p, src, HEADS, branch) : find(p, src, "", "HEAD"))
		p->kind = PICK_REF;
	else
		p->kind = is_hex(commit, PREFIX_MIN, GIT_OID_HEXSZ - 1) ? PICK_PREFIX
									: PICK_NONE;
	set_branch(p, branch, src);
	return 0;
}
