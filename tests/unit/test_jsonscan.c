#include <criterion/criterion.h>
#include <string.h>

#include "slipway/jsonscan.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

static bool
scan(const char *s, struct err *e)
{
	/* A copy without terminator: reading past the end shows. */
	cleanup_free char *copy = xmemdup(s, strlen(s));

	memset(e, 0, sizeof(*e));
	return !jsonscan_check(copy, strlen(s), 32, e);
}

#define GOOD(s) cr_assert(scan((s), &e), "%s: %s", (s), e.msg)
#define BAD(s, where, what)                                                            \
	do {                                                                           \
		cr_assert_not(scan((s), &e), "%s", (s));                               \
		cr_assert_eq(e.code, ERR_INVALID);                                     \
		cr_assert_str_eq(e.field, (where));                                    \
		cr_assert(strstr(e.msg, (what)), "%s", e.msg);                         \
	} while (0)

Test(jsonscan, accepts_every_kind_of_value)
{
	static const char *const good[] = {
		"null",
		"true",
		" false ",
		"0",
		"-0",
		"-12.5e+10",
		"1E5",
		"\"\"",
		"[]",
		"{}",
		"[1, [2], {\"a\": {}}]\n",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"",
		"\"\\ud83d\\ude00\"",
		"{\"a\":1,\"b\":{\"a\":2},\"c\":[{\"a\":1}]}",
		"\"\x7f\xc3\xa4\"",
		"1e999"
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		GOOD(good[i]);
}

Test(jsonscan, refuses_what_is_not_strict_json)
{
	static const char *const bad[] = { "",
					   " ",
					   "nul",
					   "nullx",
					   "NaN",
					   "Infinity",
					   "-Infinity",
					   "[NaN]",
					   "01",
					   "1.",
					   ".5",
					   "1e",
					   "+1",
					   "-",
					   "0x10",
					   "'a'",
					   "\"a",
					   "\"\\x\"",
					   "\"\\u12g4\"",
					   "[1,]",
					   "[1 2]",
					   "[",
					   "]",
					   "{\"a\"}",
					   "{\"a\":}",
					   "{a:1}",
					   "{\"a\":1,}",
					   "{\"a\" 1}",
					   "{1:1}",
					   "[1]]",
					   "1 2",
					   "/*x*/1",
					   "\"a\nb\"",
					   "\xef\xbb\xbf{}",
					   "\"\\u12\"",
					   "\"\\" };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(scan(bad[i], &e), "%s", bad[i]);
}

Test(jsonscan, duplicate_keys_are_named_by_their_path)
{
	struct err e;

	BAD("{\"a\":1,\"a\":2}", "a", "twice");
	BAD("{\"x\":[0,{\"env\":{\"F\":1,\"G\":2,\"F\":3}}]}", "x[1].env.F", "twice");
	/* Compared as what they mean. */
	BAD("{\"a\":1,\"\\u0061\":2}", "a", "twice");
	BAD("{\"\":1,\"\":2}", "", "twice");
	GOOD("{\"a\":1,\"A\":2,\"aa\":3,\"\":4}");
	GOOD("[{\"a\":1},{\"a\":1}]");
}

Test(jsonscan, finds_a_duplicate_among_many_keys)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct err e;

	for (int i = 0; i < 20000; i++)
		strbuf_addf(&b, "%c\"k%d\":%d", i ? ',' : '{', i, i);
	strbuf_adds(&b, "}");
	GOOD(b.data);
	b.data[--b.len] = '\0';
	strbuf_adds(&b, ",\"k777\":1}");
	BAD(b.data, "k777", "twice");
}

Test(jsonscan, the_number_of_open_keys_is_bounded)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct err e;

	for (int i = 0; i < JSONSCAN_KEYS_MAX; i++)
		strbuf_addf(&b, "%c\"%d\":0", i ? ',' : '{', i);
	strbuf_adds(&b, "}");
	GOOD(b.data);
	b.data[--b.len] = '\0';
	strbuf_adds(&b, ",\"x\":0}");
	cr_assert_not(scan(b.data, &e));
	cr_assert(strstr(e.msg, "too many keys"));
}

Test(jsonscan, nul_is_refused_raw_and_escaped)
{
	struct err e;

	BAD("{\"a\":\"\\u0000\"}", "a", "NUL");
	BAD("{\"a\\u0000\":1}", "", "NUL");
	cr_assert_eq(jsonscan_check("\"a\0\"", 4, 32, &e), -1);
	cr_assert_eq(jsonscan_check("1\0", 2, 32, &e), -1);
	cr_assert_eq(jsonscan_check("\"\\\0\"", 4, 32, &e), -1);
}

Test(jsonscan, text_must_be_utf8_without_surrogates)
{
	struct err e;

	BAD("\"\xff\"", "", "UTF-8");
	BAD("\"\xc0\x80\"", "", "UTF-8");
	BAD("\"\xed\xa0\x80\"", "", "UTF-8");
	BAD("\"\xe2\x82\"", "", "UTF-8");
	BAD("\"\\ud800\"", "", "surrogate");
	BAD("\"\\ud800\\u0041\"", "", "surrogate");
	BAD("\"\\udc00\"", "", "surrogate");
	BAD("\"\\ud800\\ud800\"", "", "surrogate");
	BAD("\"\\ud83d\\", "", "surrogate");
}

static void
check_depth(unsigned depth, unsigned max, bool good)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct err e;

	for (unsigned i = 0; i < depth; i++)
		strbuf_adds(&b, i % 2 ? "[" : "{\"a\":");
	strbuf_adds(&b, "1");
	for (unsigned i = depth; i-- > 0;)
		strbuf_adds(&b, i % 2 ? "]" : "}");
	cr_assert_eq(!jsonscan_check(b.data, b.len, max, &e), good, "%u", depth);
}

Test(jsonscan, depth_is_bounded)
{
	check_depth(32, 32, true);
	check_depth(33, 32, false);
	check_depth(0, 0, true);
	check_depth(1, 0, false);
	check_depth(JSONSCAN_DEPTH_MAX, 1000, true);
	check_depth(JSONSCAN_DEPTH_MAX + 1, 1000, false);
}

Test(jsonscan, errors_carry_line_and_column)
{
	struct err e;

	BAD("{\n  \"a\": 1,\n  \"b\": x\n}", "b", "line 3, column 8: ");
	BAD("[1, 2, nope]", "[2]", "line 1, column 8: ");
}

Test(jsonscan, paths_hold_no_control_characters_and_are_bounded)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct err e;

	BAD("{\"a\\nb\":x}", "a?b", "value");
	strbuf_adds(&b, "{\"");
	for (int i = 0; i < 500; i++)
		strbuf_adds(&b, "\xc3\xa4");
	strbuf_adds(&b, "\":x}");
	cr_assert_not(scan(b.data, &e));
	cr_assert_geq(strlen(e.field), sizeof(e.field) - 2);
}
