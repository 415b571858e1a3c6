/*
 * checkout_fixture: for the tests of checkout.
 *
 * Real repositories, made with git; the real slipway-worker, from $SLIPWAY_LIBEXEC_DIR;
 * real servers on loopback; and what comes out is judged by git. Skipped without git or
 * slipway-worker.
 */
#pragma once

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "slipway/checkout.h"
#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

#define TOKEN "sekret-token"

static char dir[PATH_MAX]; /* of this test */
static struct loop *l;
static struct pool *pool;
static struct checkouts *c;
static struct conf conf;
static char *hosts[4], *roots[2];
static struct conf_credential credentials[2];
static struct strbuf all_notes; /* of the checkouts since the last get() */

struct result {
	bool done;
	struct err err;
	char sha[41];
	struct strbuf *notes;
	struct checkout *k;
	const char *cancel_at; /* cancel when a note has this text */
	unsigned left;	       /* how many more are expected */
};

static int __attribute__((unused, format(printf, 1, 2)))
run(const char *fmt, ...)
{
	cleanup_free char *body = NULL;
	va_list ap;
	int rc;

	va_start(ap, fmt);
	cr_assert_geq(vasprintf(&body, fmt, ap), 0);
	va_end(ap);

	cleanup_free char *cmd = xasprintf("cd '%s' && { %s ; } >>%s 2>&1", dir, body,
					   *dir ? "log" : "/dev/null");

	rc = system(cmd);
	return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

/* First line of a command's output. */
static const char * __attribute__((unused, format(printf, 1, 2)))
output(const char *fmt, ...)
{
	static char line[4096];
	cleanup_free char *body = NULL;
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	cr_assert_geq(vasprintf(&body, fmt, ap), 0);
	va_end(ap);

	cleanup_free char *cmd = xasprintf("cd '%s' && { %s ; } 2>>%s", dir, body,
					   *dir ? "log" : "/dev/null");

	f = popen(cmd, "r");
	line[0] = '\0';
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	pclose(f);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

#define must(...) cr_assert_eq(run(__VA_ARGS__), 0, "see %s/log", dir)

static void __attribute__((unused))
commit(const char *repo, const char *what)
{
	must("cd %s && git add -A && git commit -qm '%s'", repo, what);
}

static void __attribute__((unused))
setup(void)
{
	const char *libexec = getenv("SLIPWAY_LIBEXEC_DIR");
	struct err e = { 0 };

	if (!libexec || run("true") == -1 || system("git --version >/dev/null 2>&1"))
		cr_skip_test("needs git and SLIPWAY_LIBEXEC_DIR");
	strcpy(dir, "/tmp/slipway-checkout-XXXXXX");
	cr_assert(mkdtemp(dir));
	setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	setenv("HOME", dir, 1);
	must("git config --global user.name T; git config --global user.email t@x;"
	     "git config --global init.defaultBranch main;"
	     "git config --global protocol.file.allow always;"
	     "git config --global uploadpack.allowAnySHA1InWant true; mkdir state");
	must("git init -q src; cd src; echo one >a; mkdir -p d/e; echo deep >d/e/f;"
	     "printf '#!/bin/sh\\n' >run; chmod +x run; ln -s d/e/f link");
	commit("src", "first");
	must("cd src; echo two >a; git commit -qam second; git tag -am v1 v1;"
	     "git tag light; git branch other; git branch feature/x HEAD^");
	roots[0] = dir;
	conf = (struct conf){ .limits_fetch_timeout_ms = 30000,
			      .limits_fetch_bytes = 64 << 20,
			      .limits_fetch_objects = 10000,
			      .limits_helper_memory = 512 << 20,
			      .git_local_roots = { roots, 1 },
			      .git_allow_hosts = { hosts, 0 },
			      .git_credentials = credentials };
	l = loop_new(&e);
	pool = pool_new(l, &e);
	cleanup_free char *state = xasprintf("%s/state", dir);

	c = checkouts_new(l, pool, state, libexec, &e);
	cr_assert(c, "%s", e.msg);
	checkouts_configure(c, &conf);
}

static void __attribute__((unused))
teardown(void)
{
	checkouts_free(c);
	if (pool)
		pool_free(pool);
	if (l)
		loop_free(l);
	strbuf_free(&all_notes);
	if (dir[0])
		fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

static void __attribute__((unused))
on_note(void *arg, const char *text, bool is_error)
{
	struct result *r = arg;

	cr_assert_not(strchr(text, '\n'));
	strbuf_addf(r->notes, "%s%s\n", is_error ? "! " : "", text);
	if (r->cancel_at && strstr(text, r->cancel_at))
		checkout_cancel(r->k);
}

static void __attribute__((unused))
on_done(void *arg, const struct err *err, const char *sha)
{
	struct result *r = arg;

	r->done = true;
	if (err)
		r->err = *err;
	else
		STR_COPY(r->sha, sha);
	if (r->left)
		r->left--;
	if (!r->left)
		loop_stop(l);
}

static struct checkout_req __attribute__((unused))
request(const char *repo, const char *commit_name, const char *branch)
{
	return (struct checkout_req){ .repo = repo, .commit = commit_name,
				      .branch = branch, .depth = 1 };
}

/* To dir/<to>. */
static void __attribute__((unused))
start(struct result *r, struct checkout_req q, const char *to)
{
	cleanup_free char *dest = xasprintf("%s/%s", dir, to);

	q.dest = dest;
	r->notes = &all_notes;
	q.on_note = on_note;
	q.on_done = on_done;
	q.arg = r;
	r->k = checkout_start(c, &q);
	cr_assert_not(r->done, "never from inside the call");
}

static struct result __attribute__((unused))
get(struct checkout_req q, const char *to)
{
	struct result r = { 0 };

	strbuf_reset(&all_notes);
	start(&r, q, to);
	loop_run(l);
	cr_assert(r.done);
	return r;
}

static const char * __attribute__((unused))
src(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.4000s/src", dir);
	return path;
}

static void __attribute__((unused))
must_work(const struct result *r)
{
	cr_assert_eq(r->err.code, ERR_NONE, "%s\n%s", r->err.msg,
		     strbuf_str(r->notes));
}

static void __attribute__((unused))
must_be_sound(const char *where)
{
	cr_assert_str_eq(output("git -C %s status --porcelain", where), "");
	must("git -C %s fsck --strict", where);
	cr_assert_str_neq(output("git -C %s log --oneline", where), "");
}

static void __attribute__((unused))
kill_nursery(void)
{
	/* The brackets keep the shell, whose arguments hold this, from matching. */
	int pid = atoi(output("pgrep -P %d -f '[s]lipway-worker nursery'",
			      (int)getpid()));

	cr_assert_gt(pid, 0);
	kill(pid, SIGKILL);
}
