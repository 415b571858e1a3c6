#include "slipway/mem.h"

#include <stdarg.h>
#include <stdint.h>

static void *
mem_or_die(void *p)
{
	static const char text[] = "slipway: out of memory\n";

	if (p)
		return p;
	/* The log formats and may allocate; this must not. */
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		abort();
	abort();
}

/* malloc(0) may answer NULL, which is not a failure. */
static size_t
mem_some(size_t size)
{
	return size ? size : 1;
}

void *
xmalloc(size_t size)
{
	return mem_or_die(malloc(mem_some(size)));
}

void *
xcalloc(size_t n, size_t size)
{
	return mem_or_die(calloc(mem_some(n), mem_some(size)));
}

void *
xrealloc(void *p, size_t size)
{
	return mem_or_die(realloc(p, mem_some(size)));
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	return mem_or_die(reallocarray(p, mem_some(n), mem_some(size)));
}

char *
xstrdup(const char *s)
{
	return mem_or_die(strdup(s));
}

char *
xstrndup(const char *s, size_t n)
{
	return mem_or_die(strndup(s, n));
}

void *
xmemdup(const void *p, size_t n)
{
	void *copy = xmalloc(n);

	if (n)
		memcpy(copy, p, n);
	return copy;
}

char *
xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return mem_or_die(n < 0 ? NULL : s);
}

bool
str_copy(char *dst, size_t size, const char *src)
{
	size_t len = strlen(src), n = len < size ? len : size - 1;

	memcpy(dst, src, n);
	dst[n] = '\0';
	return n == len;
}
