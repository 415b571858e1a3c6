#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>

#include "audit.h"
#include "audit_file.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

static char dir[PATH_MAX], path[PATH_MAX + 16];
static struct err e;

static void
make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/test-audit-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/audit.log", dir);
	e = (struct err){ 0 };
}

static void
remove_dir(void)
{
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

TestSuite(audit, .init = make_dir, .fini = remove_dir, .timeout = 20);

static void
append(const char *text, size_t max)
{
	cleanup_strbuf struct strbuf b = { 0 };

	strbuf_adds(&b, text);
	cr_assert_eq(audit_append(path, &b, max, &e), 0, "%s", e.msg);
}

static void
assert_file(const char *suffix, const char *want)
{
	cleanup_strbuf struct strbuf b = { 0 };
	char name[sizeof(path) + 8];

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	cr_assert_eq(fs_read_file(name, 1 << 20, &b, &e), 0, "%s", e.msg);
	cr_assert_str_eq(strbuf_str(&b), want);
}

Test(audit, lines_are_appended_to_a_private_file)
{
	struct stat st;

	append("{1}\n", 100);
	append("{2}\n{3}\n", 100);
	assert_file("", "{1}\n{2}\n{3}\n");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(audit, a_torn_line_is_ended_first)
{
	append("{1}\n{2", 100);
	append("{3}\n", 100);
	assert_file("", "{1}\n{2\n{3}\n");
}

Test(audit, files_are_turned_at_their_size_and_some_kept)
{
	char want[8], name[sizeof(path) + 8];

	append("{0}\n", 8);
	append("{1}\n", 8);
	assert_file("", "{0}\n{1}\n");
	for (int i = 2; i < 14; i++) {
		snprintf(want, sizeof(want), "{%x}\n", i);
		append(want, 8);
	}
	assert_file("", "{c}\n{d}\n");
	assert_file(".1", "{a}\n{b}\n");
	assert_file(".4", "{4}\n{5}\n");
	snprintf(name, sizeof(name), "%s.%d", path, AUDIT_FILES_KEPT + 1);
	cr_assert_neq(access(name, F_OK), 0);
}

Test(audit, links_and_other_things_are_not_written_to)
{
	cleanup_strbuf struct strbuf b = { 0 };
	char target[sizeof(path) + 8];

	strbuf_adds(&b, "{}\n");
	snprintf(target, sizeof(target), "%s.target", path);
	cr_assert_eq(symlink(target, path), 0);
	cr_assert_eq(audit_append(path, &b, 100, &e), -1);
	cr_assert_neq(access(target, F_OK), 0);
	unlink(path);
	cr_assert_eq(mkfifo(path, 0600), 0);
	cr_assert_eq(audit_append(path, &b, 100, &e), -1);
}

static struct audit_entry
sample(void)
{
	return (struct audit_entry){ .time = 1700000000123,
				     .who = "deploy",
				     .via = "token",
				     .address = "192.0.2.1",
				     .method = "POST",
				     .path = (char *)(uintptr_t) "/jobs/cancel",
				     .job = "job-1",
				     .status = 200 };
}

Test(audit, a_line_tells_who_what_when)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct audit_entry en = sample();

	audit_format(&en, &b);
	cr_assert_str_eq(b.data,
			 "{\"time\":\"2023-11-14T22:13:20.123Z\",\"who\":\"deploy\","
			 "\"via\":\"token\",\"address\":\"192.0.2.1\","
			 "\"method\":\"POST\",\"path\":\"/jobs/cancel\","
			 "\"job\":\"job-1\",\"status\":200}\n");
	strbuf_reset(&b);
	en.job[0] = '\0';
	en.suppressed = 3;
	en.lost = 4;
	audit_format(&en, &b);
	cr_assert(strstr(b.data, "\"status\":200,\"suppressed\":3,\"lost\":4}\n"));
	cr_assert_null(strstr(b.data, "job\":"));
}

Test(audit, nothing_breaks_out_of_its_line)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct audit_entry en = sample();

	STR_COPY(en.who, "a\",\"x\":\"\n\xff\xfe");
	STR_COPY(en.job, "\r\n{}");
	audit_format(&en, &b);
	cr_assert_eq(strcspn(b.data, "\n"), b.len - 1);
	cr_assert(strstr(b.data, "\"who\":\"a\\\",\\\"x\\\":\\\"\\n"));
}

Test(audit, users_of_the_socket_have_names)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct audit_entry en = sample();

	en.has_uid = true;
	en.uid = 0;
	audit_format(&en, &b);
	cr_assert(strstr(b.data, "\"who\":\"root\""));
	strbuf_reset(&b);
	en.uid = 987654321;
	cr_assert_null(getpwuid(en.uid));
	audit_format(&en, &b);
	cr_assert(strstr(b.data, "\"who\":\"uid 987654321\""));
}

static void
assert_tail(unsigned limit, const char *want)
{
	cleanup_strbuf struct strbuf b = { 0 };

	cr_assert_eq(audit_tail(path, limit, &b, &e), 0, "%s", e.msg);
	cr_assert_str_eq(b.data, want);
}

Test(audit, the_tail_begins_with_the_newest_line)
{
	assert_tail(10, "[]\n");
	append("{1}\n{2}\n", 8);
	append("{3}\n{to", 8);
	assert_tail(1, "[{3}]\n");
	assert_tail(2, "[{3},\n{2}]\n");
	assert_tail(10, "[{3},\n{2},\n{1}]\n");
	assert_tail(0, "[]\n");
}

/* With a loop and a pool. */

static struct loop *loop;
static struct pool *pool;
static struct audit *audit;

static void
set_up(void)
{
	make_dir();
	loop = loop_new(&e);
	pool = pool_new(loop, &e);
	audit = audit_new(loop, pool, dir);
}

static void
tear_down(void)
{
	pool_free(pool);
	loop_free(loop);
	remove_dir();
}

TestSuite(audit_queue, .init = set_up, .fini = tear_down, .timeout = 30);

static void
add(int status)
{
	struct audit_entry *en = xcalloc(1, sizeof(*en));

	*en = sample();
	en->path = xstrdup("/x");
	en->status = status;
	audit_add(audit, en);
}

static unsigned
count(const char *needle)
{
	cleanup_strbuf struct strbuf b = { 0 };
	unsigned n = 0;

	if (fs_read_file(path, 64 << 20, &b, &e))
		return 0;
	for (const char *p = b.data; p && (p = strstr(p, needle)); p++)
		n++;
	return n;
}

static void
finish(void)
{
	pool_stop(pool);
	audit_free(audit);
}

Test(audit_queue, all_is_written_in_order_at_the_latest_at_the_end)
{
	cleanup_strbuf struct strbuf b = { 0 };
	int last = 0;

	for (int i = 1000; i < 2000; i++)
		add(i);
	finish();
	cr_assert_eq(fs_read_file(path, 64 << 20, &b, &e), 0, "%s", e.msg);
	for (const char *p = b.data; (p = strstr(p, "\"status\":")); p++) {
		int status = atoi(p + 9);

		cr_assert_eq(status, last ? last + 1 : 1000);
		last = status;
	}
	cr_assert_eq(last, 1999);
}

Test(audit_queue, a_flood_of_refusals_is_told_by_its_number)
{
	for (int i = 0; i < 1000; i++)
		add(401);
	add(200);
	finish();
	cr_assert_geq(count("\"status\":401"), 100);
	cr_assert_leq(count("\"status\":401"), 110);
	cr_assert_eq(count("\"status\":200"), 1);
}

static void
on_look(void *arg)
{
	struct loop_timer **t = arg;

	if (!audit_trouble(audit) && count("\"status\":200") == 2)
		loop_stop(loop);
	else
		loop_timer_set(*t, 5);
}

static void
on_trouble(void *arg)
{
	struct loop_timer **t = arg;

	if (audit_trouble(audit))
		loop_stop(loop);
	else
		loop_timer_set(*t, 5);
}

Test(audit_queue, what_cannot_be_written_is_kept_and_told)
{
	struct loop_timer *t;

	cr_assert_eq(mkdir(path, 0700), 0);
	add(200);
	t = loop_timer_new(loop, on_trouble, &t);
	loop_timer_set(t, 0);
	loop_run(loop);
	cr_assert(strstr(audit_trouble(audit), "audit.log"));
	add(200);
	cr_assert_eq(rmdir(path), 0);
	loop_timer_free(t);
	t = loop_timer_new(loop, on_look, &t);
	loop_timer_set(t, 0);
	loop_run(loop);
	loop_timer_free(t);
	finish();
	cr_assert_eq(count("\"status\":200"), 2);
}
