#include <criterion/criterion.h>
#include <string.h>

#include "slipway/strbuf.h"
#include "slipway/utf8.h"

Test(strbuf, empty_reads_as_an_empty_string)
{
	struct strbuf b = { 0 };

	cr_assert_str_eq(strbuf_str(&b), "");
	strbuf_free(&b);
}

Test(strbuf, adds_keep_the_end_terminated)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_add(&b, "", 0);
	cr_assert_str_eq(b.data, "");
	strbuf_adds(&b, "ab");
	strbuf_addc(&b, 'c');
	strbuf_addf(&b, "%d%s", 12, "x");
	cr_assert_str_eq(b.data, "abc12x");
	cr_assert_eq(b.len, 6);
}

Test(strbuf, grows_past_its_first_size_in_every_way)
{
	cleanup_strbuf struct strbuf b = { 0 };
	char big[300];

	memset(big, 'q', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	for (int i = 0; i < 200; i++)
		strbuf_addc(&b, 'a');
	strbuf_addf(&b, "%s", big);
	strbuf_add(&b, big, sizeof(big));
	cr_assert_eq(b.len, 200 + 299 + 300);
	cr_assert_eq(b.data[b.len], '\0');
	cr_assert_eq(b.data[199], 'a');
	cr_assert_eq(b.data[200], 'q');
}

Test(strbuf, addf_of_exactly_the_room_left)
{
	for (int len = 60; len < 70; len++) {
		cleanup_strbuf struct strbuf b = { 0 };

		strbuf_addf(&b, "%*s", len, "x");
		cr_assert_eq(b.len, (size_t)len);
		cr_assert_eq(strlen(b.data), b.len);
	}
}

Test(strbuf, consume_drops_from_the_front)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_consume(&b, 3);
	strbuf_adds(&b, "hello");
	strbuf_consume(&b, 2);
	cr_assert_str_eq(b.data, "llo");
	strbuf_consume(&b, 99);
	cr_assert_str_eq(b.data, "");
	cr_assert_eq(b.len, 0);
}

Test(strbuf, reset_keeps_memory_but_no_content)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_adds(&b, "hello");
	strbuf_reset(&b);
	cr_assert_str_eq(strbuf_str(&b), "");
	cr_assert_neq(b.cap, 0);
}

static void
check_utf8(const char *in, size_t len, const char *want)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_add_utf8(&b, in, len);
	cr_assert_str_eq(strbuf_str(&b), want);
	cr_assert(utf8_is_valid(strbuf_str(&b), b.len));
}

#define BAD "\xef\xbf\xbd"

Test(strbuf, add_utf8_replaces_each_bad_byte)
{
	check_utf8("a\xc3\xa4z", 4, "a\xc3\xa4z");
	check_utf8("\xff", 1, BAD);
	check_utf8("a\xe2\x82", 3, "a" BAD BAD);
	check_utf8("\xc0\xaf", 2, BAD BAD);
	check_utf8("\xed\xa0\x80", 3, BAD BAD BAD);
	check_utf8("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD);
	check_utf8("\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf");
	check_utf8("", 0, "");
}

Test(utf8, decodes_the_limits_of_each_length)
{
	static const struct {
		const char *s;
		size_t n;
		uint32_t cp;
	} cases[] = { { "\x7f", 1, 0x7f },
		      { "\xc2\x80", 2, 0x80 },
		      { "\xdf\xbf", 2, 0x7ff },
		      { "\xe0\xa0\x80", 3, 0x800 },
		      { "\xef\xbf\xbf", 3, 0xffff },
		      { "\xf0\x90\x80\x80", 4, 0x10000 },
		      { "\xf4\x8f\xbf\xbf", 4, 0x10ffff },
		      { "\xe0\x9f\xbf", 0, 0 },
		      { "\xf0\x8f\xbf\xbf", 0, 0 },
		      { "\x80", 0, 0 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint32_t cp = 0;

		cr_assert_eq(utf8_decode(cases[i].s, strlen(cases[i].s), &cp),
			     cases[i].n);
		cr_assert_eq(cp, cases[i].cp);
	}
	cr_assert_eq(utf8_decode("", 0, NULL), 0);
}
