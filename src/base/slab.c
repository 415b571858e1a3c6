#include "slipway/slab.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>

#include "slipway/log.h"
#include "slipway/mem.h"

/*
 * Blocks are aligned to their size, so an object's address tells its block. Those with
 * room stand first in the list.
 */

#define BLOCK (64u << 10)

/* An object whose page is gone is seen by the sanitizer, one in a free list is not. */
#ifdef __SANITIZE_ADDRESS__
#define PER_BLOCK(size) 1
#else
#define PER_BLOCK(size) ((BLOCK - sizeof(struct block)) / (size))
#endif

struct hole {
	struct hole *next;
};

struct block {
	TAILQ_ENTRY(block) link;
	struct hole *holes;
	size_t used;
	_Alignas(max_align_t) char objects[];
};

struct slab {
	size_t size, per_block;
	TAILQ_HEAD(, block) blocks;
};

struct slab *
slab_new(size_t size)
{
	struct slab *s = xcalloc(1, sizeof(*s));
	size_t align = _Alignof(max_align_t);

	s->size = (size + align - 1) / align * align;
	s->per_block = PER_BLOCK(s->size);
	TAILQ_INIT(&s->blocks);
	return s;
}

static struct block *
block_map(void)
{
	char *p = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before = -(uintptr_t)p & (BLOCK - 1);

	if (p == MAP_FAILED)
		log_fatal(LOG_DAEMON, "out of memory");
	if (before)
		munmap(p, before);
	munmap(p + before + BLOCK, BLOCK - before);
	return (struct block *)(void *)(p + before);
}

static struct block *
block_new(struct slab *s)
{
	struct block *b = block_map();

	b->holes = NULL;
	b->used = 0;
	for (size_t i = s->per_block; i-- > 0;) {
		struct hole *h = (struct hole *)(void *)(b->objects + i * s->size);

		h->next = b->holes;
		b->holes = h;
	}
	TAILQ_INSERT_HEAD(&s->blocks, b, link);
	return b;
}

void *
slab_get(struct slab *s)
{
	struct block *b = TAILQ_FIRST(&s->blocks);
	struct hole *h;

	if (!b || !b->holes)
		b = block_new(s);
	h = b->holes;
	b->holes = h->next;
	b->used++;
	if (!b->holes) {
		TAILQ_REMOVE(&s->blocks, b, link);
		TAILQ_INSERT_TAIL(&s->blocks, b, link);
	}
	return memset(h, 0, s->size);
}

void
slab_put(struct slab *s, void *object)
{
	struct block *b = (struct block *)((uintptr_t)object & ~(uintptr_t)(BLOCK - 1));
	struct hole *h = object;

	if (!b->holes) {
		TAILQ_REMOVE(&s->blocks, b, link);
		TAILQ_INSERT_HEAD(&s->blocks, b, link);
	}
	h->next = b->holes;
	b->holes = h;
	if (--b->used == 0) {
		TAILQ_REMOVE(&s->blocks, b, link);
		munmap(b, BLOCK);
	}
}

void
slab_destroy(struct slab *s)
{
	struct block *b;

	if (!s)
		return;
	while ((b = TAILQ_FIRST(&s->blocks))) {
		TAILQ_REMOVE(&s->blocks, b, link);
		munmap(b, BLOCK);
	}
	free(s);
}
