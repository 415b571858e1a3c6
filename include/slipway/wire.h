/*
 * wire: little-endian, length-prefixed binary, the base of plan, spool payloads and
 * stored records. Freestanding (libc only): slipway-init links it.
 *
 * The writer grows a malloc'ed buffer and remembers a failed allocation; the reader
 * is sticky: after the first short or bad read every later one yields zero values,
 * and wire_r_ok() is asked once at the end. Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_w {
	uint8_t *data;
	size_t len, cap;
	bool failed;
};

void wire_w_u8(struct wire_w *w, uint8_t v);
void wire_w_u16(struct wire_w *w, uint16_t v);
void wire_w_u32(struct wire_w *w, uint32_t v);
void wire_w_u64(struct wire_w *w, uint64_t v);
void wire_w_i64(struct wire_w *w, int64_t v);
/* u32 length, bytes */
void wire_w_bytes(struct wire_w *w, const void *data, size_t len);
/* the same with strlen; NULL writes an empty string */
void wire_w_str(struct wire_w *w, const char *s);
void wire_w_free(struct wire_w *w);

struct wire_r {
	const uint8_t *p, *end;
	bool bad;
};

void wire_r_init(struct wire_r *r, const void *data, size_t len);
uint8_t wire_r_u8(struct wire_r *r);
uint16_t wire_r_u16(struct wire_r *r);
uint32_t wire_r_u32(struct wire_r *r);
uint64_t wire_r_u64(struct wire_r *r);
int64_t wire_r_i64(struct wire_r *r);
/* Points into the input; *len = 0 and "" when bad. Bad when longer than max. */
const uint8_t *wire_r_bytes(struct wire_r *r, size_t max, size_t *len);
/* Malloc'ed, terminated; bad when it holds a NUL, or is longer than max. Never
 * NULL unless memory is out (then bad). */
char *wire_r_str(struct wire_r *r, size_t max);
/* Into a fixed array of size bytes; bad when it does not fit or holds a NUL. */
void wire_r_str_into(struct wire_r *r, char *out, size_t size);
/* A count that is followed by that many items of at least item_min bytes; bad (and
 * 0) when over max or more than the remaining bytes could hold. */
uint32_t wire_r_count(struct wire_r *r, uint32_t max, size_t item_min);
/* Everything read well, and nothing left over. */
bool wire_r_done(const struct wire_r *r);
