#include "slipway/strbuf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "slipway/mem.h"
#include "slipway/utf8.h"

void
strbuf_reserve(struct strbuf *b, size_t extra)
{
	size_t cap = b->cap ? b->cap : 64, need;

	if (extra > SIZE_MAX / 2 - b->len - 1)
		abort();
	need = b->len + extra + 1;
	if (need <= b->cap)
		return;
	while (cap < need)
		cap *= 2;
	b->data = xrealloc(b->data, cap);
	b->cap = cap;
	b->data[b->len] = '\0';
}

void
strbuf_add(struct strbuf *b, const void *data, size_t len)
{
	strbuf_reserve(b, len);
	if (len)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
strbuf_addc(struct strbuf *b, char c)
{
	strbuf_add(b, &c, 1);
}

void
strbuf_adds(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}

void
strbuf_addf(struct strbuf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	strbuf_reserve(b, 64);
	va_start(ap, fmt);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	if ((size_t)n >= b->cap - b->len) {
		strbuf_reserve(b, (size_t)n);
		va_start(ap, fmt);
		n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
		va_end(ap);
	}
	b->len += (size_t)n;
}

void
strbuf_consume(struct strbuf *b, size_t n)
{
	if (n > b->len)
		n = b->len;
	if (!n)
		return;
	b->len -= n;
	memmove(b->data, b->data + n, b->len + 1);
}

void
strbuf_reset(struct strbuf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

void
strbuf_free(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf){ 0 };
}

const char *
strbuf_str(const struct strbuf *b)
{
	return b->data ? b->data : "";
}

void
strbuf_add_utf8(struct strbuf *b, const void *data, size_t len)
{
	const char *p = data, *end = p + len;
	const char *good = p;

	while (p < end) {
		size_t n = utf8_decode(p, (size_t)(end - p), NULL);

		if (n) {
			p += n;
			continue;
		}
		strbuf_add(b, good, (size_t)(p - good));
		strbuf_adds(b, "\xef\xbf\xbd");
		good = ++p;
	}
	strbuf_add(b, good, (size_t)(p - good));
}
