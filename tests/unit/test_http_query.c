#include <criterion/criterion.h>
#include <string.h>

#include "http_query.h"

static bool
path_is(const char *raw, const char *want)
{
	cleanup_strbuf struct strbuf out = { 0 };

	return http_path_decode(raw, strlen(raw), &out, NULL) == 0 &&
	       !strcmp(strbuf_str(&out), want);
}

static bool
path_fails(const char *raw)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct err e = { 0 };

	return http_path_decode(raw, strlen(raw), &out, &e) < 0 &&
	       e.code == ERR_INVALID && e.msg[0];
}

static bool
query_fails(const char *raw)
{
	struct http_query q;
	struct err e = { 0 };
	int rc = http_query_parse(raw, strlen(raw), &q, &e);

	http_query_free(&q);
	return rc < 0 && e.code == ERR_INVALID && e.msg[0];
}

static void
assert_query(const char *raw, const char *key, const char *want)
{
	struct http_query q;
	const char *got;

	cr_assert_eq(http_query_parse(raw, strlen(raw), &q, NULL), 0, "%s", raw);
	got = http_query_get(&q, key);
	if (want) {
		cr_assert(got, "%s has no %s", raw, key);
		cr_assert_str_eq(got, want);
	} else {
		cr_assert_null(got);
	}
	http_query_free(&q);
}

Test(http_query, a_path_is_decoded_exactly_once)
{
	cr_assert(path_is("/", "/"));
	cr_assert(path_is("/jobs/status", "/jobs/status"));
	cr_assert(path_is("/a%20b", "/a b"));
	cr_assert(path_is("/%41%4a", "/AJ"));
	cr_assert(path_is("/a%252fb", "/a%2fb"));
	cr_assert(path_is("/a+b", "/a+b"));
	cr_assert(path_is("/%c3%bc", "/\xc3\xbc"));
	cr_assert(path_is("/dir/", "/dir/"));
	cr_assert(path_is("/..a/.b/c..", "/..a/.b/c.."));
}

Test(http_query, ambiguous_paths_are_refused)
{
	static const char *const bad[] = {
		"",	  "a",	     "a/b",  "/a%2fb", "/a%2Fb",  "/%00",
		"/a%0ab", "/%7f",    "/..",  "/../a",  "/a/../b", "/a/%2e%2e/b",
		"/.%2e",  "/./a",    "/a/.", "//",     "//a",	  "/a//b",
		"/%",	  "/%4",     "/%4g", "/%g4",   "/\xff",	  "/%ff",
		"/%c3",	  "/%c0%af", "/a#b", "/a?b",   "/\xc3(",  "/%ed%a0%80",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert(path_fails(bad[i]), "'%s' passed", bad[i]);
}

Test(http_query, a_raw_nul_in_a_path_is_refused)
{
	cleanup_strbuf struct strbuf out = { 0 };

	cr_assert_eq(http_path_decode("/a\0b", 4, &out, NULL), -1);
}

Test(http_query, values_are_decoded)
{
	assert_query("id=j1&wait=5", "id", "j1");
	assert_query("id=j1&wait=5", "wait", "5");
	assert_query("repo=org%2Fname", "repo", "org/name");
	assert_query("a=x+y%2Bz", "a", "x y+z");
	assert_query("a=b=c", "a", "b=c");
	assert_query("%61=1", "a", "1");
	assert_query("a=%C3%BC", "a", "\xc3\xbc");
}

Test(http_query, empty_and_absent_are_different)
{
	assert_query("a=", "a", "");
	assert_query("a", "a", "");
	assert_query("a=1", "b", NULL);
	assert_query("", "a", NULL);
	assert_query("&&a=1&", "a", "1");
}

Test(http_query, ambiguous_queries_are_refused)
{
	static const char *const bad[] = { "a=1&a=2", "a&a",	"a=1&%61=2", "=1",
					   "a=%00",   "a%00=1", "a=%",	     "a=%4",
					   "a=%zz",   "a=\xff", "a=%ff",     "a=\x01",
					   "a=b\n",   "a=b#c" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert(query_fails(bad[i]), "'%s' passed", bad[i]);
}

Test(http_query, a_key_given_twice_is_named)
{
	struct http_query q;
	struct err e = { 0 };

	cr_assert_eq(http_query_parse("id=1&id=2", 9, &q, &e), -1);
	cr_assert_str_eq(e.field, "id");
	http_query_free(&q);
}

static int
parse_pairs(int n)
{
	cleanup_strbuf struct strbuf raw = { 0 };
	struct http_query q;
	int rc;

	for (int i = 0; i < n; i++)
		strbuf_addf(&raw, "k%d=%d&", i, i);
	rc = http_query_parse(raw.data, raw.len, &q, NULL);
	http_query_free(&q);
	return rc;
}

Test(http_query, the_number_of_values_is_bounded)
{
	cr_assert_eq(parse_pairs(HTTP_QUERY_MAX), 0);
	cr_assert_eq(parse_pairs(HTTP_QUERY_MAX + 1), -1);
}
