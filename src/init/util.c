#include "util.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "slipway/plan.h"

static void __attribute__((noreturn))
util_no_memory(void)
{
	static const char text[] = "slipway-init: out of memory\n";

	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) {
		/* nobody left to tell */
	}
	_exit(INIT_EXIT_INTERNAL);
}

void *
util_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		util_no_memory();
	return p;
}

void *
util_realloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (!q)
		util_no_memory();
	return q;
}

char *
util_format(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0 || !s)
		util_no_memory();
	return s;
}

static uint64_t
util_clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t
util_now_ms(void)
{
	return util_clock_ms(CLOCK_BOOTTIME);
}

uint64_t
util_wall_ms(void)
{
	return util_clock_ms(CLOCK_REALTIME);
}

uint64_t
util_deadline(uint64_t now, uint64_t ms)
{
	/* Far enough for ever, near enough for every time type. */
	const uint64_t most = (uint64_t)1 << 50;

	return now + (ms < most ? ms : most) + (now + ms == 0);
}
