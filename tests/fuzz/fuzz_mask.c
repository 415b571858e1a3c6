/*
 * Masking: u8 number of secrets, each u8 length and bytes, u8 size of a piece, text.
 * Pieces must not matter, and no secret passes.
 */
#include <stdbool.h>

#include "fuzz.h"
#include "slipway/mask.h"

#define SECRETS 8

static void
on_bytes(void *arg, const uint8_t *data, size_t len)
{
	strbuf_add(arg, data, len);
}

/* The secrets point into the data; *at is where the size of a piece is. */
static size_t
secrets_read(const uint8_t *data, size_t size, struct mask_secret *secrets, size_t *at)
{
	size_t n = size ? data[0] % SECRETS : 0;

	*at = 1;
	for (size_t i = 0; i < n; i++) {
		size_t len = *at < size ? data[*at] : 0;

		if (*at + 1 + len > size)
			return i;
		secrets[i] = (struct mask_secret){ data + *at + 1, len };
		*at += 1 + len;
	}
	return n;
}

/* The mask's own text can be a part of what looks like a secret with stars. */
static bool
secret_is_shown(const struct mask_secret *s, const struct strbuf *out)
{
	return s->len >= MASK_MIN && !memchr(s->data, '*', s->len) && out->len &&
	       memmem(out->data, out->len, s->data, s->len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct mask_secret secrets[SECRETS];
	size_t at, len, n = secrets_read(data, size, secrets, &at), piece;
	struct mask *m = mask_new(secrets, n);
	struct mask_stream *s = mask_stream_new(m);
	uint8_t *whole;

	piece = at < size ? data[at] + 1u : 1;
	at = at < size ? at + 1 : size;
	whole = mask_text(m, data + at, size - at, &len);
	for (; at < size; at += piece)
		mask_feed(s, data + at, size - at < piece ? size - at : piece, on_bytes,
			  &out);
	mask_end(s, on_bytes, &out);
	fuzz_must(out.len == len && (!len || !memcmp(out.data, whole, len)));
	for (size_t i = 0; i < n; i++)
		fuzz_must(!secret_is_shown(&secrets[i], &out));
	free(whole);
	mask_stream_free(s);
	mask_free(m);
	return 0;
}
