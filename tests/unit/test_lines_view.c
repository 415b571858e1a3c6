#include <criterion/criterion.h>
#include <json-c/json.h>

#include "frames_fixture.h"
#include "web/lines_view.h"

static struct line_window
window_of(struct log_line *line, const char *text, size_t len)
{
	struct line_window w = { .from = 12, .lines = line, .n = 1 };

	line->len = len;
	strbuf_add(&w.text, text, len);
	return w;
}

static void
expect_json(struct log_line line, const char *text, size_t len, const char *want)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct line_window w = window_of(&line, text, len);
	struct json_object *o;

	lines_json(&w, &out);
	cr_expect_str_eq(out.data, want, "got %s", out.data);
	o = json_tokener_parse(out.data);
	cr_expect(json_object_is_type(o, json_type_array));
	json_object_put(o);
	strbuf_free(&w.text);
}

#define TEXT(s) s, sizeof(s) - 1

Test(lines_view, a_line_as_json)
{
	expect_json((struct log_line){ .type = FRAME_STDOUT, .step = 2, .time_ms = 5 },
		    TEXT("a\"\\\tb"),
		    "[{\"n\":12,\"step\":2,\"stream\":\"stdout\",\"time\":5,"
		    "\"text\":\"a\\\"\\\\\\u0009b\"}]");
	expect_json((struct log_line){ .type = FRAME_NOTE, .step = FRAME_NO_STEP },
		    TEXT("note"),
		    "[{\"n\":12,\"stream\":\"note\",\"time\":0,\"text\":\"note\"}]");
	expect_json((struct log_line){ .type = FRAME_NOTE,
				       .step = FRAME_NO_STEP,
				       .flags = FRAME_ERROR },
		    TEXT("note"),
		    "[{\"n\":12,\"stream\":\"error\",\"time\":0,\"text\":\"note\"}]");
	expect_json((struct log_line){ .type = FRAME_STDERR, .open = true }, TEXT("x"),
		    "[{\"n\":12,\"step\":0,\"stream\":\"stderr\",\"time\":0,"
		    "\"text\":\"x\",\"open\":true}]");
}

Test(lines_view, spans_count_as_javascript_does)
{
	expect_json((struct log_line){ .type = FRAME_STDOUT },
		    TEXT("\xc3\xa4\xf0\x9f\x9a\xa2\x1b[1;31mred\x1b[0m."),
		    "[{\"n\":12,\"step\":0,\"stream\":\"stdout\",\"time\":0,"
		    "\"text\":\"\xc3\xa4\xf0\x9f\x9a\xa2red.\","
		    "\"spans\":[[3,3,\"b f1\"]]}]");
	expect_json((struct log_line){ .type = FRAME_STDOUT, .style = { .bg = 5 } },
		    TEXT("x\x1b[7my\x1b[7;39;49mz"),
		    "[{\"n\":12,\"step\":0,\"stream\":\"stdout\",\"time\":0,"
		    "\"text\":\"xyz\","
		    "\"spans\":[[0,1,\"g g4\"],[1,1,\"f4 g gi\"],[2,1,\"g gi\"]]}]");
}

Test(lines_view, what_is_no_text_is_replaced_in_json)
{
	expect_json((struct log_line){ .type = FRAME_STDOUT }, TEXT("a\xff\0b"),
		    "[{\"n\":12,\"step\":0,\"stream\":\"stdout\",\"time\":0,"
		    "\"text\":\"a\xef\xbf\xbd"
		    "b\"}]");
}

static void
expect_html(struct log_line line, const char *text, size_t len, const char *want)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct line_window w = window_of(&line, text, len);

	lines_html(&w, &out);
	cr_expect_str_eq(out.data, want, "got %s", out.data);
	strbuf_free(&w.text);
}

#define ROW(stream)                                                                    \
	"<div class=\"l " stream "\" id=\"L12\"><a href=\"#L12\">12</a>"               \
	"<time datetime=\"1970-01-01T00:00:01.002Z\">00:00:01.002</time><span>"

Test(lines_view, markup_stays_text_in_rows)
{
	expect_html((struct log_line){ .type = FRAME_STDOUT, .time_ms = 1002 },
		    TEXT("<b onclick='x'>&\x1b[31m</span><script>"),
		    ROW("stdout") "&lt;b onclick=&#39;x&#39;&gt;&amp;"
				  "<span class=\"f1\">&lt;/span&gt;&lt;script&gt;"
				  "</span></span></div>\n");
	expect_html((struct log_line){ .type = FRAME_STEP_START, .time_ms = 1002 },
		    TEXT("\"><img src=x>"),
		    ROW("step") "&quot;&gt;&lt;img src=x&gt;</span></div>\n");
}

Test(lines_view, a_clock_may_say_anything)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct log_line line = { .type = FRAME_STDOUT, .time_ms = UINT64_MAX };
	struct line_window w = window_of(&line, TEXT("x"));

	lines_html(&w, &out);
	cr_expect_not_null(strstr(out.data, "1970-01-01T00:00:00.000Z"));
	strbuf_reset(&out);
	lines_json(&w, &out);
	cr_expect_not_null(strstr(out.data, "\"time\":9223372036854775807"));
	strbuf_free(&w.text);
}

Test(lines_view, every_colour_can_be_read)
{
	cr_expect_geq(ansi_contrast(0xffffff, 0x000000), 2050);
	cr_expect_eq(ansi_contrast(0x123456, 0x123456), 100);
	cr_expect_geq(ansi_contrast(ANSI_TEXT, ANSI_GROUND), 1000);
	for (unsigned i = 0; i < 256; i++)
		cr_expect_geq(ansi_contrast(ansi_legible(i), ANSI_GROUND), 450, "%u",
			      i);
}

Test(lines_view, the_style_rules_name_every_colour)
{
	cleanup_strbuf struct strbuf css = { 0 };
	char rule[16];

	ansi_css(&css);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(rule, sizeof(rule), "\n.f%u{", i);
		cr_expect_not_null(strstr(css.data, rule), "%s", rule);
		snprintf(rule, sizeof(rule), "\n.g%u{", i);
		cr_expect_not_null(strstr(css.data, rule), "%s", rule);
	}
}
