#include "../../src/cli/here.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static bool
has(const struct here_names *names, const char *name)
{
	for (unsigned i = 0; i < names->n; i++)
		if (strcmp(names->v[i], name) == 0)
			return true;
	return false;
}

static void
expect_all(const char *url, const char *const *names)
{
	struct here_names found = { 0 };

	here_spellings(url, &found);
	cr_expect_str_eq(found.v[0], url, "as it is comes first");
	for (; *names; names++)
		cr_expect(has(&found, *names), "%s: no %s", url, *names);
	here_names_free(&found);
}

Test(here, a_remote_has_many_spellings)
{
	static const char *const names[] = { "https://git.example.org/team/app",
					     "https://git.example.org/team/app.git",
					     "git@git.example.org:team/app",
					     "git@git.example.org:team/app.git",
					     "ssh://git@git.example.org/team/app.git", NULL };

	for (const char *const *n = names; *n; n++)
		expect_all(*n, names);
}

Test(here, a_directory_is_a_url_too)
{
	static const char *const names[] = { "/srv/app", "file:///srv/app", NULL };

	expect_all("/srv/app", names);
	expect_all("file:///srv/app", names);
}

Test(here, what_is_no_url_stays_as_it_is)
{
	static const char *const names[] = { "C:\\app", NULL };

	expect_all("C:\\app", names);
}

Test(here, no_spelling_comes_twice_and_there_is_an_end)
{
	struct here_names found = { 0 };
	char url[64];

	for (int i = 0; i < 50; i++) {
		snprintf(url, sizeof(url), "https://git.example.org/%d/app.git", i);
		here_spellings(url, &found);
		here_spellings(url, &found);
	}
	cr_expect_eq(found.n, HERE_NAMES_MAX);
	for (unsigned i = 0; i < found.n; i++)
		for (unsigned k = 0; k < i; k++)
			cr_expect_str_neq(found.v[i], found.v[k]);
	here_names_free(&found);
}
