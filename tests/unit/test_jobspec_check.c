#include "../../src/core/jobspec_check.h"

#include <criterion/criterion.h>
#include <string.h>

#include "slipway/mem.h"

Test(jobspec_check, repositories_that_are_accepted)
{
	static const char *const good[] = { "https://github.com/o/r.git",
					    "http://h:8080/r",
					    "https://[::1]:80/r",
					    "ssh://git@h/r",
					    "ssh://h:22/~/r",
					    "git@github.com:o/r.git",
					    "git@h:/abs/r",
					    "file:///srv/r",
					    "/srv/git/r.git",
					    "https://h/a@b:c",
					    "git@[::1]:r" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		cr_assert_null(jobspec_check_repo(good[i]), "%s", good[i]);
}

Test(jobspec_check, repositories_that_are_refused)
{
	static const char *const bad[] = { "",
					   "x",
					   "o/r",
					   "./r",
					   "../r",
					   "ftp://h/r",
					   "git://h/r",
					   "HTTPS://h/r",
					   "https://",
					   "https://h",
					   "https://h/",
					   "https:///r",
					   "https://h:x/r",
					   "https://h:123456/r",
					   "https://-h/r",
					   "file://h/r",
					   "file://",
					   "/",
					   "//",
					   "/a/../b",
					   "file:///a/..",
					   "-u@h:r",
					   "--upload-pack=x",
					   "https://h/a b",
					   "https://h/a\nb",
					   "https://h/r?t=x",
					   "https://h/r#f",
					   "git@h:",
					   "git@h:-x",
					   "git@:r",
					   "@h:r",
					   "ext::sh -c x",
					   "ssh://-oProxy@h/r",
					   "ssh://h",
					   "git@-h:r",
					   "https://[::1/r",
					   "https://[]/r",
					   "ext::x" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(jobspec_check_repo(bad[i]), "%s", bad[i]);
}

Test(jobspec_check, credentials_in_a_repository_are_refused_with_a_hint)
{
	static const char *const bad[] = { "https://u:p@h/r", "https://tok@h/r",
					   "http://:p@h/r",   "ssh://u:p@h/r",
					   "u:p@h:r",	      "https://a@b:c@h/r" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *wrong = jobspec_check_repo(bad[i]);

		cr_assert(wrong && strstr(wrong, "git.credentials"), "%s", bad[i]);
	}
}

Test(jobspec_check, refs_follow_gits_rules)
{
	static const char *const good[] = {
		"main",		"a/b",
		"v1.0",		"\xc3\xa4",
		"refs/heads/x", "0123456789abcdef0123456789abcdef01234567",
		"a@b",		"a-"
	};
	static const char *const bad[] = { "-x",   "a..b",     "a b", "a~1", "a^",
					   "a:b",  "a?",       "a*",  "a[",  "a\\b",
					   "a@{b", "x.lock",   "a/",  "/a",  "a//b",
					   ".a",   "a/.b",     "a.",  "@",   "a\x7f",
					   "a\n",  "x.lock/y", "" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		cr_assert_null(jobspec_check_ref(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(jobspec_check_ref(bad[i]), "%s", bad[i]);
}

Test(jobspec_check, working_directories_are_normalised)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ ".", "/workspace/repo" },	{ "a//b/../c", "/workspace/repo/a/c" },
		{ "..", "/workspace" },		{ "../home", "/workspace/home" },
		{ "/workspace", "/workspace" }, { "/workspace/x/", "/workspace/x" }
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[64];

		cr_assert_null(jobspec_check_cwd(cases[i].in, out, sizeof(out)));
		cr_assert_str_eq(out, cases[i].want);
	}
}

Test(jobspec_check, working_directories_stay_in_the_workspace)
{
	static const char *const bad[] = { "../..",
					   "/",
					   "/etc",
					   "/workspaces",
					   "a/../../../etc",
					   "/workspace/../etc",
					   "a\a" };
	char out[64];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(jobspec_check_cwd(bad[i], out, sizeof(out)), "%s", bad[i]);
}

Test(jobspec_check, shells_are_names_or_absolute_paths)
{
	cr_assert_null(jobspec_check_shell("/usr/bin/python3.11"));
	cr_assert_null(jobspec_check_shell("bash"));
	cr_assert(jobspec_check_shell("-c"));
	cr_assert(jobspec_check_shell("bin/sh"));
	cr_assert(jobspec_check_shell("sh -x"));
	cr_assert(jobspec_check_shell(""));
}
