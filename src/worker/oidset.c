#include "oidset.h"

#include <stdlib.h>
#include <string.h>

#define FIRST 64

/* Ids are hashes already. */
static uint32_t
start_slot(const struct oidset *s, const git_oid *id)
{
	uint32_t v;

	memcpy(&v, id->id, sizeof(v));
	return v & (s->nslots - 1);
}

static uint32_t *
find_slot(struct oidset *s, const git_oid *id)
{
	uint32_t at = start_slot(s, id);

	while (s->slots[at] && git_oid_cmp(&s->items[s->slots[at] - 1].id, id))
		at = (at + 1) & (s->nslots - 1);
	return &s->slots[at];
}

/* At most half of the slots are used. */
static int
grow(struct oidset *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : FIRST;
	struct oidset_item *items = reallocarray(s->items, cap, sizeof(*items));
	uint32_t *slots;

	if (!items)
		return -1;
	s->items = items;
	slots = calloc((size_t)cap * 2, sizeof(*slots));
	if (!slots)
		return -1;
	free(s->slots);
	s->slots = slots;
	s->nslots = cap * 2;
	s->cap = cap;
	for (uint32_t i = 0; i < s->n; i++)
		*find_slot(s, &s->items[i].id) = i + 1;
	return 0;
}

int
oidset_add(struct oidset *s, const git_oid *id, git_object_t type, struct err *e)
{
	uint32_t *slot;

	if (s->n == s->cap && (s->cap > UINT32_MAX / 8 || grow(s)))
		return err_set(e, ERR_TOO_LARGE, "the tree needs too much memory");
	slot = find_slot(s, id);
	if (!*slot) {
		s->items[s->n] = (struct oidset_item){ .id = *id, .type = type };
		*slot = ++s->n;
	}
	if (s->items[*slot - 1].type != type)
		return err_set(e, ERR_CORRUPT, "an object is both tree and file");
	s->items[*slot - 1].uses++;
	return 0;
}

void
oidset_free(struct oidset *s)
{
	free(s->items);
	free(s->slots);
	memset(s, 0, sizeof(*s));
}
