#include <criterion/criterion.h>

#include "web/html.h"

static void
expect_text(const char *in, const char *want)
{
	cleanup_strbuf struct strbuf out = { 0 };

	html_text(&out, in);
	cr_expect_str_eq(strbuf_str(&out), want);
}

Test(html, markup_becomes_text)
{
	expect_text("<script>alert(\"x\")</script>",
		    "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;");
	expect_text("a' onclick='b & c", "a&#39; onclick=&#39;b &amp; c");
}

Test(html, what_is_no_text_is_replaced)
{
	expect_text("a\x01\x1b\xff", "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("gr\xc3\xbc\xc3\x9f\nzwei\t", "gr\xc3\xbc\xc3\x9f\nzwei\t");
}

Test(html, times_are_utc)
{
	cleanup_strbuf struct strbuf out = { 0 };

	html_time(&out, 0);
	cr_expect_eq(out.len, 0);
	html_time(&out, 1700000000999);
	cr_expect_str_eq(out.data, "<time datetime=\"2023-11-14T22:13:20Z\">"
				   "2023-11-14 22:13:20</time>");
}

Test(html, durations_change_units_at_a_second_a_minute_and_an_hour)
{
	static const struct {
		int64_t ms;
		const char *want;
	} cases[] = { { 0, "0 ms" },
		      { 999, "999 ms" },
		      { 1000, "1.0 s" },
		      { 59999, "59.9 s" },
		      { 60000, "1 min 0 s" },
		      { 3599999, "59 min 59 s" },
		      { 3600000, "1 h 0 min" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_strbuf struct strbuf out = { 0 };

		html_duration(&out, cases[i].ms);
		cr_expect_str_eq(out.data, cases[i].want);
	}
}

Test(html, sizes_change_units_by_1024)
{
	static const struct {
		uint64_t bytes;
		const char *want;
	} cases[] = { { 0, "0 bytes" },
		      { 1023, "1023 bytes" },
		      { 1024, "1.0 KiB" },
		      { 1536, "1.5 KiB" },
		      { 10240, "10 KiB" },
		      { 1048575, "1023 KiB" },
		      { 1048576, "1.0 MiB" },
		      { 5ull << 30, "5.0 GiB" },
		      { 3ull << 50, "3072 TiB" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_strbuf struct strbuf out = { 0 };

		html_bytes(&out, cases[i].bytes);
		cr_expect_str_eq(out.data, cases[i].want, "got %s", out.data);
	}
}
