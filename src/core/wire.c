#include "slipway/wire.h"

#include <stdlib.h>
#include <string.h>

static uint8_t *
wire_w_room(struct wire_w *w, size_t n)
{
	size_t cap;
	uint8_t *data;

	if (w->failed)
		return NULL;
	if (n > SIZE_MAX / 4 || w->len > SIZE_MAX / 4) {
		w->failed = true;
		return NULL;
	}
	if (w->len + n > w->cap) {
		cap = w->cap ? w->cap * 2 : 256;
		if (cap < w->len + n)
			cap = w->len + n;
		data = realloc(w->data, cap);
		if (!data) {
			w->failed = true;
			return NULL;
		}
		w->data = data;
		w->cap = cap;
	}
	data = w->data + w->len;
	w->len += n;
	return data;
}

static void
wire_w_le(struct wire_w *w, uint64_t v, size_t width)
{
	uint8_t *p = wire_w_room(w, width);

	if (!p)
		return;
	for (size_t i = 0; i < width; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

void
wire_w_u8(struct wire_w *w, uint8_t v)
{
	wire_w_le(w, v, 1);
}

void
wire_w_u16(struct wire_w *w, uint16_t v)
{
	wire_w_le(w, v, 2);
}

void
wire_w_u32(struct wire_w *w, uint32_t v)
{
	wire_w_le(w, v, 4);
}

void
wire_w_u64(struct wire_w *w, uint64_t v)
{
	wire_w_le(w, v, 8);
}

void
wire_w_i64(struct wire_w *w, int64_t v)
{
	wire_w_le(w, (uint64_t)v, 8);
}

void
wire_w_bytes(struct wire_w *w, const void *data, size_t len)
{
	uint8_t *p;

	if (len > UINT32_MAX) {
		w->failed = true;
		return;
	}
	wire_w_u32(w, (uint32_t)len);
	p = wire_w_room(w, len);
	if (p && len)
		memcpy(p, data, len);
}

void
wire_w_str(struct wire_w *w, const char *s)
{
	wire_w_bytes(w, s, s ? strlen(s) : 0);
}

void
wire_w_free(struct wire_w *w)
{
	free(w->data);
	*w = (struct wire_w){ 0 };
}

void
wire_r_init(struct wire_r *r, const void *data, size_t len)
{
	/* An empty input may come as NULL, on which arithmetic is undefined. */
	r->p = len ? data : (const uint8_t *)"";
	r->end = r->p + len;
	r->bad = false;
}

static const uint8_t *
wire_r_take(struct wire_r *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > (size_t)(r->end - r->p)) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	return p;
}

static uint64_t
wire_r_le(struct wire_r *r, size_t width)
{
	const uint8_t *p = wire_r_take(r, width);
	uint64_t v = 0;

	if (!p)
		return 0;
	for (size_t i = 0; i < width; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t
wire_r_u8(struct wire_r *r)
{
	return (uint8_t)wire_r_le(r, 1);
}

uint16_t
wire_r_u16(struct wire_r *r)
{
	return (uint16_t)wire_r_le(r, 2);
}

uint32_t
wire_r_u32(struct wire_r *r)
{
	return (uint32_t)wire_r_le(r, 4);
}

uint64_t
wire_r_u64(struct wire_r *r)
{
	return wire_r_le(r, 8);
}

int64_t
wire_r_i64(struct wire_r *r)
{
	return (int64_t)wire_r_le(r, 8);
}

const uint8_t *
wire_r_bytes(struct wire_r *r, size_t max, size_t *len)
{
	uint32_t n = wire_r_u32(r);
	const uint8_t *p;

	*len = 0;
	if (n > max)
		r->bad = true;
	p = wire_r_take(r, n);
	if (!p)
		return (const uint8_t *)"";
	*len = n;
	return p;
}

char *
wire_r_str(struct wire_r *r, size_t max)
{
	size_t len;
	const uint8_t *p = wire_r_bytes(r, max, &len);
	char *s;

	if (len && memchr(p, 0, len)) {
		r->bad = true;
		len = 0;
	}
	s = malloc(len + 1);
	if (!s) {
		r->bad = true;
		return NULL;
	}
	memcpy(s, p, len);
	s[len] = 0;
	return s;
}

void
wire_r_str_into(struct wire_r *r, char *out, size_t size)
{
	size_t len;
	const uint8_t *p;

	if (!size) {
		r->bad = true;
		return;
	}
	p = wire_r_bytes(r, size - 1, &len);
	if (len && memchr(p, 0, len)) {
		r->bad = true;
		len = 0;
	}
	memcpy(out, p, len);
	out[len] = 0;
}

uint32_t
wire_r_count(struct wire_r *r, uint32_t max, size_t item_min)
{
	uint32_t n = wire_r_u32(r);

	if (r->bad)
		return 0;
	if (n > max || (item_min && n > (size_t)(r->end - r->p) / item_min)) {
		r->bad = true;
		return 0;
	}
	return n;
}

bool
wire_r_done(const struct wire_r *r)
{
	return !r->bad && r->p == r->end;
}
