#include "db_journal_record.h"

#include <string.h>

/* No UTF-8, so that no text holds it. */
#define MAGIC 0xfe10caffu
#define HEAD_SIZE 24

enum { CHANGE_DEL, CHANGE_PUT };

static uint64_t
mix(uint64_t sum, uint64_t word)
{
	/* Both steps can be undone, so none of them loses a difference. */
	sum = (sum ^ word) * UINT64_C(0x9fb21c651e98df25);
	return sum ^ sum >> 32;
}

uint64_t
db_record_checksum(const void *data, size_t len, uint64_t seed)
{
	const uint8_t *p = data;
	uint64_t sum = mix(seed, len), word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum = mix(sum, word);
	}
	word = 0;
	if (len > 0)
		memcpy(&word, p, len);
	return mix(sum, word);
}

static uint64_t
record_sum(const struct db_record *r, uint64_t salt)
{
	return db_record_checksum(r->changes, r->len, mix(salt, r->seq));
}

static size_t
padded(size_t len)
{
	return (len + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
}

/*
 * Encoding. Unlike wire's writer this one knows the size before, and cannot fail.
 */

static size_t
changes_size(const struct batch *b)
{
	const struct unit *u;
	const struct op *op;
	size_t size = 0;

	STAILQ_FOREACH(u, &b->units, next) {
		if (u->refused)
			continue;
		STAILQ_FOREACH(op, &u->ops, next)
			size += 1 + 4 + op->row.len + (op->del ? 0 : 4 + op->val.len);
	}
	return size;
}

size_t
db_record_size(const struct batch *b)
{
	return padded(HEAD_SIZE + changes_size(b));
}

static uint8_t *
put_number(uint8_t *p, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		*p++ = (uint8_t)(v >> 8 * i);
	return p;
}

static uint8_t *
put_bytes(uint8_t *p, const struct db_val *v)
{
	p = put_number(p, v->len, 4);
	if (v->len > 0)
		memcpy(p, v->data, v->len);
	return p + v->len;
}

static uint8_t *
put_op(uint8_t *p, const struct op *op)
{
	*p++ = op->del ? CHANGE_DEL : CHANGE_PUT;
	p = put_bytes(p, &op->row);
	return op->del ? p : put_bytes(p, &op->val);
}

void
db_record_encode(uint8_t *out, const struct batch *b, uint64_t salt)
{
	uint8_t *p = out + HEAD_SIZE;
	struct db_record r = { .seq = b->seq, .changes = p };
	const struct unit *u;
	const struct op *op;

	STAILQ_FOREACH(u, &b->units, next)
		if (!u->refused)
			STAILQ_FOREACH(op, &u->ops, next)
				p = put_op(p, op);
	r.len = (size_t)(p - r.changes);
	memset(p, 0, padded(HEAD_SIZE + r.len) - HEAD_SIZE - r.len);
	p = put_number(out, MAGIC, 4);
	p = put_number(p, r.len, 4);
	p = put_number(p, r.seq, 8);
	put_number(p, record_sum(&r, salt), 8);
}

/*
 * Decoding.
 */

enum db_record_kind
db_record_decode(const uint8_t *data, size_t len, uint64_t salt, struct db_record *out)
{
	struct wire_r r;
	uint64_t sum;

	wire_r_init(&r, data, len);
	if (wire_r_u32(&r) != MAGIC)
		return RECORD_NONE;
	out->len = wire_r_u32(&r);
	out->seq = wire_r_u64(&r);
	sum = wire_r_u64(&r);
	if (r.bad)
		return RECORD_NONE;
	out->changes = r.p;
	out->size = padded(HEAD_SIZE + out->len);
	if (out->size > len || sum != record_sum(out, salt))
		return RECORD_TORN;
	return RECORD_WHOLE;
}

bool
db_record_next(struct wire_r *r, struct op *out)
{
	uint8_t kind;

	if (r->p == r->end || r->bad)
		return false;
	*out = (struct op){ 0 };
	kind = wire_r_u8(r);
	out->row.data = wire_r_bytes(r, DB_ROW_MAX, &out->row.len);
	if (kind == CHANGE_PUT)
		out->val.data = wire_r_bytes(r, UINT32_MAX, &out->val.len);
	out->del = kind == CHANGE_DEL;
	if (kind > CHANGE_PUT || out->row.len < 2)
		r->bad = true;
	return !r->bad;
}
