/*
 * mem: allocation that cannot fail, clean-up attributes, ownership transfer.
 *
 * x-functions abort when memory is out; they are for small, fixed-size needs.
 * Whatever outsiders size has a limit checked by the caller first. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void *xmalloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *xcalloc(size_t n, size_t size)
	__attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
void *xmemdup(const void *p, size_t n) __attribute__((returns_nonnull));
char *xasprintf(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), returns_nonnull));

/* Copy into a fixed array, always terminated; false when it did not fit. */
bool str_copy(char *dst, size_t size, const char *src);
#define STR_COPY(array, src) str_copy((array), sizeof(array), (src))

/* Clean-up attributes: `cleanup_free char *p = NULL;` */
static inline void
cleanup_free_(void *p)
{
	free(*(void **)p);
}
static inline void
cleanup_close_(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
static inline void
cleanup_file_(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define cleanup_free __attribute__((cleanup(cleanup_free_)))
#define cleanup_close __attribute__((cleanup(cleanup_close_)))
#define cleanup_file __attribute__((cleanup(cleanup_file_)))

/* Hand ownership out of a variable with a clean-up attribute. */
#define STEAL(p)                                                               \
	({                                                                     \
		__typeof__(p) stolen_ = (p);                                   \
		(p) = NULL;                                                    \
		stolen_;                                                       \
	})
static inline int
steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
