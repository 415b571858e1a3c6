#include "checkout_fixture.h"

static FILE *http_in; /* closing it ends the server */
static pid_t sshd;

static void
net_setup(void)
{
	setup();
	hosts[0] = xstrdup("127.0.0.1:*");
	hosts[1] = xstrdup("localhost:*");
	conf.git_allow_hosts.n = 2;
	checkouts_configure(c, &conf);
}

static void
net_teardown(void)
{
	if (http_in)
		pclose(http_in);
	if (sshd > 0) {
		kill(sshd, SIGTERM);
		waitpid(sshd, NULL, 0);
	}
	teardown();
	free(hosts[0]);
	free(hosts[1]);
}

TestSuite(checkout_net, .init = net_setup, .fini = net_teardown, .timeout = 120);

/* Serves dir; the URL of a repository there. */
static char *
serve_http(const char *scheme, const char *host, const char *path)
{
	cleanup_free char *cmd = xasprintf(
		"cd '%s' && exec /usr/bin/env python3 '%s/git_http.py' . %s >port", dir,
		getenv("SLIPWAY_TEST_DIR") ? getenv("SLIPWAY_TEST_DIR") : "tests/unit",
		!strcmp(scheme, "https") ? "cert.pem key.pem" : "");

	http_in = popen(cmd, "w");
	for (int i = 0; i < 500 && !*output("cat port"); i++)
		usleep(20000);
	cr_assert(*output("cat port"), "the server did not start");
	return xasprintf("%s://%s:%s/%s", scheme, host, output("cat port"), path);
}

Test(checkout_net, a_mirror_with_many_packs_is_made_anew)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	struct result r = get(request(url, "main", NULL), "w1");

	must_work(&r);
	must("cd state/repos/*.git/objects/pack; for i in $(seq 400); do"
	     " touch tmp_$i; done");
	r = get(request(url, "main", NULL), "w2");
	must_work(&r);
	cr_expect_str_eq(output("ls state/repos/*.git/objects/pack | wc -l"), "2");
}

/* The same server, another repository. */
static char *
other_url(const char *url, const char *path)
{
	const char *end = strchr(strchr(url, ':') + 3, '/');

	return xasprintf("%.*s/%s", (int)(end - url), url, path);
}

static const char *
mirror_path(void)
{
	return output("ls -d state/repos/*.git");
}

Test(checkout_net, http_fetch_then_from_the_mirror_without_network)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	struct result r = get(request(url, "main", NULL), "w1");
	char sha[41];

	must_work(&r);
	must_be_sound("w1");
	cr_expect(strstr(strbuf_str(r.notes), "Cloning http://127.0.0.1"));
	cr_expect(strstr(strbuf_str(r.notes), "remote: "), "%s", strbuf_str(r.notes));
	cr_expect(strstr(strbuf_str(r.notes), "Receiving objects: "));
	STR_COPY(sha, r.sha);
	pclose(http_in);
	http_in = NULL;
	r = get(request(url, sha, "main"), "w2");
	must_work(&r);
	cr_expect_str_eq(r.sha, sha);
	must_be_sound("w2");
	cr_expect_str_eq(output("git -C w2 branch --show-current"), "main");
	r = get(request(url, "main", NULL), "w3");
	cr_expect_eq(r.err.code, ERR_CONNECT, "%s", r.err.msg);
}

Test(checkout_net, new_commits_are_seen)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	struct result r = get(request(url, "main", NULL), "w1");

	must_work(&r);
	must("cd src; echo three >a; git commit -qam third");
	r = get(request(url, "main", NULL), "w2");
	must_work(&r);
	cr_expect_str_eq(output("cat w2/a"), "three");
	cr_expect(strstr(strbuf_str(r.notes), "Fetching "));
	cr_expect_str_eq(r.sha, output("git -C src rev-parse main"));
	/* Rewritten history, too. */
	must("cd src; git commit -q --amend -m rewritten");
	r = get(request(url, "", "main"), "w3");
	must_work(&r);
	cr_expect_str_eq(r.sha, output("git -C src rev-parse main"));
}

Test(checkout_net, ids_are_found_wherever_they_are)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	cleanup_free char *old = xstrdup(output("git -C src rev-parse feature/x"));
	cleanup_free char *hidden = NULL;
	struct result r = get(request(url, old, NULL), "w1");

	must_work(&r);
	cr_expect_str_eq(r.sha, old);
	must("cd src; git checkout -q --detach; echo h >h; git add h;"
	     "git commit -qm hidden; git update-ref refs/pull/1/head HEAD;"
	     "git checkout -q main");
	hidden = xstrdup(output("git -C src rev-parse refs/pull/1/head"));
	r = get(request(url, "refs/pull/1/head", NULL), "w2");
	must_work(&r);
	cr_expect_str_eq(r.sha, hidden);
	must("cd src; git update-ref -d refs/pull/1/head; rm -rf ../state/repos");
	r = get(request(url, hidden, "main"), "w3");
	must_work(&r);
	cr_expect_str_eq(r.sha, hidden);
	r = get(request(url, "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef", "main"), "w4");
	cr_expect_eq(r.err.code, ERR_NOT_FOUND, "%s", r.err.msg);
	r = get(request(url, "nothing", NULL), "w5");
	cr_expect_eq(r.err.code, ERR_NOT_FOUND, "%s", r.err.msg);
}

Test(checkout_net, full_history_from_a_mirror_made_for_one_branch)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	struct checkout_req q = request(url, "other", NULL);
	struct result r = get(q, "w1");

	must_work(&r);
	q.depth = 0;
	q.commit = r.sha;
	r = get(q, "w2");
	must_work(&r);
	must_be_sound("w2");
	cr_expect_str_eq(output("git -C w2 describe"), "v1");
	cr_expect_str_eq(output("git -C w2 rev-list --count HEAD"), "2");
	cr_expect_str_eq(output("git -C w2 rev-parse origin/feature/x"),
			 output("git -C src rev-parse feature/x"));
}

Test(checkout_net, missing_repositories_and_refusals)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "gone");
	cleanup_free char *moved = other_url(url, "moved/src");
	struct result r = get(request(url, "main", NULL), "w");

	cr_expect_eq(r.err.code, ERR_NOT_FOUND, "%s", r.err.msg);
	r = get(request(moved, "main", NULL), "w");
	cr_expect_neq(r.err.code, ERR_NONE, "no redirects to elsewhere");
	cr_expect_str_eq(mirror_path(), "", "nothing is left behind");
}

Test(checkout_net, damaged_mirrors_are_fetched_again)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	struct result r = get(request(url, "main", NULL), "w0");
	static const char *const damages[] = {
		"cd $m/objects/pack; chmod 644 *; for f in *; do : >$f; done",
		("cd $m/objects/pack; chmod 644 *.pack;"
		 "dd if=/dev/zero of=$(ls *.pack) bs=1 seek=20 count=200 conv=notrunc"),
		"rm $m/objects/pack/*.pack", "rm $m/HEAD", "echo [ >$m/config",
		"rm -r $m/objects", "echo x >$m/HEAD",
	};
	char sha[41];

	must_work(&r);
	STR_COPY(sha, r.sha);
	for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
		cleanup_free char *to = xasprintf("w%zu", i + 1);
		cleanup_free char *mirror = xstrdup(mirror_path());

		must("m=$PWD/%s; %s", mirror, damages[i]);
		r = get(request(url, i % 2 ? "main" : sha, NULL), to);
		cr_assert_eq(r.err.code, ERR_NONE, "%zu: %s\n%s", i, r.err.msg,
			     strbuf_str(r.notes));
		must_be_sound(to);
	}
}

Test(checkout_net, leftovers_of_a_killed_fetch_do_not_matter)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	struct result r = get(request(url, "main", NULL), "w1");

	must_work(&r);
	must("cd %s; touch slipway-fetching refs/heads/main.lock packed-refs.lock"
	     " objects/pack/pack_git2_abc", mirror_path());
	must("cd src; echo three >a; git commit -qam third");
	r = get(request(url, "main", NULL), "w2");
	must_work(&r);
	cr_expect_str_eq(output("cat w2/a"), "three");
	cr_expect_str_eq(output("cd %s; find . -name '*.lock' -o -name 'pack_git2*'",
				mirror_path()), "");
}

Test(checkout_net, tokens_open_private_repositories_and_stay_secret)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "private/src");
	struct result r;
	cleanup_free char *file = xasprintf("%s/token", dir);
	char match[] = "127.0.0.1/private/*";

	must("mkdir private; cp -r src private/src");
	r = get(request(url, "main", NULL), "w1");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	must("umask 077; echo wrong-token >token");
	credentials[0] = (struct conf_credential){ .match = match, .token_file = file };
	conf.ngit_credentials = 1;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w2");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	must("echo " TOKEN " >token");
	r = get(request(url, "main", NULL), "w3");
	must_work(&r);
	must_be_sound("w3");
	cr_expect_not(strstr(strbuf_str(r.notes), TOKEN));
	cr_expect_eq(run("grep -r " TOKEN " w3 state"), 1, "the token is nowhere");
	must("rm token");
	r = get(request(url, "main", NULL), "w4");
	cr_expect_neq(r.err.code, ERR_NONE);
	cr_expect(strstr(r.err.msg, "git.credentials"), "%s", r.err.msg);
}

Test(checkout_net, https_checks_certificates)
{
	cleanup_free char *cert = xasprintf("%s/cert.pem", dir), *url = NULL;
	struct result r;

	must("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
	     " -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
	     " -addext subjectAltName=DNS:localhost");
	url = serve_http("https", "localhost", "src");
	unsetenv("SSL_CERT_FILE");
	r = get(request(url, "main", NULL), "w1");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	/* Another nursery, which trusts it. */
	setenv("SSL_CERT_FILE", cert, 1);
	kill_nursery();
	r = get(request(url, "main", NULL), "w2");
	must_work(&r);
	must_be_sound("w2");
}

/* A private sshd that lets our key in and runs what git asks for. */
static char *
serve_ssh(void)
{
	char path[PATH_MAX];
	int port = 20000 + (int)(getpid() % 20000);

	if (access("/usr/sbin/sshd", X_OK) || getuid())
		cr_skip_test("needs root and sshd");
	must("mkdir -p /run/sshd; for k in host user other; do ssh-keygen -q -t ed25519"
	     " -N '' -f $k; done; chmod 755 .");
	must("for o in 'Port %d' 'ListenAddress 127.0.0.1' \"HostKey $PWD/host\""
	     " 'PidFile none' \"AuthorizedKeysFile $PWD/user.pub\" 'StrictModes no'"
	     " 'PasswordAuthentication no' 'UsePAM no' 'PermitRootLogin yes';"
	     " do echo \"$o\"; done >sshd_config", port);
	sshd = fork();
	if (sshd == 0) {
		if (!chdir(dir) && freopen("sshd.log", "w", stderr)) {
			snprintf(path, sizeof(path), "%.4000s/sshd_config", dir);
			execl("/usr/sbin/sshd", "/usr/sbin/sshd", "-D", "-e", "-f",
			      path, NULL);
		}
		_exit(1);
	}
	for (int i = 0; i < 500 && run("grep -q listening sshd.log"); i++)
		usleep(20000);
	must("echo \"[127.0.0.1]:%d $(cat host.pub)\" >known;"
	     "echo \"[127.0.0.1]:%d $(cat other.pub)\" >wrong;"
	     "echo \"elsewhere $(cat host.pub)\" >none; cp known hashed;"
	     "ssh-keygen -q -H -f hashed", port, port);
	return xasprintf("ssh://%s@127.0.0.1:%d%s", output("id -un"), port, src());
}

Test(checkout_net, ssh_with_key_and_known_hosts)
{
	cleanup_free char *url = serve_ssh();
	cleanup_free char *key = xasprintf("%s/user", dir);
	cleanup_free char *bad = xasprintf("%s/other", dir);
	static const char *const refused[] = { "wrong", "none" };
	char match[] = "*";
	struct result r;

	credentials[0] = (struct conf_credential){ .match = match,
						   .ssh_key_file = key };
	conf.ngit_credentials = 1;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	cr_expect(strstr(r.err.msg, "known_hosts"), "%s", r.err.msg);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		cleanup_free char *known = xasprintf("%s/%s", dir, refused[i]);

		credentials[0].known_hosts_file = known;
		checkouts_configure(c, &conf);
		r = get(request(url, "main", NULL), "w");
		cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
		cr_expect(strstr(r.err.msg, "known_hosts"), "%s", r.err.msg);
	}
	cleanup_free char *known = xasprintf("%s/known", dir);
	cleanup_free char *hashed = xasprintf("%s/hashed", dir);

	credentials[0].known_hosts_file = known;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w1");
	must_work(&r);
	must_be_sound("w1");
	credentials[0].known_hosts_file = hashed;
	checkouts_configure(c, &conf);
	must("cd src; echo three >a; git commit -qam third");
	r = get(request(url, "main", NULL), "w2");
	must_work(&r);
	cr_expect_str_eq(output("cat w2/a"), "three");
	cr_expect_eq(run("grep -r 'PRIVATE KEY' w1 w2 state"), 1);
	credentials[0].ssh_key_file = bad;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w3");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
}

/* Accepts (in the kernel's queue) and says nothing. */
static char *
silent_server(int *fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(*fd, (struct sockaddr *)&a, sizeof(a)), 0);
	cr_assert_eq(listen(*fd, 5), 0);
	getsockname(*fd, (struct sockaddr *)&a, &len);
	return xasprintf("http://127.0.0.1:%d/x", ntohs(a.sin_port));
}

Test(checkout_net, a_silent_server_meets_the_deadline)
{
	int fd;
	cleanup_free char *url = silent_server(&fd);
	int64_t before = clock_mono_ms();
	struct result r;

	conf.limits_fetch_timeout_ms = 1000;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_TIMEOUT, "%s", r.err.msg);
	cr_expect(strstr(r.err.msg, "timed out after 1s"), "%s", r.err.msg);
	cr_expect_lt(clock_mono_ms() - before, 20000);
	/* The dead one's lock is gone with it. */
	r = get(request(url, "main", NULL), "w2");
	cr_expect_eq(r.err.code, ERR_TIMEOUT, "%s", r.err.msg);
	close(fd);
}

Test(checkout_net, cancel_ends_a_hanging_fetch)
{
	int fd;
	cleanup_free char *url = silent_server(&fd);
	struct result r = { .cancel_at = "Cloning" };

	start(&r, request(url, "main", NULL), "w");
	loop_run(l);
	cr_expect_eq(r.err.code, ERR_CLOSED, "%s", r.err.msg);
	close(fd);
}

Test(checkout_net, the_daemons_end_ends_a_hanging_fetch)
{
	int fd;
	cleanup_free char *url = silent_server(&fd);
	struct result r = { .cancel_at = NULL };
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	cleanup_close int conn = -1;
	char buf[4096];

	start(&r, request(url, "main", NULL), "w");
	conn = accept4(fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
	cr_assert_geq(conn, 0);
	checkouts_free(c);
	c = NULL;
	/* Our side sees the connection close: the helper is gone. */
	while (read(conn, buf, sizeof(buf)) > 0)
		;
	close(fd);
}

Test(checkout_net, packs_over_the_limit_are_refused)
{
	cleanup_free char *url = NULL;
	struct result r;

	must("cd src; head -c 3M /dev/urandom >noise");
	commit("src", "noise");
	url = serve_http("http", "127.0.0.1", "src");
	conf.limits_fetch_bytes = 1 << 20;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_TOO_LARGE, "%s", r.err.msg);
	conf.limits_fetch_bytes = 8 << 20;
	conf.limits_fetch_objects = 3;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_TOO_LARGE, "%s", r.err.msg);
	conf.limits_fetch_objects = 1000;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w");
	must_work(&r);
}

Test(checkout_net, names_that_resolve_to_private_addresses_are_refused)
{
	cleanup_free char *url = xasprintf("http://%s/x", output("hostname"));
	struct result r;

	if (system("getent hosts $(hostname) >/dev/null"))
		cr_skip_test("this host's name does not resolve");
	conf.git_allow_hosts.n = 0;
	checkouts_configure(c, &conf);
	r = get(request(url, "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	cr_expect(strstr(r.err.msg, "private"), "%s", r.err.msg);
}

Test(checkout_net, submodules_over_http)
{
	cleanup_free char *url = serve_http("http", "127.0.0.1", "src");
	struct checkout_req q = request(url, "main", NULL);
	struct result r;

	must("git init -q sub; echo s >sub/s");
	commit("sub", "sub");
	must("cd src; git submodule -q add ../sub lib/sub");
	commit("src", "with sub");
	q.submodules = true;
	r = get(q, "w");
	must_work(&r);
	must_be_sound("w");
	must("test -f w/lib/sub/s");
	r = get(q, "w2");
	must_work(&r);
}
