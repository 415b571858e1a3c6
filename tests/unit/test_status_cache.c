#include <criterion/criterion.h>
#include <string.h>

#include "slipway/mem.h"
#include "web/status_cache.h"

static void
put(struct status_cache *c, const char *id, const char *base, const char *body)
{
	struct status_answer a = { .etag = "\"e\"", .body = body, .len = strlen(body) };

	status_cache_put(c, id, base, &a);
}

Test(status_cache, gives_what_was_put_for_the_same_job_and_links)
{
	struct status_cache *c = status_cache_new();
	const struct status_answer *a;

	put(c, "one", "http://a", "body of one");
	put(c, "two", "http://a", "body of two");
	a = status_cache_get(c, "one", "http://a");
	cr_assert_not_null(a);
	cr_expect_eq(a->len, strlen("body of one"));
	cr_expect_eq(memcmp(a->body, "body of one", a->len), 0);
	cr_expect_str_eq(a->etag, "\"e\"");
	cr_expect_null(status_cache_get(c, "one", "http://b"));
	cr_expect_null(status_cache_get(c, "three", "http://a"));
	status_cache_free(c);
}

Test(status_cache, the_newest_answer_of_a_job_takes_the_place)
{
	struct status_cache *c = status_cache_new();

	put(c, "one", "http://a", "old");
	put(c, "one", "http://b", "new");
	cr_expect_null(status_cache_get(c, "one", "http://a"));
	cr_expect_eq(status_cache_get(c, "one", "http://b")->len, 3);
	status_cache_free(c);
}

Test(status_cache, the_version_can_be_renewed)
{
	struct status_cache *c = status_cache_new();

	put(c, "one", "", "x");
	status_cache_get(c, "one", "")->version = 7;
	cr_expect_eq(status_cache_get(c, "one", "")->version, 7);
	status_cache_free(c);
}

Test(status_cache, what_was_used_longest_ago_goes_first)
{
	struct status_cache *c = status_cache_new();
	char *body = xcalloc(1, (32 << 10) + 1), id[8];

	memset(body, 'x', 32 << 10);
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "j%d", i);
		put(c, id, "", body);
	}
	/* 4 MiB hold 127 of them: the first one is used again, the second is not. */
	cr_assert_not_null(status_cache_get(c, "j0", ""));
	for (int i = 100; i < 150; i++) {
		snprintf(id, sizeof(id), "j%d", i);
		put(c, id, "", body);
	}
	cr_expect_not_null(status_cache_get(c, "j0", ""));
	cr_expect_null(status_cache_get(c, "j1", ""));
	cr_expect_not_null(status_cache_get(c, "j149", ""));
	free(body);
	status_cache_free(c);
}

Test(status_cache, an_answer_at_its_limit_is_kept_and_one_past_it_is_not)
{
	struct status_cache *c = status_cache_new();
	char *body = xcalloc(1, (64 << 10) + 2);

	memset(body, 'x', 64 << 10);
	put(c, "at", "", body);
	body[64 << 10] = 'x';
	put(c, "past", "", body);
	cr_expect_not_null(status_cache_get(c, "at", ""));
	cr_expect_null(status_cache_get(c, "past", ""));
	/* And what was there before is gone: it is no longer true. */
	put(c, "at", "", body);
	cr_expect_null(status_cache_get(c, "at", ""));
	free(body);
	status_cache_free(c);
}
