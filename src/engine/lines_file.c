#include "lines.h"

#include <string.h>

/* The stored forms: little endian, each with a checksum behind. */

static const uint8_t magic[8] = { 'S', 'L', 'W', 'L', 'I', 'N', 1, 0 };

static uint8_t *
put(uint8_t *p, uint64_t v, unsigned width)
{
	for (unsigned i = 0; i < width; i++)
		*p++ = (uint8_t)(v >> (8 * i));
	return p;
}

static uint64_t
get(const uint8_t **p, unsigned width)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < width; i++)
		v |= (uint64_t) * (*p)++ << (8 * i);
	return v;
}

static uint64_t
checksum(const uint8_t *data, size_t len, uint64_t seed)
{
	uint64_t h = 0xcbf29ce484222325 ^ (seed + 1) * 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 0x100000001b3;
	return h ^ h >> 29;
}

static uint8_t *
put_place(uint8_t *p, const struct line_place *at)
{
	p = put(p, at->frame, 8);
	p = put(p, at->skip, 4);
	p = put(p, at->style.fg, 2);
	p = put(p, at->style.bg, 2);
	return put(p, at->style.attrs, 1);
}

static bool
get_place(const uint8_t **p, struct line_place *at)
{
	at->frame = get(p, 8);
	at->skip = (uint32_t)get(p, 4);
	at->style.fg = (uint16_t)get(p, 2);
	at->style.bg = (uint16_t)get(p, 2);
	at->style.attrs = (uint8_t)get(p, 1);
	return at->frame >= SPOOL_HEADER_LEN && at->skip <= FRAME_PAYLOAD_MAX &&
	       ansi_style_is_valid(&at->style);
}

void
lines_head_encode(const struct lines_head *h, uint8_t out[LINES_HEAD_LEN])
{
	uint8_t *p = out;

	memcpy(p, magic, sizeof(magic));
	p = put(p + sizeof(magic), h->lines, 8);
	p = put_place(p, &h->next);
	p = put(p, h->seen, 8);
	memcpy(p, h->seen_head, sizeof(h->seen_head));
	p += sizeof(h->seen_head);
	for (unsigned i = 0; i < JOB_STEPS_MAX; i++)
		p = put(p, h->first[i], 8);
	put(p, checksum(out, (size_t)(p - out), UINT64_MAX), 8);
}

bool
lines_head_decode(struct lines_head *h, const uint8_t in[LINES_HEAD_LEN])
{
	const uint8_t *p = in + sizeof(magic);
	bool ok;

	h->lines = get(&p, 8);
	ok = get_place(&p, &h->next);
	h->seen = get(&p, 8);
	memcpy(h->seen_head, p, sizeof(h->seen_head));
	p += sizeof(h->seen_head);
	for (unsigned i = 0; i < JOB_STEPS_MAX; i++) {
		h->first[i] = get(&p, 8);
		ok = ok && h->first[i] <= h->lines;
	}
	return ok && memcmp(in, magic, sizeof(magic)) == 0 &&
	       get(&p, 8) == checksum(in, LINES_HEAD_LEN - 8, UINT64_MAX);
}

void
lines_mark_encode(const struct line_place *at, uint64_t index,
		  uint8_t out[LINES_MARK_LEN])
{
	uint8_t *p = put_place(out, at);

	put(p, checksum(out, (size_t)(p - out), index), 8);
}

bool
lines_mark_decode(struct line_place *at, uint64_t index,
		  const uint8_t in[LINES_MARK_LEN])
{
	const uint8_t *p = in;
	bool ok = get_place(&p, at);

	return ok && get(&p, 8) == checksum(in, LINES_MARK_LEN - 8, index);
}
