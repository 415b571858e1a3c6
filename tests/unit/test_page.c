#include <criterion/criterion.h>
#include <string.h>

#include "slipway/mem.h"
#include "web/page.h"
#include "web/page_steps.h"

static void
expect(struct strbuf *out, const char *want)
{
	cr_expect_str_eq(strbuf_str(out), want, "got %s", strbuf_str(out));
	strbuf_free(out);
}

Test(page, repositories_are_called_by_the_end_of_their_address)
{
	static const struct {
		const char *repo, *want;
	} cases[] = {
		{ "https://github.com/acme/web.git", "acme/web" },
		{ "https://github.com/acme/web/", "acme/web" },
		{ "git@github.com:acme/web.git", "acme/web" },
		{ "ssh://git@host/web", "host/web" },
		{ "/srv/git/web.git", "git/web" },
		{ "/web", "/web" },
		{ "web", "web" },
		{ ".git", ".git" },
		{ "/", "/" },
		{ "/x/<b>", "x/&lt;b&gt;" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf out = { 0 };

		page_repo_name(&out, cases[i].repo);
		expect(&out, cases[i].want);
	}
}

Test(page, a_sha_is_shown_by_its_beginning_and_a_name_whole)
{
	struct strbuf out = { 0 };

	page_commit(&out, "0123456789012345678901234567890123456789");
	expect(&out, "<code title=\"0123456789012345678901234567890123456789\">"
		     "0123456789</code>");
	page_commit(&out, "v1.0-\"rc\"");
	expect(&out, "<code title=\"v1.0-&quot;rc&quot;\">v1.0-&quot;rc&quot;</code>");
	page_commit(&out, "012345678901234567890123456789012345678");
	cr_expect_not_null(
		strstr(out.data, "012345678901234567890123456789012345678<"));
	strbuf_free(&out);
}

Test(page, numbers_have_their_thousands_apart)
{
	static const struct {
		uint64_t n;
		const char *want;
	} cases[] = { { 0, "0" },
		      { 999, "999" },
		      { 1000, "1,000" },
		      { 1234567, "1,234,567" },
		      { 100000, "100,000" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct strbuf out = { 0 };

		page_number(&out, cases[i].n);
		expect(&out, cases[i].want);
	}
}

Test(page, how_long_ago)
{
	static const struct {
		int64_t ms;
		const char *want;
	} cases[] = { { -5000, ">just now<" },	   { 0, ">just now<" },
		      { 59999, ">just now<" },	   { 60000, ">1 min ago<" },
		      { 3599999, ">59 min ago<" }, { 3600000, ">1 h ago<" },
		      { 86400000, ">1 d ago<" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page p = { .now = 1700000000000 };

		page_ago(&p, p.now - cases[i].ms);
		cr_expect_not_null(strstr(p.html.data, cases[i].want), "%s",
				   p.html.data);
		strbuf_free(&p.html);
	}
}

Test(page, durations_are_told_or_counted)
{
	struct page p = { .now = 5000 };

	page_duration(&p, 0, 0);
	page_duration(&p, 3000, 2000);
	cr_expect_eq(p.html.len, 0);
	page_duration(&p, 1000, 2500);
	expect(&p.html, "1.5 s");
	page_duration(&p, 2000, 0);
	expect(&p.html, "<span data-elapsed=\"3000\">3.0 s</span>");
	page_duration(&p, 9000, 0); /* a clock went back */
	expect(&p.html, "<span data-elapsed=\"0\">0 ms</span>");
}

Test(page, every_state_has_an_icon_and_a_word)
{
	for (enum job_state s = 0; s < JOB_STATES; s++) {
		cleanup_strbuf struct strbuf out = { 0 };

		page_badge(&out, s);
		cr_expect_not_null(strstr(out.data, "<svg "), "%s", job_state_name(s));
		cr_expect_not_null(strstr(out.data, job_state_name(s)));
	}
	for (enum step_state s = 0; s < STEP_STATES; s++) {
		cleanup_strbuf struct strbuf out = { 0 };

		page_icon(&out, step_state_name(s));
		cr_expect_gt(out.len, 0, "%s", step_state_name(s));
	}
}

Test(page, every_reason_has_words)
{
	for (enum job_reason r = REASON_NONE + 1; r < REASONS; r++) {
		struct job_view v = { .job = { .state = JOB_FAILURE } };
		const struct shown_attempt s = {
			.v = &v, .state = JOB_FAILURE, .reason = r, .error = ""
		};
		struct page p = { 0 };

		page_fate(&p, &s);
		cr_expect_str_neq(p.html.data, "<p class=\"fate s-failure\"></p>\n",
				  "%s", job_reason_name(r));
		strbuf_free(&p.html);
	}
}
