#include <criterion/criterion.h>
#include <string.h>

#include "cli/term.h"

static void
expect_filter(bool colours, const char *in, const char *want)
{
	for (size_t piece = 1; piece <= strlen(in); piece++) {
		cleanup_strbuf struct strbuf out = { 0 };
		struct term_filter f = { .colours = colours };

		for (size_t at = 0; at < strlen(in); at += piece) {
			size_t left = strlen(in) - at;

			term_filter(&f, in + at, left < piece ? left : piece, &out);
		}
		cr_expect_str_eq(strbuf_str(&out), want, "in pieces of %zu", piece);
	}
}

Test(term, names_show_their_control_bytes)
{
	cleanup_strbuf struct strbuf out = { 0 };

	term_text(&out, "a\x1b[31m\n\xff gr\xc3\xbc\xc3\x9f \xc2\x9b");
	cr_expect_str_eq(out.data,
			 "a\\x1b[31m\\x0a\\xff gr\xc3\xbc\xc3\x9f \\xc2\\x9b");
}

Test(term, colours_pass_and_other_sequences_do_not)
{
	expect_filter(true, "\x1b[1;31mred\x1b[0m\n", "\x1b[1;31mred\x1b[0m\n");
	expect_filter(true, "a\x1b[2Jb\x1b[10;10Hc\x1b[?25ld\n", "abcd\n");
	expect_filter(true, "\x1b]0;title\x07x\x1b]8;;u\x1b\\y\x1b(Bz\x1b=\n", "xyz\n");
	expect_filter(true, "\x1bP1;2q data\x1b\\x\x1b_apc\x1b\\y\n", "xy\n");
}

Test(term, colours_go_when_they_are_not_wanted)
{
	expect_filter(false, "\x1b[1;31mred\x1b[0m\n", "red\n");
}

Test(term, control_bytes_go_but_layout_stays)
{
	expect_filter(true,
		      "a\tb\r\n\x07\x08\x7f"
		      "c\x05",
		      "a\tb\r\nc");
	expect_filter(true,
		      "x\xc2\x9b"
		      "31my",
		      "x31my");
	expect_filter(true, "\xc2\xa9 gr\xc3\xbc\xc3\x9f",
		      "\xc2\xa9 gr\xc3\xbc\xc3\x9f");
}

Test(term, what_is_left_open_ends_with_its_line)
{
	expect_filter(true, "a\x1b[31\nb\n", "a\nb\n");
	expect_filter(true, "a\x1b]0;never ended\nb\n", "ab\n");
}

Test(term, private_and_endless_sequences_are_no_colours)
{
	char in[256] = "\x1b[", digits[] = "1;";

	for (int i = 0; i < 60; i++)
		strcat(in, digits);
	strcat(in, "mx");
	expect_filter(true, in, "x");
	expect_filter(true, "\x1b[>4;1mx\x1b[?1mx", "xx");
}

Test(term, text_that_would_turn_its_direction_is_escaped)
{
	cleanup_strbuf struct strbuf out = { 0 };

	term_text(&out, "a\xe2\x80\xae" "b\xe2\x81\xa6\xe2\x80\xa8\xe2\x80\xa6");
	cr_expect_str_eq(out.data,
			 "a\\xe2\\x80\\xaeb\\xe2\\x81\\xa6\\xe2\\x80\\xa8\xe2\x80\xa6");
}

Test(term, durations)
{
	cleanup_strbuf struct strbuf out = { 0 };

	term_duration(&out, 999);
	strbuf_addc(&out, ' ');
	term_duration(&out, 1000);
	strbuf_addc(&out, ' ');
	term_duration(&out, 59999);
	strbuf_addc(&out, ' ');
	term_duration(&out, 60000);
	strbuf_addc(&out, ' ');
	term_duration(&out, 3600000 * 2 + 300000);
	cr_expect_str_eq(out.data, "999ms 1.0s 59.9s 1m00s 2h05m");
}
