#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/clock.h"
#include "slipway/id.h"

Test(id, accepts_what_is_safe_everywhere)
{
	cr_assert(id_is_valid("a"));
	cr_assert(id_is_valid("Job_1.x-y"));
	cr_assert(id_is_valid("0"));
	cr_assert(id_is_valid("a."));
}

Test(id, refuses_what_is_not)
{
	static const char *const bad[] = { "",	       ".a",  "-a",  "_a",
					   "a..b",     "a/b", "a b", "a\n",
					   "\xc3\xa4", "a%b", "a:b" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(id_is_valid(bad[i]), "%s", bad[i]);
}

Test(id, is_at_most_128_bytes)
{
	char s[JOB_ID_MAX + 2];

	memset(s, 'a', sizeof(s));
	s[JOB_ID_MAX] = '\0';
	cr_assert(id_is_valid(s));
	s[JOB_ID_MAX] = 'a';
	s[JOB_ID_MAX + 1] = '\0';
	cr_assert_not(id_is_valid(s));
}

Test(id, made_ones_are_valid_dated_and_different)
{
	char a[JOB_ID_MAX + 1], b[JOB_ID_MAX + 1], *end;
	int64_t before = clock_wall_ms();
	long long ms;

	id_make_job(a);
	id_make_job(b);
	cr_assert(id_is_valid(a));
	cr_assert_str_neq(a, b);
	cr_assert_eq(strncmp(a, "job-", 4), 0);
	ms = strtoll(a + 4, &end, 10);
	cr_assert_geq(ms, before);
	cr_assert_leq(ms, clock_wall_ms());
	cr_assert_eq(*end, '-');
	cr_assert_eq(strlen(end + 1), 7);
	cr_assert_eq(strspn(end + 1, "0123456789abcdefghijklmnopqrstuvwxyz"), 7);
}

Test(id, random_hex_fills_exactly)
{
	char a[33], b[33];

	memset(a, 'z', sizeof(a));
	id_random_hex(a, 32);
	id_random_hex(b, 32);
	cr_assert_eq(strlen(a), 32);
	cr_assert_eq(strspn(a, "0123456789abcdef"), 32);
	cr_assert_str_neq(a, b);
	id_random_hex(a, 0);
	cr_assert_str_eq(a, "");
}

Test(id, random_letters_and_digits_fill_exactly_and_use_all_of_them)
{
	static const char all[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char a[20001], b[44];

	id_random_base62(a, sizeof(a) - 1);
	cr_assert_eq(strlen(a), sizeof(a) - 1);
	cr_assert_eq(strspn(a, all), sizeof(a) - 1);
	/* 20000 / 62 is 322 of each; 200 is 7 standard deviations below. */
	for (const char *c = all; *c; c++) {
		unsigned n = 0;

		for (const char *p = a; *p; p++)
			n += *p == *c;
		cr_assert_gt(n, 200, "%c: %u", *c, n);
		cr_assert_lt(n, 450, "%c: %u", *c, n);
	}
	id_random_base62(b, 43);
	cr_assert_eq(strlen(b), 43);
	id_random_base62(b, 0);
	cr_assert_str_eq(b, "");
}
