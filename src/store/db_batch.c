#include "db_batch.h"

#include "slipway/mem.h"

/* A turn fills one batch: often a few small records, seldom much. */
#define CHUNK_SIZE (16u << 10)
#define CHUNKS_SPARE 64

struct batch *
batch_new(void)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	STAILQ_INIT(&b->units);
	STAILQ_INIT(&b->chunks);
	return b;
}

static struct chunk *
chunk_new(struct chunk_pool *pool, size_t size)
{
	struct chunk *c = pool ? pool->spare : NULL;

	if (size <= CHUNK_SIZE && c) {
		pool->spare = STAILQ_NEXT(c, next);
		pool->n--;
	} else {
		if (size < CHUNK_SIZE)
			size = CHUNK_SIZE;
		c = xmalloc(sizeof(*c) + size);
		c->size = size;
	}
	c->used = 0;
	return c;
}

static void
chunk_free(struct chunk *c, struct chunk_pool *pool)
{
	if (!pool || c->size != CHUNK_SIZE || pool->n == CHUNKS_SPARE) {
		free(c);
		return;
	}
	STAILQ_NEXT(c, next) = pool->spare;
	pool->spare = c;
	pool->n++;
}

void
chunk_pool_clear(struct chunk_pool *pool)
{
	struct chunk *c;

	while ((c = pool->spare)) {
		pool->spare = STAILQ_NEXT(c, next);
		free(c);
	}
	pool->n = 0;
}

void
batch_free(struct batch *b, struct chunk_pool *pool)
{
	struct chunk *c;

	if (!b)
		return;
	while ((c = STAILQ_FIRST(&b->chunks))) {
		STAILQ_REMOVE_HEAD(&b->chunks, next);
		chunk_free(c, pool);
	}
	free(b);
}

void
batch_join(struct batch *to, struct batch *from)
{
	STAILQ_CONCAT(&to->units, &from->units);
	STAILQ_CONCAT(&to->chunks, &from->chunks);
	to->filling = from->filling;
	to->bytes += from->bytes;
	to->admits = to->admits || from->admits;
	free(from);
}

void *
batch_alloc(struct batch *b, struct chunk_pool *pool, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct chunk *c = b->filling;
	void *p;

	size = (size + align - 1) / align * align;
	if (!c || c->size - c->used < size) {
		c = b->filling = chunk_new(pool, size);
		STAILQ_INSERT_TAIL(&b->chunks, c, next);
	}
	p = c->data + c->used;
	c->used += size;
	return p;
}

struct unit *
batch_add_unit(struct batch *b, struct chunk_pool *pool, unsigned flags)
{
	struct unit *u = batch_alloc(b, pool, sizeof(*u));

	*u = (struct unit){ .flags = flags };
	STAILQ_INIT(&u->ops);
	STAILQ_INSERT_TAIL(&b->units, u, next);
	if (flags & DB_ADMISSION)
		b->admits = true;
	return u;
}

struct op *
batch_add_op(struct batch *b, struct chunk_pool *pool, struct unit *u,
	     const struct db_key *row, size_t vlen)
{
	struct op *op = batch_alloc(b, pool, sizeof(*op) + row->len + vlen);
	uint8_t *p = (uint8_t *)(op + 1);

	memcpy(p, row->bytes, row->len);
	*op = (struct op){ .row = { p, row->len }, .val = { p + row->len, vlen } };
	STAILQ_INSERT_TAIL(&u->ops, op, next);
	b->bytes += row->len + vlen;
	return op;
}

void
batch_set_value(struct op *op, const void *val)
{
	if (op->val.len > 0)
		memcpy((uint8_t *)(op + 1) + op->row.len, val, op->val.len);
}

bool
batch_has_changes(const struct batch *b)
{
	const struct unit *u;

	STAILQ_FOREACH(u, &b->units, next)
		if (!u->refused && !STAILQ_EMPTY(&u->ops))
			return true;
	return false;
}
