#include "status_cache.h"

#include <string.h>
#include <sys/queue.h>
#include <uthash.h>

#include "slipway/mem.h"

#define TOTAL_MAX (4u << 20)
#define ANSWER_MAX (64u << 10)

struct entry {
	UT_hash_handle hh;
	TAILQ_ENTRY(entry) link; /* the last one used is the first */
	struct status_answer answer;
	size_t size;
	char *base;
	char id[];
};

struct status_cache {
	struct entry *entries;
	TAILQ_HEAD(entries, entry) used;
	size_t total;
};

struct status_cache *
status_cache_new(void)
{
	struct status_cache *c = xcalloc(1, sizeof(*c));

	TAILQ_INIT(&c->used);
	return c;
}

static void
entry_drop(struct status_cache *c, struct entry *e)
{
	HASH_DEL(c->entries, e);
	TAILQ_REMOVE(&c->used, e, link);
	c->total -= e->size;
	free(e->base);
	free((void *)(uintptr_t)e->answer.body);
	free(e);
}

void
status_cache_free(struct status_cache *c)
{
	struct entry *e;

	if (!c)
		return;
	while ((e = TAILQ_FIRST(&c->used)))
		entry_drop(c, e);
	free(c);
}

struct status_answer *
status_cache_get(struct status_cache *c, const char *id, const char *base)
{
	struct entry *e;

	HASH_FIND_STR(c->entries, id, e);
	if (!e || strcmp(e->base, base) != 0)
		return NULL;
	TAILQ_REMOVE(&c->used, e, link);
	TAILQ_INSERT_HEAD(&c->used, e, link);
	return &e->answer;
}

void
status_cache_put(struct status_cache *c, const char *id, const char *base,
		 const struct status_answer *a)
{
	size_t len = strlen(id) + 1;
	struct entry *e;

	HASH_FIND_STR(c->entries, id, e);
	if (e)
		entry_drop(c, e);
	if (a->len > ANSWER_MAX)
		return;
	e = xcalloc(1, sizeof(*e) + len);
	memcpy(e->id, id, len);
	e->base = xstrdup(base);
	e->answer = *a;
	e->answer.body = xmemdup(a->body, a->len);
	e->size = sizeof(*e) + len + strlen(base) + 1 + a->len;
	HASH_ADD_STR(c->entries, id, e);
	TAILQ_INSERT_HEAD(&c->used, e, link);
	c->total += e->size;
	while (c->total > TOTAL_MAX)
		entry_drop(c, TAILQ_LAST(&c->used, entries));
}
