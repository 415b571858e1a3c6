#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "slipway/conf.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

static struct err e;

static void
no_environment(void)
{
	unsetenv("CREDENTIALS_DIRECTORY");
	unsetenv("SLIPWAY_LIBEXEC_DIR");
}

TestSuite(conf, .init = no_environment);

static void
free_conf(struct conf **c)
{
	conf_free(*c);
}
#define cleanup_conf __attribute__((cleanup(free_conf)))

static struct conf *
parse(const char *text)
{
	memset(&e, 0, sizeof(e));
	return conf_parse(text, strlen(text), "f.yaml", false, NULL, 0, &e);
}

static struct conf *
parse_good(const char *text)
{
	struct conf *c = parse(text);

	cr_assert(c, "%s: %s", text, e.msg);
	return c;
}

static struct conf *
parse_over(const char *text, const char *key, const char *value)
{
	struct conf_override o = { key, value };

	memset(&e, 0, sizeof(e));
	return conf_parse(text, strlen(text), "f.yaml", false, &o, 1, &e);
}

static void
assert_bad(const char *text, const char *want)
{
	cr_assert_null(parse(text), "%s", text);
	cr_assert_eq(e.code, ERR_INVALID);
	cr_assert(strstr(e.msg, want) == e.msg, "%s\n is not %s", e.msg, want);
}

Test(conf, nothing_gives_the_defaults)
{
	cleanup_conf struct conf *c = conf_load(NULL, false, NULL, 0, &e);

	cr_assert(c, "%s", e.msg);
	cr_assert_not(c->dev);
	cr_assert_str_eq(c->state_dir, "/var/lib/slipway");
	cr_assert_eq(c->http_listen.n, 1);
	cr_assert_str_eq(c->http_listen.v[0], "127.0.0.1:8080");
	cr_assert_str_eq(c->http_unix_socket, "/run/slipway/slipwayd.sock");
	cr_assert_eq(c->http_max_connections, 12288);
	cr_assert(c->http_auth);
	cr_assert_eq(c->http_trusted_proxies.n, 0);
	cr_assert_str_eq(c->http_user_header, "");
	cr_assert_eq(c->http_user_scopes.n, 1);
	cr_assert_str_eq(c->http_user_scopes.v[0], "read");
	cr_assert_eq(c->http_cors_origins.n, 0);
	cr_assert_eq(c->limits_requests_per_minute, 1200);
	cr_assert_str_eq(c->log_level, "info");
	cr_assert_eq(c->log_max_size, 64 << 20);
	cr_assert_eq(c->queue_max_concurrent, 10);
	cr_assert_eq(c->queue_default_priority, 5);
	cr_assert_eq(c->queue_max_depth, 100000);
	cr_assert_eq(c->queue_boost_ms, 600000);
	cr_assert_eq(c->queue_backoff_ms, 5000);
	cr_assert_eq(c->queue_retry_on.n, 1);
	cr_assert_str_eq(c->queue_retry_on.v[0], "infra");
	cr_assert_eq(c->defaults_step_timeout_ms, 300000);
	cr_assert_eq(c->defaults_job_timeout_ms, 3600000);
	cr_assert_eq(c->limits_job_timeout_ms, 6 * 3600000);
	cr_assert_eq(c->limits_db_size, 4ll << 30);
	cr_assert_eq(c->git_local_roots.n, 0);
	cr_assert_eq(c->ngit_credentials, 0);
	cr_assert_str_eq(c->secrets_dir, "");
	cr_assert_eq(c->retention_jobs_ms, 7 * 86400000);
	cr_assert_eq(c->nrunners, 1);
	cr_assert_str_eq(c->runners[0].name, "local");
	cr_assert_str_eq(c->runners[0].type, "local");
	cr_assert_str_eq(c->runners[0].network, "isolated");
	cr_assert_eq(c->runners[0].capacity, 0);
	cr_assert_not(c->runners[0].allow_unsandboxed);
}

Test(conf, development_has_other_defaults)
{
	cleanup_conf struct conf *c = conf_load(NULL, true, NULL, 0, &e);
	char cwd[PATH_MAX], want[PATH_MAX + 16];

	cr_assert(c && getcwd(cwd, sizeof(cwd)));
	snprintf(want, sizeof(want), "%s/slipway-state", cwd);
	cr_assert(c->dev);
	cr_assert_str_eq(c->state_dir, want);
	cr_assert_str_eq(c->http_unix_socket, "");
	cr_assert_not(c->http_auth);
	cr_assert_eq(c->limits_requests_per_minute, 0);
	cr_assert_eq(c->git_local_roots.n, 1);
	cr_assert_str_eq(c->git_local_roots.v[0], "/");
}

Test(conf, the_environment_gives_directories)
{
	cleanup_conf struct conf *c = NULL;

	setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x", 1);
	setenv("SLIPWAY_LIBEXEC_DIR", "/opt/x", 1);
	c = parse_good("");
	cr_assert_str_eq(c->secrets_dir, "/run/credentials/x");
	cr_assert_str_eq(c->libexec_dir, "/opt/x");
	conf_free(STEAL(c));
	c = parse_good("secrets: {dir: /other}");
	cr_assert_str_eq(c->secrets_dir, "/other");
}

static const char full[] =
	"state_dir: /srv/./x//\n"
	"public_url: https://ci.example.org/\n"
	"http:\n"
	"  listen: [\"[::1]:0\", 0.0.0.0:80]\n"
	"  unix_socket: ''\n"
	"  hosts: [ci.example.org]\n"
	"  max_connections: 100\n"
	"log: {level: 'debug:run,store', max_size: 1MiB}\n"
	"queue:\n"
	"  max_concurrent: 2\n"
	"  retry_on: []\n"
	"  boost: 90s\n"
	"  backoff: 1500ms\n"
	"defaults: {network: none, step_timeout: 0}\n"
	"git:\n"
	"  allow_hosts:\n"
	"  - github.com\n"
	"  - '*.example.org'\n"
	"  local_roots: [/srv/git/]\n"
	"  credentials:\n"
	"  - match: github.com/o/*\n"
	"    token_file: /run/token\n"
	"  - {match: \"h/*\", ssh_key_file: /k, known_hosts_file: /h, username: me}\n"
	"runners:\n"
	"- name: a.b\n"
	"  labels: [linux, gpu]\n"
	"  capacity: 4\n"
	"  allow:\n"
	"    repos: [https://github.com/*]\n"
	"    branches: [main]\n"
	"- name: c\n"
	"  network: host\n"
	"  user: ci\n"
	"  allow_unsandboxed: true\n"
	"secrets:\n"
	"retention: {keep: 3}\n";

Test(conf, every_kind_of_key_is_read)
{
	cleanup_conf struct conf *c = parse_good(full);

	cr_assert_str_eq(c->state_dir, "/srv/x");
	cr_assert_str_eq(c->public_url, "https://ci.example.org");
	cr_assert_eq(c->http_listen.n, 2);
	cr_assert_str_eq(c->http_listen.v[0], "[::1]:0");
	cr_assert_str_eq(c->http_unix_socket, "");
	cr_assert_eq(c->http_max_connections, 100);
	cr_assert_eq(c->queue_retry_on.n, 0);
	cr_assert_eq(c->queue_boost_ms, 90000);
	cr_assert_eq(c->queue_backoff_ms, 1500);
	cr_assert_eq(c->git_allow_hosts.n, 2);
	cr_assert_str_eq(c->git_local_roots.v[0], "/srv/git");
	cr_assert_eq(c->ngit_credentials, 2);
	cr_assert_str_eq(c->git_credentials[0].username, "x-access-token");
	cr_assert_str_eq(c->git_credentials[0].ssh_key_file, "");
	cr_assert_str_eq(c->git_credentials[1].username, "me");
	cr_assert_str_eq(c->git_credentials[1].known_hosts_file, "/h");
	cr_assert_eq(c->nrunners, 2);
	cr_assert_eq(c->runners[0].labels.n, 2);
	cr_assert_eq(c->runners[0].capacity, 4);
	cr_assert_str_eq(c->runners[0].allow_repos.v[0], "https://github.com/*");
	cr_assert_str_eq(c->runners[0].allow_branches.v[0], "main");
	cr_assert_str_eq(c->runners[0].network, "none");
	cr_assert_str_eq(c->runners[1].network, "host");
	cr_assert(c->runners[1].allow_unsandboxed);
	cr_assert_eq(c->retention_keep, 3);
}

static void
assert_round_trip(struct conf *c)
{
	cleanup_strbuf struct strbuf one = { 0 }, two = { 0 };
	cleanup_conf struct conf *again = NULL;

	conf_print(c, &one);
	again = conf_parse(one.data, one.len, "printed", false, NULL, 0, &e);
	cr_assert(again, "%s\n%s", e.msg, one.data);
	conf_print(again, &two);
	cr_assert_str_eq(one.data, two.data);
	cr_assert_eq(again->ngit_credentials, c->ngit_credentials);
	cr_assert_eq(again->nrunners, c->nrunners);
	cr_assert_eq(again->queue_backoff_ms, c->queue_backoff_ms);
	cr_assert_str_eq(again->state_dir, c->state_dir);
}

Test(conf, print_reads_back_the_same)
{
	static const char *const texts[] = {
		"", full, "runners: []", "state_dir: \"/a \\\"q\\\" \\\\ \xc3\xa4: #\""
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		cleanup_conf struct conf *c = parse_good(texts[i]);

		assert_round_trip(c);
	}
}

Test(conf, documents_without_content_are_fine)
{
	static const char *const good[] = {
		"",	   "# c\n",	 "---\n",     "~\n",	       "{}",
		"http:\n", "http: {}\n", "http: ~\n", "---\n{}\n...\n"
	};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		conf_free(parse_good(good[i]));
}

Test(conf, unknown_keys_are_errors_with_their_place_and_a_hint)
{
	assert_bad("state_dir: /x\nhttp:\n  lisen: []\n",
		   "f.yaml:3:3: http.lisen: unknown key, did you mean http.listen?");
	cr_assert_str_eq(e.field, "http.lisen");
	assert_bad("htp:\n  listen: []\n", "f.yaml:1:1: htp: unknown key, did you mean "
					   "http?");
	assert_bad("zzzzzz: 1\n", "f.yaml:1:1: zzzzzz: unknown key");
	cr_assert_null(strstr(e.msg, "mean"));
	assert_bad("runners:\n- name: a\n  lables: [x]\n",
		   "f.yaml:3:3: runners[0].lables: unknown key, did you mean labels?");
	assert_bad("runners:\n- name: a\n  allow: {repo: [x]}\n",
		   "f.yaml:3:11: runners[0].allow.repo: unknown key, did you mean "
		   "allow.repos?");
	assert_bad("http: {listen: [{a: b}]}", "f.yaml:1:17: http.listen[0]: must be a "
					       "single value");
	assert_bad("http: {tls: {}}", "f.yaml:1:8: http.tls: unknown key");
}

Test(conf, values_of_the_wrong_shape_are_errors)
{
	assert_bad("http: 1", "f.yaml:1:1: http: must hold keys");
	assert_bad("http: []", "f.yaml:1:1: http: must hold keys");
	assert_bad("- a", "f.yaml:1:1: must hold keys");
	assert_bad("word", "f.yaml:1:1: must hold keys");
	assert_bad("state_dir: [a]", "f.yaml:1:1: state_dir: must be a single value");
	assert_bad("state_dir: {a: b}",
		   "f.yaml:1:1: state_dir: must be a single value");
	assert_bad("state_dir:", "f.yaml:1:1: state_dir: has no value");
	assert_bad("state_dir: null", "f.yaml:1:1: state_dir: has no value");
	assert_bad("http: {listen: '127.0.0.1:1'}",
		   "f.yaml:1:8: http.listen: must be a "
		   "list");
	assert_bad("http: {hosts: [~]}", "f.yaml:1:16: http.hosts[0]: has no value");
	assert_bad("runners: x", "f.yaml:1:1: runners: must be a list");
	assert_bad("runners: {a: b}", "f.yaml:1:1: runners: must be a list");
	assert_bad("runners: [x]", "f.yaml:1:11: runners[0]: must hold keys");
	assert_bad("runners: [[x]]", "f.yaml:1:11: runners[0]: must hold keys");
}

Test(conf, numbers_end_at_their_ranges)
{
	static const struct {
		const char *section, *key, *min, *max, *under, *over;
	} cases[] = {
		{ "queue", "default_priority", "0", "10", "-1", "11" },
		{ "queue", "max_concurrent", "1", "1000", "0", "1001" },
		{ "http", "max_connections", "16", "65536", "15", "65537" },
		{ "log", "max_size", "64KiB", "16GiB", "65535", "17179869185" },
		{ "limits", "fetch_timeout", "1s", "1d", "999ms", "86401" },
		{ "limits", "job_timeout", "0", "30d", "-1", "2592001" },
		{ "retention", "keep", "0", "1000000", "-1", "1000001" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *const v[] = { cases[i].min, cases[i].max, cases[i].under,
					  cases[i].over };

		for (size_t k = 0; k < ARRAY_LEN(v); k++) {
			cleanup_free char *text = xasprintf("%s: {%s: %s}",
							    cases[i].section,
							    cases[i].key, v[k]);
			cleanup_conf struct conf *c = parse(text);

			cr_assert_eq(c != NULL, k < 2, "%s", text);
		}
	}
	assert_bad("limits: {job_timeout: 31d}",
		   "f.yaml:1:10: limits.job_timeout: must be 0d to 30d");
	assert_bad("queue: {max_concurrent: ten}",
		   "f.yaml:1:9: queue.max_concurrent: not "
		   "a whole number");
	assert_bad("queue: {max_depth: 99999999999999999999}",
		   "f.yaml:1:9: queue.max_depth: not a whole number");
}

Test(conf, texts_are_checked)
{
	static const char *const bad[] = {
		"http: {listen: [localhost:80]}",
		"http: {listen: ['127.0.0.1']}",
		"http: {listen: ['127.0.0.1:65536']}",
		"http: {listen: ['[::1]']}",
		"http: {listen: ['::1:80']}",
		"http: {listen: ['[::1:80']}",
		"http: {listen: ['1.2.3:80']}",
		"http: {listen: ['127.0.0.1:8x']}",
		"http: {listen: [':80']}",
		"http: {hosts: ['a b']}",
		"http: {hosts: ['']}",
		"http: {unix_socket: x}",
		"http: {auth: maybe}",
		"http: {trusted_proxies: [localhost]}",
		"http: {trusted_proxies: ['10.0.0.1/8']}",
		"http: {trusted_proxies: ['0.0.0.0/0']}",
		"http: {trusted_proxies: ['']}",
		"http: {user_header: 'X Y', trusted_proxies: [unix]}",
		"http: {user_scopes: [write]}",
		"http: {cors_origins: ['*']}",
		"http: {cors_origins: ['https://a.org/']}",
		"http: {cors_origins: ['https://A.org']}",
		"http: {cors_origins: ['a.org']}",
		"http: {cors_origins: ['null']}",
		"limits: {requests_per_minute: -1}",
		"public_url: ci",
		"public_url: ftp://x",
		"public_url: https://",
		"public_url: 'https:// '",
		"log: {level: loud}",
		"queue: {retry_on: [always]}",
		"defaults: {network: ''}",
		"git: {local_roots: [a]}",
		"git: {local_roots: ['']}",
		"git: {allow_hosts: ['a b']}",
		"secrets: {dir: x}",
		"state_dir: x",
		"state_dir: ''",
		"state_dir: /..",
		"runners: [{name: 'a b'}]",
		"runners: [{name: ''}]",
		"runners: [{name: a, type: docker}]",
		"runners: [{name: a, type: x}]",
		"runners: [{name: a, network: x}]",
		"runners: [{name: a, labels: ['']}]",
		"runners: [{name: a, user: -x}]",
		"runners: [{name: a, capacity: -1}]",
		"runners: [{name: a, allow_unsandboxed: yes}]"
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_null(parse(bad[i]), "%s", bad[i]);
}

Test(conf, incomplete_or_contradictory_items_are_errors)
{
	assert_bad("runners:\n- labels: [x]\n",
		   "f.yaml:2:3: runners[0]: name is missing");
	assert_bad("runners:\n- {name: a}\n- {name: a}\n",
		   "f.yaml:3:3: runners[1]: there are two runners named a");
	assert_bad("git: {credentials: [{token_file: /t}]}",
		   "f.yaml:1:21: git.credentials[0]: match is missing");
	assert_bad("git: {credentials: [{match: x}]}",
		   "f.yaml:1:21: git.credentials[0]: needs one of");
	assert_bad("git: {credentials: [{match: x, token_file: /a, ssh_key_file: /b}]}",
		   "f.yaml:1:21: git.credentials[0]: needs one of");
	assert_bad("git: {credentials: [{match: x, token_file: /a, "
		   "known_hosts_file: /b}]}",
		   "f.yaml:1:21: git.credentials[0]: known_hosts_file goes");
	assert_bad("http: {listen: [], unix_socket: ''}", "f.yaml: http.listen and");
	assert_bad("http: {listen: ['127.0.0.1:80', '192.0.2.1:80'], auth: false}",
		   "f.yaml: http.auth: false goes");
	assert_bad("http: {listen: ['[::]:80'], auth: false}",
		   "f.yaml: http.auth: false goes");
	assert_bad("http: {user_header: X-User}",
		   "f.yaml: http.user_header needs http.trusted_proxies");
	conf_free(parse_good("http: {listen: ['127.8.0.1:80', '[::1]:0'], auth: false, "
			     "user_header: X-User, trusted_proxies: [unix, 10.0.0.0/8]}"));
}

Test(conf, yaml_beyond_plain_data_is_refused)
{
	assert_bad("a: &x 1\n", "f.yaml:1:4: a: anchors");
	assert_bad("&x a: 1\n", "f.yaml:1:1: anchors");
	assert_bad("a: !!str 1\n", "f.yaml:1:4: a: anchors and tags");
	assert_bad("http: !x {}\n", "f.yaml:1:7: http: anchors and tags");
	assert_bad("http: &x []\n", "f.yaml:1:7: http: anchors and tags");
	assert_bad("log: *x\n", "f.yaml:1:6: log: aliases");
	assert_bad("<<: {}\n", "f.yaml:1:1: a key must be one word");
	assert_bad("http.listen: []\n", "f.yaml:1:1: a key must be one word");
	assert_bad("? [a]\n: b\n", "f.yaml:1:3: a key must be one word");
	assert_bad("? {a: b}\n: b\n", "f.yaml:1:3: a key must be one word");
	assert_bad("---\n{}\n---\n{}\n", "f.yaml:3:1: only one document");
	assert_bad("state_dir: \"/a\\0b\"\n",
		   "f.yaml:1:1: state_dir: must not hold NUL");
	assert_bad("http: {listen: [\n", "f.yaml:2:1: ");
	assert_bad("\xff\xfe", "f.yaml:1:1: ");
}

Test(conf, duplicate_keys_are_refused)
{
	assert_bad("log:\n  level: info\n  level: info\n",
		   "f.yaml:3:3: log.level: is there twice");
	assert_bad("log: {}\nhttp: {}\nlog: {}\n", "f.yaml:3:1: log: is there twice");
	assert_bad("runners: [{name: a, name: b}]", "f.yaml:1:21: runners[0].name: is "
						    "there twice");
	conf_free(parse_good("runners: [{name: a}, {name: b}]"));
}

Test(conf, depth_size_and_number_of_nodes_are_bounded)
{
	cleanup_strbuf struct strbuf deep = { 0 }, many = { 0 }, big = { 0 };

	strbuf_adds(&deep, "http: {listen: ");
	for (int i = 0; i < 20; i++)
		strbuf_addc(&deep, '[');
	cr_assert_null(parse(deep.data));
	strbuf_adds(&many, "git: {allow_hosts: [");
	/* The outermost mapping, two keys, the section and the list are nodes too. */
	for (int i = 0; i < 10000 - 5; i++)
		strbuf_adds(&many, "a,");
	strbuf_adds(&many, "]}");
	conf_free(parse_good(many.data));
	many.len -= 2;
	strbuf_adds(&many, "a]}");
	assert_bad(many.data, "f.yaml:1:");
	cr_assert(strstr(e.msg, "too many"));
	while (big.len < (256 << 10) - 1)
		strbuf_addc(&big, '#');
	strbuf_addc(&big, '\n');
	conf_free(parse_good(big.data));
	strbuf_addc(&big, '\n');
	cr_assert_null(parse(big.data));
	cr_assert_eq(e.code, ERR_TOO_LARGE);
}

Test(conf, overrides_win_over_the_file)
{
	cleanup_conf struct conf *a = parse_over("queue: {max_concurrent: 3}",
						 "queue.max_concurrent", "4");
	cleanup_conf struct conf *b = parse_over("http: {hosts: [x]}", "http.hosts",
						 "a,b");
	cleanup_conf struct conf *c = parse_over("http: {hosts: [x]}", "http.hosts",
						 "");
	cleanup_conf struct conf *d = parse_over("", "runners.local.capacity", "2");
	cleanup_conf struct conf *f = parse_over("runners: [{name: a.b}, {name: a}]",
						 "runners.a.b.allow.repos", "x,y");

	cr_assert_eq(a->queue_max_concurrent, 4);
	cr_assert_eq(b->http_hosts.n, 2);
	cr_assert_str_eq(b->http_hosts.v[1], "b");
	cr_assert_eq(c->http_hosts.n, 0);
	cr_assert_eq(d->runners[0].capacity, 2);
	cr_assert_eq(f->runners[0].allow_repos.n, 2);
}

Test(conf, bad_overrides_are_errors)
{
	static const struct {
		const char *key, *value, *want;
	} bad[] = {
		{ "queue.max_concurent", "1",
		  "-o queue.max_concurent: unknown key, did you mean "
		  "queue.max_concurrent?" },
		{ "queue.max_concurrent", "0",
		  "-o queue.max_concurrent: must be 1 to" },
		{ "http.hosts", "a,", "-o http.hosts: a comma" },
		{ "http.hosts", "a,b c", "-o http.hosts: b c: must be" },
		{ "runners", "x", "-o runners: can only be set in the file" },
		{ "git.credentials", "x", "-o git.credentials: can only" },
		{ "runners.x.capacity", "1",
		  "-o runners.x.capacity: there is no such" },
		{ "runners.local.cap", "1", "-o runners.local.cap: unknown key" },
		{ "http", "x", "-o http: unknown key" },
		{ "", "x", "-o : unknown key" },
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert_null(parse_over("", bad[i].key, bad[i].value), "%s",
			       bad[i].key);
		cr_assert_eq(strstr(e.msg, bad[i].want), e.msg, "%s", e.msg);
	}
}

Test(conf, a_restart_is_needed_for_some_keys_only)
{
	cleanup_conf struct conf *a = parse_good("");
	cleanup_conf struct conf *b = parse_good("queue: {max_concurrent: 9}");
	cleanup_conf struct conf *c = parse_good(
		"state_dir: /x\nhttp: {listen: [], max_connections: 99}\n"
		"limits: {db_size: 1GiB}\n");
	cleanup_strbuf struct strbuf out = { 0 };

	conf_restart_needed(a, b, &out);
	cr_assert_eq(out.len, 0);
	conf_restart_needed(a, c, &out);
	cr_assert_str_eq(out.data, "state_dir\nhttp.listen\nhttp.max_connections\n"
				   "limits.db_size\n");
}

Test(conf, describe_names_every_key)
{
	cleanup_strbuf struct strbuf out = { 0 };

	conf_describe(&out);
	cr_assert(strstr(out.data, "queue.max_concurrent\tnumber\t10\t"));
	cr_assert(strstr(out.data, "runners[].allow.repos\tlist\t\t"));
	cr_assert(strstr(out.data, "git.credentials[].token_file\t"));
	cr_assert(strstr(out.data, "\nretention.keep\t"));
}

Test(conf, durations)
{
	int64_t ms = -1;

	cr_assert_eq(conf_parse_duration("300s", &ms, &e), 0);
	cr_assert_eq(ms, 300000);
	cr_assert_eq(conf_parse_duration("30m", &ms, &e), 0);
	cr_assert_eq(ms, 1800000);
	cr_assert_eq(conf_parse_duration("7d", &ms, &e), 0);
	cr_assert_eq(ms, 604800000);
	cr_assert_eq(conf_parse_duration("2h", &ms, &e), 0);
	cr_assert_eq(ms, 7200000);
	cr_assert_eq(conf_parse_duration("15", &ms, &e), 0);
	cr_assert_eq(ms, 15000);
	cr_assert_eq(conf_parse_duration("0", &ms, &e), 0);
	cr_assert_eq(ms, 0);
}

Test(conf, sizes)
{
	int64_t bytes = -1;

	cr_assert_eq(conf_parse_size("64MiB", &bytes, &e), 0);
	cr_assert_eq(bytes, 64 << 20);
	cr_assert_eq(conf_parse_size("9223372036854775807", &bytes, &e), 0);
	cr_assert_eq(bytes, INT64_MAX);
	cr_assert_eq(conf_parse_size("8388607TiB", &bytes, &e), 0);
	cr_assert_eq(bytes, INT64_MAX - (1ll << 40) + 1);
	cr_assert_eq(conf_parse_size("12B", &bytes, &e), 0);
	cr_assert_eq(bytes, 12);
}

Test(conf, what_is_no_duration_or_size)
{
	static const char *const bad[] = { "",	   "s",	   "-1",
					   "1.5h", "1 s",  " 1",
					   "1w",   "1S",   "9223372036854775807",
					   "1MB",  "1s1s", "+1" };
	static const char *const sizes[] = { "",
					     "MiB",
					     "-1",
					     "1.5GiB",
					     "1MB",
					     "1 MiB",
					     "9223372036854775808",
					     "8388608TiB",
					     "1k" };
	int64_t v = 42;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_eq(conf_parse_duration(bad[i], &v, &e), -1, "%s", bad[i]);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		cr_assert_eq(conf_parse_size(sizes[i], &v, &e), -1, "%s", sizes[i]);
	cr_assert_eq(v, 42);
}

Test(conf, files_are_loaded_also_through_links)
{
	char dir[] = "/tmp/test_conf-XXXXXX";
	cleanup_free char *file = NULL, *link = NULL;
	cleanup_conf struct conf *c = NULL;

	cr_assert(mkdtemp(dir));
	file = xasprintf("%s/f", dir);
	link = xasprintf("%s/l", dir);
	cr_assert_eq(fs_write_atomic(file, "log: {level: warn}", 18, 0600, &e), 0);
	cr_assert_eq(symlink("f", link), 0);
	c = conf_load(link, false, NULL, 0, &e);
	cr_assert(c, "%s", e.msg);
	cr_assert_str_eq(c->log_level, "warn");
	cr_assert_eq(fs_remove_tree(dir, NULL, NULL, NULL, &e), 0);
	cr_assert_null(conf_load(file, false, NULL, 0, &e));
	cr_assert_eq(e.code, ERR_SYSTEM);
	cr_assert(strstr(e.msg, file));
}
