/*
 * mask: hides secrets in a stream of output.
 *
 * A matcher is built once from the raw secrets; each is matched raw, per line (lines
 * of 4 bytes and more), base64 in its three alignments (standard and URL alphabet),
 * URL-encoded (upper and lower case hex), and hex (both cases). A stream carries the
 * state of one output: bytes that could begin a secret are held back until more
 * arrive or mask_end() is called. Matches become "***". Freestanding (libc only);
 * one stream is used by one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MASK_MIN 4
#define MASK_TEXT "***"

struct mask;	    /* immutable after mask_new */
struct mask_stream; /* one output */

struct mask_secret {
	const uint8_t *data;
	size_t len;
};

/* NULL when memory is out. Secrets under MASK_MIN bytes are ignored (the daemon
 * refuses them earlier). n may be 0: then streams pass everything at once. */
struct mask *mask_new(const struct mask_secret *secrets, size_t n);
void mask_free(struct mask *m);

struct mask_stream *mask_stream_new(const struct mask *m);
void mask_stream_free(struct mask_stream *s);
/* Feed bytes; emit is called, in order, with pieces that are safe to show (they may
 * point into data, or at held bytes, or at MASK_TEXT). */
typedef void mask_emit(void *arg, const uint8_t *data, size_t len);
void mask_feed(struct mask_stream *s, const uint8_t *data, size_t len,
	       mask_emit *emit, void *arg);
/* The stream ended: emit what was held back. */
void mask_end(struct mask_stream *s, mask_emit *emit, void *arg);
/* Bytes held back now. */
size_t mask_held(const struct mask_stream *s);
/* For whole texts (notes): masks in one go; malloc'ed result, NULL without memory. */
uint8_t *mask_text(const struct mask *m, const uint8_t *data, size_t len, size_t *out_len);
