#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>

#include "slipway/mem.h"

Test(mem, nothing_is_still_something)
{
	cleanup_free void *a = xmalloc(0);
	cleanup_free void *b = xcalloc(0, 8);
	cleanup_free void *c = xmemdup("", 0);

	cr_assert(a && b && c);
}

Test(mem, calloc_is_zeroed)
{
	cleanup_free int *v = xcalloc(64, sizeof(*v));

	for (int i = 0; i < 64; i++)
		cr_assert_eq(v[i], 0);
}

Test(mem, an_impossible_size_aborts, .signal = SIGABRT)
{
	volatile size_t n = SIZE_MAX / 2;

#ifdef __SANITIZE_ADDRESS__
	abort(); /* its own allocator ends such a process differently */
#endif
	free(xreallocarray(NULL, n, 4));
}

Test(mem, strings_are_copied)
{
	cleanup_free char *a = xstrdup("abc");
	cleanup_free char *b = xstrndup("abcdef", 3);
	cleanup_free char *c = xasprintf("%s-%d", a, 5);

	cr_assert_str_eq(a, "abc");
	cr_assert_str_eq(b, "abc");
	cr_assert_str_eq(c, "abc-5");
}

Test(mem, str_copy_says_whether_it_fit)
{
	char a[4] = "zzz";

	cr_assert(STR_COPY(a, "abc"));
	cr_assert_str_eq(a, "abc");
	cr_assert_not(STR_COPY(a, "abcd"));
	cr_assert_str_eq(a, "abc");
	cr_assert(STR_COPY(a, ""));
	cr_assert_str_eq(a, "");
}

Test(mem, steal_moves_ownership)
{
	cleanup_free char *a = xstrdup("x");
	cleanup_free char *b = STEAL(a);
	int fd = 7;

	cr_assert_null(a);
	cr_assert_str_eq(b, "x");
	cr_assert_eq(steal_fd(&fd), 7);
	cr_assert_eq(fd, -1);
}

Test(mem, cleanup_close_closes)
{
	int n;

	{
		cleanup_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		n = fd;
		cr_assert_geq(fd, 0);
	}
	cr_assert_eq(fcntl(n, F_GETFD), -1);
}
