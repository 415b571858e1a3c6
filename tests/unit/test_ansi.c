#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "slipway/ansi.h"
#include "slipway/strbuf.h"

/* "text", and before it "{fg,bg,attrs}" where the style changes. */
struct shown {
	struct strbuf out;
	struct ansi_style last;
};

static void
on_run(void *arg, const struct ansi_style *s, const char *text, size_t len)
{
	struct shown *x = arg;

	if (!ansi_style_same(s, &x->last))
		strbuf_addf(&x->out, "{%d,%d,%u}", s->fg - 1, s->bg - 1, s->attrs);
	x->last = *s;
	strbuf_add(&x->out, text, len);
}

static struct ansi_style
expect_from(struct ansi_style style, const char *in, size_t len, const char *want)
{
	struct ansi_style after = style, skipped = style;
	struct shown x = { .last = style };

	ansi_line(&after, in, len, on_run, &x);
	ansi_skip(&skipped, in, len);
	cr_expect_str_eq(strbuf_str(&x.out), want, "%s: got %s", in,
			 strbuf_str(&x.out));
	cr_expect(ansi_style_same(&after, &skipped), "%s: skip goes elsewhere", in);
	cr_expect(ansi_style_is_valid(&after));
	strbuf_free(&x.out);
	return after;
}

#define EXPECT(in, want) expect_from((struct ansi_style){ 0 }, in, sizeof(in) - 1, want)

Test(ansi, plain_text_is_one_run)
{
	EXPECT("hello\tw\xc3\xb6rld", "hello\tw\xc3\xb6rld");
	EXPECT("", "");
}

Test(ansi, the_sixteen_colours)
{
	EXPECT("a\x1b[31mb\x1b[0mc", "a{1,-1,0}b{-1,-1,0}c");
	EXPECT("\x1b[30;47mx", "{0,7,0}x");
	EXPECT("\x1b[97;100mx\x1b[39my\x1b[49mz", "{15,8,0}x{-1,8,0}y{-1,-1,0}z");
	EXPECT("\x1b[31mx\x1b[my", "{1,-1,0}x{-1,-1,0}y");
}

Test(ansi, attributes_come_and_go)
{
	EXPECT("\x1b[1;2;3;4;7;9mx", "{-1,-1,63}x");
	EXPECT("\x1b[1;2mx\x1b[22my", "{-1,-1,3}x{-1,-1,0}y");
	EXPECT("\x1b[3;4;7;9mx\x1b[23;24;27;29my", "{-1,-1,60}x{-1,-1,0}y");
	EXPECT("\x1b[4:3mx\x1b[4:0my", "{-1,-1,8}x{-1,-1,0}y");
}

Test(ansi, the_palette_of_256)
{
	EXPECT("\x1b[38;5;208mx", "{208,-1,0}x");
	EXPECT("\x1b[48;5;0;1mx", "{-1,0,1}x");
	EXPECT("\x1b[38:5:255mx", "{255,-1,0}x");
	EXPECT("\x1b[31;38;5;256mx", "x");
	EXPECT("\x1b[31;38;5mx", "x");
}

Test(ansi, true_colours_become_the_nearest)
{
	EXPECT("\x1b[38;2;255;0;0mx", "{196,-1,0}x");
	EXPECT("\x1b[48;2;0;95;135;4mx", "{-1,24,8}x");
	EXPECT("\x1b[38:2::128:128:128mx", "{244,-1,0}x");
	EXPECT("\x1b[38:2:255:255:255mx", "{231,-1,0}x");
	EXPECT("\x1b[38;2;300;0;0;1mx", "{-1,-1,1}x");
	EXPECT("\x1b[58;2;1;2;3;1mx", "{-1,-1,1}x");
}

Test(ansi, all_else_is_taken_out)
{
	EXPECT("a\x1b[2Kb\x1b[1A\x1b[?25lc", "abc");
	EXPECT("a\x1b]0;title\x07"
	       "b",
	       "ab");
	EXPECT("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb");
	EXPECT("a\x1bP1$r0m\x1b\\b\x1b(Bc\x1b=d", "abcd");
	EXPECT("a\x1b[>4;2mb\x1b[1 qc", "abc");
	EXPECT("a\x07\x08\x00\x7f"
	       "b\xc2\x9b"
	       "c\xc2\xa0"
	       "d",
	       "abc\xc2\xa0"
	       "d");
}

Test(ansi, what_is_cut_off_ends_with_the_line)
{
	EXPECT("a\x1b", "a");
	EXPECT("a\x1b[", "a");
	EXPECT("a\x1b[31", "a");
	EXPECT("a\x1b]0;never ended", "a");
	EXPECT("a\x1b[31\xffz", "a\xffz");
}

Test(ansi, the_limit_of_parameters)
{
	char in[300] = "\x1b[", want[32];

	for (int i = 0; i < 31; i++)
		strcat(in, "0;");
	strcat(in, "1;31mx"); /* the 32nd still counts */
	snprintf(want, sizeof(want), "{-1,-1,%u}x", ANSI_BOLD);
	expect_from((struct ansi_style){ 0 }, in, strlen(in), want);
	EXPECT("\x1b[99999999999999999999mx\x1b[1mb", "x{-1,-1,1}b");
}

Test(ansi, a_carriage_return_begins_anew)
{
	EXPECT("10%\r50%\r100%", "100%");
	EXPECT("done\r", "done");
	EXPECT("done\r\r", "done");
	EXPECT("done\r\x1b[K", "done");
	EXPECT("\x1b[31mred\rnew", "{1,-1,0}new");
}

Test(ansi, a_style_goes_on_in_the_next_line)
{
	struct ansi_style s = EXPECT("a\x1b[1;33mb", "a{3,-1,1}b");

	s = expect_from(s, "c\x1b[0md", 6, "c{-1,-1,0}d");
	cr_expect(ansi_style_is_plain(&s));
}

Test(ansi, the_palette_has_its_corners)
{
	cr_expect_eq(ansi_rgb(16), 0x000000);
	cr_expect_eq(ansi_rgb(196), 0xff0000);
	cr_expect_eq(ansi_rgb(231), 0xffffff);
	cr_expect_eq(ansi_rgb(232), 0x080808);
	cr_expect_eq(ansi_rgb(255), 0xeeeeee);
}
