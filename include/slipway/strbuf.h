/*
 * strbuf: a growable byte buffer.
 *
 * data is NUL-terminated after every call that adds (the NUL is not counted in
 * len), and NULL before the first one. Zero-initialise it; free with
 * strbuf_free() or the cleanup attribute. Growth aborts when memory is out, so
 * whoever adds outside bytes bounds them first.
 */
#pragma once

#include <stddef.h>

struct strbuf {
	char *data;
	size_t len, cap;
};

void strbuf_reserve(struct strbuf *b, size_t extra);
void strbuf_add(struct strbuf *b, const void *data, size_t len);
void strbuf_addc(struct strbuf *b, char c);
void strbuf_adds(struct strbuf *b, const char *s);
void strbuf_addf(struct strbuf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Drop the first n bytes. */
void strbuf_consume(struct strbuf *b, size_t n);
/* Forget the content, keep the memory. */
void strbuf_reset(struct strbuf *b);
void strbuf_free(struct strbuf *b);
/* Content as a C string, "" when empty; owned by b. */
const char *strbuf_str(const struct strbuf *b);
/* Append bytes as valid UTF-8: each byte that cannot be decoded becomes U+FFFD. */
void strbuf_add_utf8(struct strbuf *b, const void *data, size_t len);

#define cleanup_strbuf __attribute__((cleanup(strbuf_free)))
