#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "slipway/checkout.h"
#include "slipway/giturl.h"

static enum err_code
check_with(const char *url, char **hosts, size_t nhosts, char **roots, size_t nroots)
{
	struct conf c = { .git_allow_hosts = { hosts, nhosts },
			  .git_local_roots = { roots, nroots } };
	struct err e = { 0 };

	if (!checkout_check_url(&c, url, &e))
		return ERR_NONE;
	cr_assert_neq(e.code, ERR_NONE);
	cr_assert(e.msg[0], "an error says why");
	return e.code;
}

static enum err_code
check(const char *url)
{
	return check_with(url, NULL, 0, NULL, 0);
}

static const char *
formatted(const char *url)
{
	static char out[GITURL_MAX];
	struct giturl u;
	struct err e = { 0 };

	cr_assert_eq(giturl_parse(url, &u, &e), 0, "%s: %s", url, e.msg);
	giturl_format(&u, out);
	return out;
}

Test(url_policy, public_hosts_are_allowed_by_default)
{
	static const char *const urls[] = {
		"https://github.com/org/repo.git", "http://example.com/x",
		"ssh://git@example.com/x.git",	   "ssh://git@example.com:2222/x.git",
		"git@github.com:org/repo.git",	   "example.com:repo",
		"https://8.8.8.8/x",		   "https://[2606:4700::1111]/x",
		"HTTPS://GitHub.com/org/repo",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		cr_expect_eq(check(urls[i]), ERR_NONE, "%s", urls[i]);
}

Test(url_policy, private_and_special_addresses_are_refused)
{
	static const char *const urls[] = {
		"http://127.0.0.1/x",	    "http://127.1/x",
		"http://2130706433/x",	    "http://0x7f000001/x",
		"http://0177.0.0.1/x",	    "http://0x7f.1/x",
		"http://0/x",		    "http://0.0.0.0/x",
		"http://10.1.2.3/x",	    "http://172.16.0.1/x",
		"http://172.31.255.255/x",  "http://192.168.1.1/x",
		"http://169.254.169.254/x", "http://100.64.0.1/x",
		"http://224.0.0.1/x",	    "http://255.255.255.255/x",
		"http://[::1]/x",	    "http://[::]/x",
		"http://[::ffff:10.0.0.1]/x", "http://[::ffff:7f00:1]/x",
		"http://[::127.0.0.1]/x",   "http://[64:ff9b::10.0.0.1]/x",
		"http://[2002:0a00:0001::]/x", "http://[2001::1]/x",
		"http://[fc00::1]/x",	    "http://[fd12::1]/x",
		"http://[fe80::1]/x",	    "http://[ff02::1]/x",
		"ssh://git@127.0.0.1/x",    "git@10.0.0.1:x",
		"git@[::1]:x",		    "http://localhost/x",
		"http://LOCALHOST./x",	    "http://a.localhost/x",
		"http://printer.local/x",   "http://metadata.google.internal/x",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		cr_expect_eq(check(urls[i]), ERR_DENIED, "%s", urls[i]);
}

Test(url_policy, neighbours_of_private_ranges_are_public)
{
	static const char *const urls[] = {
		"http://172.15.255.255/x", "http://172.32.0.0/x",
		"http://11.0.0.0/x",	   "http://9.255.255.255/x",
		"http://100.63.255.255/x", "http://100.128.0.0/x",
		"http://192.167.255.255/x", "http://169.253.255.255/x",
		"http://128.0.0.0/x",	   "http://223.255.255.255/x",
		"http://[2002:0b00:0001::]/x", "http://[::ffff:8.8.8.8]/x",
		"http://notlocalhost/x",   "http://mylocal/x",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		cr_expect_eq(check(urls[i]), ERR_NONE, "%s", urls[i]);
}

Test(url_policy, malformed_urls_are_invalid)
{
	static const char *const urls[] = {
		"", "x", "./repo", "../repo", "github.com/org/repo", "ftp://host/x",
		"ext::sh -c id", "git://host/x", "https://", "https://host",
		"https://host/", "https:///x", "https://ho st/x", "https://host/a b",
		"https://host/a\nb", "https://host/x?y", "https://host/x#y",
		"https://host:0/x", "https://host:65536/x", "https://host:x/x",
		"https://host:/x", "https://-host/x", "https://[::1/x",
		"https://[nothex]/x", "https://host/../x", "https://host/a/..",
		"ssh://-oProxyCommand=id@host/x", "ssh://host/x'y", "ssh://host/%27",
		"host:-x", "host:", ":x", "@host:x", "git@host:a\tb",
		"/srv/git/\001", "file://host/x", "https://host/x\\y",
		"https://example.com/\xc3\xa4",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++)
		cr_expect_eq(check(urls[i]), ERR_INVALID, "%s", urls[i]);
}

Test(url_policy, credentials_in_urls_are_refused)
{
	cr_expect_eq(check("https://user:secret@github.com/x"), ERR_INVALID);
	cr_expect_eq(check("https://token@github.com/x"), ERR_INVALID);
	cr_expect_eq(check("ssh://git:secret@github.com/x"), ERR_INVALID);
}

Test(url_policy, length_is_bounded)
{
	char url[GITURL_PATH_MAX + 10];
	struct giturl u;
	struct err e = { 0 };
	const char *begin = "https://example.com/";

	memset(url, 'a', sizeof(url));
	memcpy(url, begin, strlen(begin));
	url[GITURL_PATH_MAX - 1] = '\0';
	cr_assert_eq(giturl_parse(url, &u, &e), 0, "%s", e.msg);
	url[GITURL_PATH_MAX - 1] = 'a';
	url[GITURL_PATH_MAX] = '\0';
	cr_assert_eq(giturl_parse(url, &u, &e), -1);
	cr_assert_eq(e.code, ERR_INVALID);
}

Test(url_policy, local_paths_need_a_root)
{
	char srv[] = "/srv/git", slash[] = "/";
	char *roots[] = { srv }, *all[] = { slash };

	cr_expect_eq(check("/srv/git/x"), ERR_DENIED);
	cr_expect_eq(check_with("/srv/git/x.git", NULL, 0, roots, 1), ERR_NONE);
	cr_expect_eq(check_with("file:///srv/git/x", NULL, 0, roots, 1), ERR_NONE);
	cr_expect_eq(check_with("/srv/git/a/../x", NULL, 0, roots, 1), ERR_NONE);
	cr_expect_eq(check_with("/srv/git/../x", NULL, 0, roots, 1), ERR_DENIED);
	cr_expect_eq(check_with("/srv/gitx/x", NULL, 0, roots, 1), ERR_DENIED);
	cr_expect_eq(check_with("/etc", NULL, 0, roots, 1), ERR_DENIED);
	cr_expect_eq(check_with("/any/where", NULL, 0, all, 1), ERR_NONE);
}

Test(url_policy, allow_hosts_narrows)
{
	char gh[] = "github.com", corp[] = "*.corp.example";
	char *hosts[] = { gh, corp };

	cr_expect_eq(check_with("https://github.com/x", hosts, 2, NULL, 0), ERR_NONE);
	cr_expect_eq(check_with("git@GitHub.com:x", hosts, 2, NULL, 0), ERR_NONE);
	cr_expect_eq(check_with("https://git.corp.example/x", hosts, 2, NULL, 0),
		     ERR_NONE);
	cr_expect_eq(check_with("https://gitlab.com/x", hosts, 2, NULL, 0), ERR_DENIED);
	cr_expect_eq(check_with("https://github.com.evil.org/x", hosts, 2, NULL, 0),
		     ERR_DENIED);
}

Test(url_policy, exact_entries_and_ports_permit_private_hosts)
{
	char ported[] = "127.0.0.1:8081", exact[] = "git.internal", star[] = "*",
	     v6[] = "[::1]:8081", anyport[] = "10.0.0.1";
	char *p[] = { ported }, *x[] = { exact }, *s[] = { star }, *six[] = { v6 },
	     *a[] = { anyport };

	cr_expect_eq(check_with("http://127.0.0.1:8081/x", p, 1, NULL, 0), ERR_NONE);
	cr_expect_eq(check_with("http://0x7f.1:8081/x", p, 1, NULL, 0), ERR_NONE);
	cr_expect_eq(check_with("http://127.0.0.1:8082/x", p, 1, NULL, 0), ERR_DENIED);
	cr_expect_eq(check_with("http://127.0.0.1/x", p, 1, NULL, 0), ERR_DENIED);
	cr_expect_eq(check_with("http://[::1]:8081/x", six, 1, NULL, 0), ERR_NONE);
	cr_expect_eq(check_with("http://[::1]:8082/x", six, 1, NULL, 0), ERR_DENIED);
	cr_expect_eq(check_with("https://git.internal/x", x, 1, NULL, 0), ERR_NONE);
	cr_expect_eq(check_with("https://10.0.0.1:99/x", a, 1, NULL, 0), ERR_NONE);
	cr_expect_eq(check_with("https://10.0.0.2/x", s, 1, NULL, 0), ERR_DENIED);
	cr_expect_eq(check_with("https://git.internal/x", s, 1, NULL, 0), ERR_DENIED);
	cr_expect_eq(check_with("https://example.com/x", s, 1, NULL, 0), ERR_NONE);
}

Test(url_policy, one_repository_has_one_spelling)
{
	cr_expect_str_eq(formatted("HTTPS://GitHub.COM:443/Org/Repo.git/"),
			 "https://github.com/Org/Repo.git");
	cr_expect_str_eq(formatted("https://github.com./x"), "https://github.com/x");
	cr_expect_str_eq(formatted("http://h:8080/x//"), "http://h:8080/x");
	cr_expect_str_eq(formatted("ssh://git@h:22/x"), "ssh://git@h/x");
	cr_expect_str_eq(formatted("git@h:org/x.git"), "git@h:org/x.git");
	cr_expect_str_eq(formatted("git@h:/abs/x"), "ssh://git@h/abs/x");
	cr_expect_str_eq(formatted("ssh://[::1]:29/x"), "ssh://[::1]:29/x");
	cr_expect_str_eq(formatted("http://2130706433/x"), "http://127.0.0.1/x");
	cr_expect_str_eq(formatted("file:///a//b/./c/"), "/a/b/c");
}

Test(url_policy, short_form_is_host_and_path)
{
	char out[GITURL_MAX];
	struct giturl u;

	cr_assert_eq(giturl_parse("ssh://git@h:29/org/x", &u, NULL), 0);
	giturl_format_short(&u, out);
	cr_expect_str_eq(out, "h/org/x");
	cr_assert_eq(giturl_parse("git@h:org/x", &u, NULL), 0);
	giturl_format_short(&u, out);
	cr_expect_str_eq(out, "h/org/x");
}

static const char *
resolved(const char *base_url, const char *text)
{
	static char out[GITURL_MAX];
	struct giturl base, u;
	struct err e = { 0 };

	cr_assert_eq(giturl_parse(base_url, &base, &e), 0);
	if (giturl_resolve(&base, text, &u, &e)) {
		cr_assert_eq(e.code, ERR_INVALID);
		return "invalid";
	}
	giturl_format(&u, out);
	return out;
}

Test(url_policy, submodule_urls_may_be_relative)
{
	cr_expect_str_eq(resolved("https://h/org/x.git", "../y.git"),
			 "https://h/org/y.git");
	cr_expect_str_eq(resolved("https://h/org/x.git", "./sub"),
			 "https://h/org/x.git/sub");
	cr_expect_str_eq(resolved("https://h/org/x", "../../z/y"), "https://h/z/y");
	cr_expect_str_eq(resolved("git@h:org/x", "../y"), "git@h:org/y");
	cr_expect_str_eq(resolved("git@h:x", "../y"), "git@h:y");
	cr_expect_str_eq(resolved("/srv/git/x", "../y"), "/srv/git/y");
	cr_expect_str_eq(resolved("https://h/x", "https://i/y"), "https://i/y");
	cr_expect_str_eq(resolved("https://h/x", "../../y"), "invalid");
	cr_expect_str_eq(resolved("https://h/x", "../a/../../y"), "invalid");
	cr_expect_str_eq(resolved("https://h/x", "ext::id"), "invalid");
}

Test(url_policy, addresses_are_classified)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr un = { .sa_family = AF_UNIX };

	inet_pton(AF_INET, "1.1.1.1", &v4.sin_addr);
	cr_expect(giturl_address_is_public((struct sockaddr *)&v4));
	inet_pton(AF_INET, "192.168.0.1", &v4.sin_addr);
	cr_expect_not(giturl_address_is_public((struct sockaddr *)&v4));
	inet_pton(AF_INET6, "2a00::1", &v6.sin6_addr);
	cr_expect(giturl_address_is_public((struct sockaddr *)&v6));
	inet_pton(AF_INET6, "::ffff:192.168.0.1", &v6.sin6_addr);
	cr_expect_not(giturl_address_is_public((struct sockaddr *)&v6));
	cr_expect_not(giturl_address_is_public(&un));
}
