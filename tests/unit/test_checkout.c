#include "checkout_fixture.h"

TestSuite(checkout, .init = setup, .fini = teardown, .timeout = 120);

Test(checkout, branch_is_checked_out_and_git_agrees)
{
	struct result r = get(request(src(), "main", NULL), "w");

	must_work(&r);
	cr_expect_str_eq(r.sha, output("git -C src rev-parse main"));
	must_be_sound("w");
	must("diff -r --no-dereference -x .git src w");
	must("test -x w/run; test ! -x w/a; test -L w/link");
	cr_expect_str_eq(output("git -C w symbolic-ref HEAD"), "refs/heads/main");
	cr_expect_str_eq(output("git -C w rev-parse origin/main"), r.sha);
	cr_expect_str_eq(output("git -C w rev-list --count HEAD"), "1");
	cr_expect_str_eq(output("cat w/.git/shallow"), r.sha);
	cr_expect_str_eq(output("git -C w remote get-url origin"), src());
	cr_expect(strstr(strbuf_str(r.notes), "Cloning "));
	cr_expect(strstr(strbuf_str(r.notes), "main -> "));
	cr_expect(strstr(strbuf_str(r.notes), "HEAD is now at"));
}

/* Small objects are stored, larger ones deflated; the limit lies at 512 bytes. */
Test(checkout, objects_of_all_sizes_are_sound)
{
	must("cd src && for n in 0 1 511 512 513 65535 65536 200000; do "
	     "head -c $n /dev/urandom >size$n; done && git add . && "
	     "git commit -qm sizes");
	struct result r = get(request(src(), "main", NULL), "w");

	must_work(&r);
	must_be_sound("w");
	must("diff -r --no-dereference -x .git src w");
	must("for f in w/.git/objects/pack/*.idx; do git verify-pack $f; done");
}

Test(checkout, names_mean_branch_then_tag_then_commit)
{
	static const struct {
		const char *commit, *branch, *rev, *head;
	} cases[] = {
		{ "", NULL, "main", "main" },	   { "", "other", "other", "other" },
		{ "HEAD", NULL, "main", "main" },  { "v1", NULL, "main", "" },
		{ "light", NULL, "main", "" },	   { "refs/tags/v1", NULL, "main", "" },
		{ "feature/x", NULL, "feature/x", "feature/x" },
		{ "v1", "other", "main", "other" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_free char *to = xasprintf("w%zu", i);
		struct result r = get(request(src(), cases[i].commit, cases[i].branch),
				      to);

		must_work(&r);
		cr_expect_str_eq(r.sha, output("git -C src rev-parse %s",
					       cases[i].rev));
		must_be_sound(to);
		cr_expect_str_eq(output("git -C %s branch --show-current", to),
				 cases[i].head);
	}
}

Test(checkout, commit_ids_full_and_abbreviated)
{
	cleanup_free char *old = xstrdup(output("git -C src rev-parse HEAD^"));
	cleanup_free char *brief = xstrndup(old, 8);
	struct result r = get(request(src(), old, NULL), "w1");

	must_work(&r);
	cr_expect_str_eq(r.sha, old);
	cr_expect_str_eq(output("git -C w1 branch --show-current"), "");
	cr_expect_str_eq(output("cat w1/a"), "one");
	must_be_sound("w1");
	r = get(request(src(), brief, "main"), "w2");
	must_work(&r);
	cr_expect_str_eq(r.sha, old);
	cr_expect_str_eq(output("git -C w2 branch --show-current"), "main");
}

Test(checkout, root_commit_is_not_shallow)
{
	cleanup_free char *old = xstrdup(output("git -C src rev-parse HEAD^"));
	struct result r = get(request(src(), old, NULL), "w");

	must_work(&r);
	must("test ! -e w/.git/shallow");
}

Test(checkout, full_history_has_all_branches_and_tags)
{
	struct checkout_req q = request(src(), "main", NULL);
	struct result r;

	q.depth = 0;
	r = get(q, "w");
	must_work(&r);
	must_be_sound("w");
	cr_expect_str_eq(output("git -C w rev-list --count HEAD"), "2");
	cr_expect_str_eq(output("git -C w describe"), "v1");
	cr_expect_str_eq(output("git -C w rev-parse origin/feature/x"),
			 output("git -C src rev-parse feature/x"));
	must("git -C w cat-file tag v1");
	must("test ! -e w/.git/shallow");
}

Test(checkout, objects_are_copies)
{
	struct result r = get(request(src(), "main", NULL), "w");

	must_work(&r);
	cr_expect_str_eq(output("find w -type f -links +1"), "");
	must("test ! -e w/.git/objects/info/alternates");
}

Test(checkout, missing_things_are_not_found)
{
	cleanup_free char *gone = xasprintf("%s/gone", dir);
	cleanup_free char *none = xasprintf("%s/state", dir);
	struct {
		const char *repo, *commit, *branch;
	} cases[] = {
		{ gone, "main", NULL }, { none, "main", NULL },
		{ src(), "nothing", NULL }, { src(), "", "nothing" },
		{ src(), "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef", NULL },
		{ src(), "deadbee", NULL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct result r = get(request(cases[i].repo, cases[i].commit,
					      cases[i].branch), "w");

		cr_expect_eq(r.err.code, ERR_NOT_FOUND, "%zu: %d %s", i, r.err.code,
			     r.err.msg);
	}
}

Test(checkout, bad_names_are_invalid)
{
	static const char *const names[] = { "a..b", "-x", "a b", "a~1", "x.lock",
					     "../../etc", "a\nb" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct result r = get(request(src(), names[i], NULL), "w");

		cr_expect_eq(r.err.code, ERR_INVALID, "%s: %s", names[i], r.err.msg);
		r = get(request(src(), "main", names[i]), "w");
		cr_expect_eq(r.err.code, ERR_INVALID, "%s: %s", names[i], r.err.msg);
	}
	must("test ! -e w");
}

Test(checkout, links_must_not_lead_out_of_the_roots)
{
	cleanup_free char *inner = xasprintf("%s/roots", dir);
	cleanup_free char *link = xasprintf("%s/roots/link", dir);
	cleanup_free char *worktree = xasprintf("%s/roots/tree", dir);
	struct result r;

	must("mkdir roots roots/tree; ln -s ../src roots/link;"
	     "echo 'gitdir: %s/src/.git' >roots/tree/.git", dir);
	roots[0] = inner;
	checkouts_configure(c, &conf);
	r = get(request(src(), "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	r = get(request(link, "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	r = get(request(worktree, "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
}

Test(checkout, repositories_of_other_users_are_read)
{
	struct result r;

	if (getuid())
		cr_skip_test("needs root");
	must("chown -R 1234:1234 src");
	r = get(request(src(), "main", NULL), "w");
	must_work(&r);
}

Test(checkout, a_root_daemon_fetches_as_the_jobs_user)
{
	struct checkout_req q = request(src(), "main", NULL);
	struct result r;

	if (getuid())
		cr_skip_test("needs root");
	must("chmod 755 . state; mkdir -m 700 ws; chown 1234:1234 ws");
	q.has_user = true;
	q.uid = q.gid = 1234;
	r = get(q, "ws/repo");
	must_work(&r);
	cr_expect_str_eq(output("find ws state/repos ! -uid 1234"), "");
}

Test(checkout, bare_repositories_and_missing_suffix)
{
	cleanup_free char *bare = xasprintf("%s/bare", dir);
	struct result r;

	must("git clone -q --bare src bare.git");
	r = get(request(bare, "main", NULL), "w");
	must_work(&r);
	must_be_sound("w");
}

Test(checkout, submodules_with_relative_urls)
{
	struct checkout_req q = request(src(), "main", NULL);
	struct result r;

	must("git init -q sub; echo s >sub/s");
	commit("sub", "sub");
	must("cd src; git submodule -q add ../sub lib/sub");
	commit("src", "with sub");
	r = get(q, "plain");
	must_work(&r);
	must("test ! -e plain/lib/sub/s");
	q.submodules = true;
	r = get(q, "w");
	must_work(&r);
	must_be_sound("w");
	must("test -f w/lib/sub/s");
	cr_expect_str_eq(output("git -C w submodule status | cut -c1"), " ");
	cr_expect(strstr(strbuf_str(r.notes), "Submodule path 'lib/sub'"));
}

Test(checkout, submodules_obey_the_policy)
{
	struct checkout_req q = request(src(), "main", NULL);
	cleanup_free char *sub = xstrdup(output("git -C src rev-parse HEAD"));
	struct result r;

	must("cd src; git update-index --add --cacheinfo 160000,%s,sub;"
	     "git config -f .gitmodules submodule.s.path sub;"
	     "git config -f .gitmodules submodule.s.url http://127.0.0.1:1/x;"
	     "git add .gitmodules; git commit -qm evil", sub);
	q.submodules = true;
	r = get(q, "w1");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	must("cd src; git config -f .gitmodules submodule.s.url /etc;"
	     "git add .gitmodules; git commit -qm evil");
	r = get(q, "w2");
	cr_expect_eq(r.err.code, ERR_DENIED, "%s", r.err.msg);
	must("cd src; git rm -q .gitmodules; git commit -qm none");
	r = get(q, "w3");
	cr_expect_eq(r.err.code, ERR_NOT_FOUND, "%s", r.err.msg);
}

Test(checkout, lfs_pointers_are_told)
{
	struct result r;

	must("cd src; echo '*.bin filter=lfs' >.gitattributes;"
	     "for i in $(seq 12); do printf 'version https://git-lfs.github.com/spec/v1"
	     "\\noid sha256:%%064d\\nsize 5\\n' $i >$i.bin; done");
	commit("src", "lfs");
	r = get(request(src(), "main", NULL), "w");
	must_work(&r);
	cr_expect(strstr(strbuf_str(r.notes), "! LFS file not fetched: 1.bin\n"));
	cr_expect(strstr(strbuf_str(r.notes), "! LFS files not fetched: 2 more\n"));
	must_be_sound("w");
}

Test(checkout, too_many_files_are_refused)
{
	struct result r;

	/* a run link d d/e d/e/f */
	conf.limits_fetch_objects = 6;
	checkouts_configure(c, &conf);
	r = get(request(src(), "main", NULL), "w1");
	must_work(&r);
	conf.limits_fetch_objects = 5;
	checkouts_configure(c, &conf);
	r = get(request(src(), "main", NULL), "w2");
	cr_expect_eq(r.err.code, ERR_TOO_LARGE, "%s", r.err.msg);
}

Test(checkout, a_tree_bomb_is_refused_quickly)
{
	struct result r;

	/* Ten times ten times ... the same tree: 10^9 files of one blob. */
	must("cd src; t=$(git hash-object -w a); mode='100644 blob';"
	     "for i in 1 2 3 4 5 6 7 8 9; do t=$(for j in 0 1 2 3 4 5 6 7 8 9; do "
	     "printf '%%s %%s\\t%%s\\n' \"$mode\" $t $j; done | git mktree);"
	     "mode='040000 tree'; done;"
	     "git update-ref refs/heads/bomb $(git commit-tree -m bomb $t)");
	r = get(request(src(), "bomb", NULL), "w");
	cr_expect_eq(r.err.code, ERR_TOO_LARGE, "%s", r.err.msg);
}

Test(checkout, files_that_unfold_over_the_limits_are_refused)
{
	struct result r;

	must("cd src; head -c 20M /dev/zero >zero");
	commit("src", "zero");
	conf.limits_fetch_bytes = 5 << 20;
	conf.limits_fetch_bytes--;
	checkouts_configure(c, &conf);
	r = get(request(src(), "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_TOO_LARGE, "%s", r.err.msg);
	/* Over what the helper may allocate. */
	conf.limits_fetch_bytes = 1 << 30;
	conf.limits_helper_memory = 150 << 20;
	checkouts_configure(c, &conf);
	must("cd src; head -c 300M /dev/zero >zero");
	commit("src", "huge");
	r = get(request(src(), "main", NULL), "w");
	cr_expect_eq(r.err.code, ERR_TOO_LARGE, "%s", r.err.msg);
	r = get(request(src(), "v1", NULL), "w2");
	must_work(&r);
}

Test(checkout, hostile_names_in_trees_stay_inside)
{
	struct result r;

	must("cd src; b=$(git hash-object -w a);"
	     "printf '100644 blob %%s\\t.git\\n' $b | git mktree >../t;"
	     "t=$(cat ../t); git update-ref refs/heads/dotgit "
	     "$(git commit-tree -m x $t)");
	r = get(request(src(), "dotgit", NULL), "w");
	cr_expect_neq(r.err.code, ERR_NONE);
	must("test -d w/.git");
}

Test(checkout, a_killed_nursery_is_replaced)
{
	struct result r = get(request(src(), "main", NULL), "w1");

	must_work(&r);
	kill_nursery();
	r = get(request(src(), "main", NULL), "w2");
	must_work(&r);
}

Test(checkout, many_at_once)
{
	struct result r = { .left = 20 };

	for (int i = 0; i < 20; i++) {
		cleanup_free char *to = xasprintf("w%d", i);

		r.done = false;
		start(&r, request(src(), "main", NULL), to);
	}
	loop_run(l);
	must_work(&r);
	for (int i = 0; i < 20; i++)
		must("test -f w%d/.git/index", i);
}

Test(checkout, missing_helper_is_reported)
{
	struct err e = { 0 };
	struct result r;

	checkouts_free(c);
	c = checkouts_new(l, pool, dir, "/nonexistent", &e);
	r = get(request(src(), "main", NULL), "w");
	cr_assert_neq(r.err.code, ERR_NONE);
	checkouts_configure(c, &conf);
	r = get(request(src(), "main", NULL), "w");
	cr_assert_eq(r.err.code, ERR_NOT_FOUND);
	cr_assert(strstr(r.err.msg, "slipway-worker"), "%s", r.err.msg);
}

Test(checkout, freed_while_under_way)
{
	struct result r = { 0 };

	start(&r, request(src(), "main", NULL), "w");
	checkouts_free(c);
	c = NULL;
	cr_assert_not(r.done);
}
