#include <criterion/criterion.h>

#include "auth_limit.h"

static struct netaddr
who(unsigned n)
{
	return (struct netaddr){
		{ [0] = 0x20, [1] = (uint8_t)(n >> 8), [2] = (uint8_t)n }
	};
}

static void
fail(struct auth_limit *l, struct netaddr *a, unsigned n, int64_t now)
{
	while (n--)
		auth_limit_failed(l, a, now);
}

Test(auth_limit, some_failures_in_a_minute_are_free)
{
	struct auth_limit *l = auth_limit_new(10);
	struct netaddr a = who(1), b = who(2);

	fail(l, &a, AUTH_LIMIT_FAILURES - 1, 1000);
	cr_assert_eq(auth_limit_wait(l, &a, 1000), 0);
	fail(l, &a, 1, 60999);
	cr_assert_eq(auth_limit_wait(l, &a, 60999), AUTH_LIMIT_WAIT_MS);
	cr_assert_eq(auth_limit_wait(l, &a, 60999 + AUTH_LIMIT_WAIT_MS - 1), 1);
	cr_assert_eq(auth_limit_wait(l, &a, 60999 + AUTH_LIMIT_WAIT_MS), 0);
	cr_assert_eq(auth_limit_wait(l, &b, 60999), 0);
	auth_limit_free(l);
}

Test(auth_limit, those_of_the_minute_before_do_not_count)
{
	struct auth_limit *l = auth_limit_new(10);
	struct netaddr a = who(1);

	fail(l, &a, AUTH_LIMIT_FAILURES - 1, 1000);
	fail(l, &a, AUTH_LIMIT_FAILURES - 1, 61000);
	cr_assert_eq(auth_limit_wait(l, &a, 61000), 0);
	fail(l, &a, 1, 61001);
	cr_assert_gt(auth_limit_wait(l, &a, 61001), 0);
	auth_limit_free(l);
}

Test(auth_limit, each_further_failure_doubles_the_wait_up_to_a_limit)
{
	struct auth_limit *l = auth_limit_new(10);
	int64_t now = 1000, want = AUTH_LIMIT_WAIT_MS;
	struct netaddr a = who(1);

	fail(l, &a, AUTH_LIMIT_FAILURES, now);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(auth_limit_wait(l, &a, now), want);
		now += want;
		auth_limit_failed(l, &a, now);
		want = want * 2 < AUTH_LIMIT_WAIT_MAX ? want * 2 : AUTH_LIMIT_WAIT_MAX;
	}
	cr_assert_eq(want, AUTH_LIMIT_WAIT_MAX);
	auth_limit_free(l);
}

Test(auth_limit, is_forgiven_after_a_while)
{
	struct auth_limit *l = auth_limit_new(10);
	struct netaddr a = who(1);

	fail(l, &a, AUTH_LIMIT_FAILURES, 1000);
	auth_limit_failed(l, &a, 1000 + AUTH_LIMIT_WAIT_MS + 600000);
	cr_assert_eq(auth_limit_wait(l, &a, 1000 + AUTH_LIMIT_WAIT_MS + 600000), 0);
	auth_limit_free(l);
}

Test(auth_limit, remembers_those_heard_of_last)
{
	struct auth_limit *l = auth_limit_new(3);
	struct netaddr a = who(1), b;

	fail(l, &a, AUTH_LIMIT_FAILURES, 1000);
	for (unsigned i = 2; i < 1000; i++) {
		b = who(i);
		auth_limit_failed(l, &b, 1000);
		cr_assert_leq(auth_limit_known(l), 3);
		auth_limit_failed(l, &a, 1000);
	}
	cr_assert_gt(auth_limit_wait(l, &a, 1000), 0);
	for (unsigned i = 2; i < 5; i++) {
		b = who(i);
		auth_limit_failed(l, &b, 1000);
	}
	cr_assert_eq(auth_limit_wait(l, &a, 1000), 0);
	auth_limit_free(l);
}

Test(auth_limit, a_burst_then_the_rate)
{
	struct auth_limit *l = auth_limit_new(3);
	struct netaddr a = who(1), b = who(2);
	int64_t wait;

	for (int i = 0; i < 100; i++)
		cr_assert_eq(auth_limit_take(l, &a, 5000, 600), 0, "%d", i);
	wait = auth_limit_take(l, &a, 5000, 600);
	cr_assert_eq(wait, 100);
	cr_assert_eq(auth_limit_take(l, &b, 5000, 600), 0);
	cr_assert_gt(auth_limit_take(l, &a, 5099, 600), 0);
	cr_assert_eq(auth_limit_take(l, &a, 5100, 600), 0);
	cr_assert_gt(auth_limit_take(l, &a, 5100, 600), 0);
	auth_limit_free(l);
}

Test(auth_limit, a_rest_gives_the_burst_back_and_no_more)
{
	int64_t next = 0;
	int n = 0;

	while (!auth_limit_bucket(&next, 1000, 60, 10))
		n++;
	cr_assert_eq(n, 10);
	for (n = 0; !auth_limit_bucket(&next, 10000000, 60, 10); n++)
		;
	cr_assert_eq(n, 10);
	cr_assert_eq(auth_limit_burst(600), 100);
	cr_assert_eq(auth_limit_burst(1), 10);
}
