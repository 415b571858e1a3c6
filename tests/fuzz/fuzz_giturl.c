/* Addresses of repositories, absolute and relative, and the policy for them. */
#include <stdio.h>

#include "fuzz.h"
#include "slipway/giturl.h"

static void
check_one(const struct giturl *u)
{
	static char host[] = "*.example.org:*", root[] = "/srv";
	static char *hosts[] = { host }, *roots[] = { root };
	struct giturl_policy p = { hosts, 1, roots, 1 }, open = { NULL, 0, NULL, 0 };
	struct giturl again;
	struct err e;
	char text[GITURL_MAX], text_again[GITURL_MAX];

	/* The usual spelling is one that parses to itself. */
	giturl_format(u, text);
	fuzz_must(!giturl_parse(text, &again, &e));
	giturl_format(&again, text_again);
	fuzz_must(!strcmp(text, text_again));
	fuzz_must(u->scheme == again.scheme && u->port == again.port);
	giturl_format_short(u, text);
	giturl_check(u, &p, &e);
	if (u->scheme == GITURL_LOCAL)
		fuzz_must(giturl_check(u, &open, &e));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const bases[] = { "https://h.example.org/a/b", "git@h:a/b",
					     "/srv/git/a" };
	char *text = fuzz_text(data, size);
	struct giturl base, u;
	struct err e;

	if (!giturl_parse(text, &u, &e))
		check_one(&u);
	for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		fuzz_must(!giturl_parse(bases[i], &base, &e));
		if (!giturl_resolve(&base, text, &u, &e))
			check_one(&u);
	}
	free(text);
	return 0;
}
