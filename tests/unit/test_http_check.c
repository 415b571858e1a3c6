#include <criterion/criterion.h>
#include <string.h>

#include "http_check.h"

static struct http_hosts hosts;

static void
set_up(void)
{
	http_hosts_add(&hosts, "localhost");
	http_hosts_add(&hosts, "127.0.0.1");
	http_hosts_add(&hosts, "::1");
	http_hosts_add(&hosts, "ci.example.org");
}

static void
tear_down(void)
{
	http_hosts_free(&hosts);
}

TestSuite(http_check, .init = set_up, .fini = tear_down);

Test(http_check, allowed_hosts_pass_with_any_port)
{
	static const char *const good[] = { "localhost",     "localhost:8080",
					    "LocalHost",     "127.0.0.1:1",
					    "[::1]",	     "[::1]:65535",
					    "ci.example.org" };

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		cr_assert(http_check_host(good[i], &hosts), "%s", good[i]);
}

Test(http_check, other_and_malformed_hosts_do_not)
{
	static const char *const bad[] = {
		"evil.example.org",
		"localhost.",
		"localhost:",
		"localhost:80x",
		"localhost:123456",
		"",
		":80",
		"[]",
		"[::1",
		"[::1]x",
		"::1",
		"localhost,evil",
		"a@localhost",
		"localhost/",
		"local host",
		"[localhost]",
		"127.0.0.1.evil",
		"ci.example.org.evil.com",
		"localhost:80:80",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_not(http_check_host(bad[i], &hosts), "%s", bad[i]);
}

Test(http_check, a_host_name_fits_up_to_its_limit)
{
	char name[HTTP_HOST_MAX], value[HTTP_HOST_MAX + 1];

	memset(value, 'a', sizeof(value));
	value[HTTP_HOST_MAX - 1] = '\0';
	cr_assert(http_host_name(value, name));
	cr_assert_str_eq(name, value);
	value[HTTP_HOST_MAX - 1] = 'a';
	value[HTTP_HOST_MAX] = '\0';
	cr_assert_not(http_host_name(value, name));
}

Test(http_check, an_origin_is_a_scheme_and_an_allowed_host)
{
	cr_assert(http_check_origin("http://localhost:3000", &hosts));
	cr_assert(http_check_origin("https://ci.example.org", &hosts));
	cr_assert_not(http_check_origin("null", &hosts));
	cr_assert_not(http_check_origin("", &hosts));
	cr_assert_not(http_check_origin("localhost", &hosts));
	cr_assert_not(http_check_origin("ftp://localhost", &hosts));
	cr_assert_not(http_check_origin("https://evil.example.org", &hosts));
	cr_assert_not(http_check_origin("https://localhost/", &hosts));
	cr_assert_not(http_check_origin("https://localhost@evil.org", &hosts));
}

Test(http_check, json_may_have_parameters)
{
	cr_assert(http_check_json("application/json"));
	cr_assert(http_check_json("Application/JSON; charset=utf-8"));
	cr_assert(http_check_json("application/json ;x=y"));
	cr_assert_not(http_check_json("application/jsonp"));
	cr_assert_not(http_check_json("application/json-patch+json"));
	cr_assert_not(http_check_json("text/plain"));
	cr_assert_not(http_check_json("text/plain; application/json"));
	cr_assert_not(http_check_json("application/json, text/plain"));
	cr_assert_not(http_check_json(""));
	cr_assert_not(http_check_json(NULL));
}

Test(http_check, forms_and_only_they_are_forms)
{
	cr_assert(http_check_form("application/x-www-form-urlencoded"));
	cr_assert(http_check_form("application/X-WWW-form-urlencoded; charset=utf-8"));
	cr_assert_not(http_check_form("application/x-www-form-urlencoded2"));
	cr_assert_not(http_check_form("application/json"));
	cr_assert_not(http_check_form("multipart/form-data"));
	cr_assert_not(http_check_form(NULL));
}

Test(http_check, headers_cannot_break_out_of_their_line)
{
	cr_assert(http_check_header("X-A_b.1", "any text; \t\xc3\xbc"));
	cr_assert(http_check_header("A", ""));
	cr_assert_not(http_check_header("", "x"));
	cr_assert_not(http_check_header("A B", "x"));
	cr_assert_not(http_check_header("A:", "x"));
	cr_assert_not(http_check_header("A\n", "x"));
	cr_assert_not(http_check_header("A", "x\r\ny"));
	cr_assert_not(http_check_header("A", "x\n"));
	cr_assert_not(http_check_header("A", "\x7f"));
	cr_assert_not(http_check_header("A", "\x01"));
}
