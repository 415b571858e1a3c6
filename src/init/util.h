/*
 * util: what slipway-init needs of memory and time; it links no daemon code.
 *
 * Allocations here are bounded by the plan's own limits; without memory init cannot
 * keep any promise, so it ends at once with INIT_EXIT_INTERNAL.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

void *util_alloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *util_realloc(void *p, size_t size) __attribute__((returns_nonnull));
char *util_format(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), returns_nonnull));

/* CLOCK_BOOTTIME: time-outs go on while the machine sleeps. */
uint64_t util_now_ms(void);
/* CLOCK_REALTIME, for frames. */
uint64_t util_wall_ms(void);
/* now + ms without overflow; a deadline of 0 means none, so never 0. */
uint64_t util_deadline(uint64_t now, uint64_t ms);

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
#define cleanup_free __attribute__((cleanup(cleanup_free_)))
#define cleanup_close __attribute__((cleanup(cleanup_close_)))

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
