#include <criterion/criterion.h>

#include "http_route.h"

static void
handler(struct http_req r, void *arg)
{
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/", 0, handler },
	{ HTTP_GET, "/jobs", 0, handler },
	{ HTTP_POST, "/jobs/submit", HTTP_ROUTE_CHANGES, handler },
	{ HTTP_GET, "/route", 0, handler },
	{ HTTP_POST, "/route", 0, handler },
	{ HTTP_GET, "/files/", HTTP_ROUTE_PREFIX, handler },
	{ HTTP_DELETE, "/files/", HTTP_ROUTE_PREFIX, handler },
	{ HTTP_GET, "/files/deep/", HTTP_ROUTE_PREFIX, handler },
	{ HTTP_PUT, "/files/exact", 0, handler },
	{ 0, NULL, 0, NULL },
};

static const struct http_route *
find(enum http_method method, const char *path)
{
	bool known;

	return http_route_find(routes, method, path, &known);
}

static bool
known(enum http_method method, const char *path)
{
	bool known_path;

	http_route_find(routes, method, path, &known_path);
	return known_path;
}

static const char *
allow(const char *path)
{
	static char text[HTTP_ALLOW_LEN];

	http_route_allow(routes, path, text);
	return text;
}

Test(http_route, an_exact_path_finds_its_route)
{
	cr_assert_eq(find(HTTP_GET, "/"), &routes[0]);
	cr_assert_eq(find(HTTP_GET, "/jobs"), &routes[1]);
	cr_assert_eq(find(HTTP_POST, "/route"), &routes[4]);
}

Test(http_route, near_misses_are_unknown)
{
	static const char *const paths[] = { "/jobs/", "/job", "/JOBS", "/jobs/submit/",
					     "/files", "",     "//" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		cr_assert_null(find(HTTP_GET, paths[i]), "%s", paths[i]);
		cr_assert_not(known(HTTP_GET, paths[i]), "%s", paths[i]);
	}
}

Test(http_route, a_wrong_method_on_a_known_path_is_told_apart)
{
	cr_assert_null(find(HTTP_DELETE, "/jobs"));
	cr_assert(known(HTTP_DELETE, "/jobs"));
}

Test(http_route, the_longest_prefix_wins_and_exact_beats_prefix)
{
	cr_assert_eq(find(HTTP_GET, "/files/a/b"), &routes[5]);
	cr_assert_eq(find(HTTP_GET, "/files/deep/b"), &routes[7]);
	cr_assert_eq(find(HTTP_PUT, "/files/exact"), &routes[8]);
	cr_assert_null(find(HTTP_GET, "/files/exact"));
	cr_assert_null(find(HTTP_DELETE, "/files/deep/b"));
}

Test(http_route, rest_is_what_follows_the_prefix)
{
	cr_assert_str_eq(http_route_rest(&routes[5], "/files/a/b"), "a/b");
	cr_assert_str_eq(http_route_rest(&routes[5], "/files/"), "");
	cr_assert_str_eq(http_route_rest(&routes[1], "/jobs"), "");
}

Test(http_route, allow_names_every_method_of_the_path)
{
	cr_assert_str_eq(allow("/route"), "GET, HEAD, POST");
	cr_assert_str_eq(allow("/files/x"), "GET, HEAD, DELETE");
	cr_assert_str_eq(allow("/files/exact"), "PUT");
	cr_assert_str_eq(allow("/nowhere"), "");
}

Test(http_route, options_are_a_space_of_their_own)
{
	static const struct http_route with[] = {
		{ HTTP_GET, "/jobs", 0, handler },
		{ HTTP_OPTIONS, "/", HTTP_ROUTE_PREFIX, handler },
		{ 0, NULL, 0, NULL },
	};
	char text[HTTP_ALLOW_LEN];
	bool known_path;

	cr_assert_null(find(HTTP_OPTIONS, "/jobs"));
	cr_assert(known(HTTP_OPTIONS, "/jobs"));
	cr_assert_not(known(HTTP_OPTIONS, "/nothing"));
	cr_assert_eq(http_route_find(with, HTTP_OPTIONS, "/jobs", &known_path), &with[1]);
	cr_assert_eq(http_route_find(with, HTTP_OPTIONS, "/x", &known_path), &with[1]);
	cr_assert_null(http_route_find(with, HTTP_GET, "/x", &known_path));
	cr_assert_not(known_path);
	http_route_allow(with, "/jobs", text);
	cr_assert_str_eq(text, "GET, HEAD");
}
