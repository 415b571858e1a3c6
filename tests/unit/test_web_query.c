#include <criterion/criterion.h>

#include "web/query.h"

Test(web_query, numbers_are_digits_up_to_their_limit)
{
	uint64_t n = 0;

	cr_assert(query_uint("60", 60, &n));
	cr_expect_eq(n, 60);
	cr_expect_not(query_uint("61", 60, &n));
	cr_expect(query_uint("18446744073709551615", UINT64_MAX, &n));
	cr_expect_eq(n, UINT64_MAX);
	cr_expect_not(query_uint("18446744073709551616", UINT64_MAX, &n));
	cr_expect_not(query_uint("99999999999999999999999", UINT64_MAX, &n));
	cr_expect_not(query_uint("", 60, &n));
	cr_expect_not(query_uint("-1", 60, &n));
	cr_expect_not(query_uint("+1", 60, &n));
	cr_expect_not(query_uint(" 1", 60, &n));
	cr_expect_not(query_uint("0x1", 60, &n));
}

Test(web_query, places_are_an_offset_with_or_without_an_attempt)
{
	unsigned attempt = 9;
	uint64_t at = 0;

	cr_assert(query_place("120", &attempt, &at));
	cr_expect_eq(attempt, 0);
	cr_expect_eq(at, 120);
	cr_assert(query_place("3-4096", &attempt, &at));
	cr_expect_eq(attempt, 3);
	cr_expect_eq(at, 4096);
	cr_expect(query_place("4294967295-0", &attempt, &at));
	cr_expect_not(query_place("4294967296-0", &attempt, &at));
	cr_expect_not(query_place("0-1", &attempt, &at));
	cr_expect_not(query_place("-1", &attempt, &at));
	cr_expect_not(query_place("1-", &attempt, &at));
	cr_expect_not(query_place("1-2-3", &attempt, &at));
	cr_expect_not(query_place("", &attempt, &at));
	cr_expect_not(query_place("9223372036854775808", &attempt, &at));
	cr_expect_not(query_place("00000000001-1", &attempt, &at));
}

Test(web_query, etags_match_in_lists_and_weakly)
{
	cr_expect(query_etag_matches("\"a.1\"", "\"a.1\""));
	cr_expect(query_etag_matches("\"b\", W/\"a.1\" , \"c\"", "\"a.1\""));
	cr_expect(query_etag_matches("*", "\"a.1\""));
	cr_expect_not(query_etag_matches("\"a.12\"", "\"a.1\""));
	cr_expect_not(query_etag_matches("", "\"a.1\""));
}

Test(web_query, accept_headers_name_types)
{
	cr_expect(query_accepts("text/html,application/xhtml+xml;q=0.9", "text/html"));
	cr_expect(query_accepts("*/*;q=0.1, Text/Plain ;q=0.5", "text/plain"));
	cr_expect_not(query_accepts("*/*", "text/html"));
	cr_expect_not(query_accepts("text/html;q=0", "text/html"));
	cr_expect_not(query_accepts("text/html; q=0.0", "text/html"));
	cr_expect(query_accepts("text/html;q=0.01", "text/html"));
	cr_expect_not(query_accepts("text/html-x", "text/html"));
}

Test(web_query, hosts_hold_nothing_that_could_leave_a_url)
{
	cr_expect(query_host_ok("ci.example.org:8080"));
	cr_expect(query_host_ok("[::1]:8080"));
	cr_expect_not(query_host_ok(""));
	cr_expect_not(query_host_ok("a/b"));
	cr_expect_not(query_host_ok("a\"b"));
	cr_expect_not(query_host_ok("user@host"));
}

Test(web_query, values_are_encoded)
{
	cleanup_strbuf struct strbuf url = { 0 };

	strbuf_adds(&url, "/jobs");
	query_append(&url, "repo", "https://x/a b&c");
	query_append(&url, "limit", "5");
	cr_expect_str_eq(url.data, "/jobs?repo=https%3A%2F%2Fx%2Fa%20b%26c&limit=5");
}
