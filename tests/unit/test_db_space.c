#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "db_fixture.h"

TestSuite(db_space, .init = make_dir, .fini = remove_dir, .timeout = 60);
TestSuite(db_space_open, .init = setup, .fini = teardown, .timeout = 60);

Test(db_space, refuses_admission_when_the_map_is_full_and_commits_the_rest)
{
	struct outcome small = { 0 }, big = { 0 };

	open_sized(MIB);
	db_begin(db, DB_ADMISSION);
	put("small new", "v");
	db_end(db, on_done, &small);
	db_begin(db, DB_ADMISSION);
	put_zeros("big new", 2 * MIB);
	db_end(db, on_done, &big);
	db_begin(db, 0);
	put("old", "v");
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(small.code, ERR_NO_SPACE);
	cr_expect_eq(big.code, ERR_NO_SPACE);
	cr_expect(small.order == 1 && big.order == 2);
	cr_expect(has("old"));
	cr_expect_not(has("small new"));
	cr_expect_not(has("big new"));

	db_begin(db, DB_ADMISSION);
	put("next new", "v");
	cr_expect_eq(end_and_wait(), ERR_NONE);
	close_db();
}

Test(db_space, grows_the_map_for_work_that_cannot_be_refused)
{
	struct db_val v;

	open_sized(MIB);
	cr_expect_lt(db_fill_percent(db), 20);
	cr_assert_not(has("huge")); /* a reader is in the map */
	db_begin(db, 0);
	put_zeros("huge", 3 * MIB);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(db_get(db, DB_SPEC, "huge", 4, &v, &err), 1);
	cr_expect_eq(v.len, 3 * MIB);
	cr_expect_eq(db_fill_percent(db), 100);

	close_db();
	open_sized(MIB);
	cr_expect_eq(db_fill_percent(db), 100);
	cr_expect(has("huge"));
	commit("still", "writable");
	close_db();
}

struct fill_watch {
	struct loop_timer *timer;
	unsigned until;
};

static void
on_time_to_measure(void *arg)
{
	struct fill_watch *watch = arg;

	if (db_fill_percent(db) <= watch->until)
		loop_stop(loop);
	else
		loop_timer_set(watch->timer, 10);
}

Test(db_space_open, tells_how_full_it_is)
{
	struct fill_watch watch;
	unsigned before = db_fill_percent(db), full;

	db_begin(db, 0);
	put_zeros("half", MAP / 2);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	full = db_fill_percent(db);
	cr_expect(full >= 50 && full <= 52, "%u", full);
	db_begin(db, 0);
	db_del(db, DB_SPEC, "half", 4);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	/* A deletion frees nothing before LMDB has it. */
	watch.until = before + 1;
	watch.timer = loop_timer_new(loop, on_time_to_measure, &watch);
	loop_timer_set(watch.timer, 0);
	loop_run(loop);
	loop_timer_free(watch.timer);
}

/* Without the mount the test proves nothing; where it must run, that is a failure. */
static void
mount_small_disk(const char *size)
{
	const char *ci = getenv("CI");
	int flags = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;

	if (unshare(flags) == 0 && mount("", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", dir, "tmpfs", 0, size) == 0)
		return;
	cr_assert(!ci || strcmp(ci, "true"), "cannot mount a tmpfs: %m");
	cr_skip_test("cannot mount a tmpfs: %m");
}

static off_t
file_blocks(const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	return stat(path, &st) < 0 ? -1 : st.st_blocks * 512;
}

/* To the last block but some: a write that is cut short there fails in another way. */
static void
fill_disk(size_t but)
{
	struct stat st;

	cleanup_free char *path = xasprintf("%s/filler", dir);
	cleanup_free char *zeros = xcalloc(1, MIB);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
				    0600);

	cr_assert_geq(fd, 0);
	for (size_t n = MIB; n >= 512; n /= 2)
		while (write(fd, zeros, n) > 0)
			;
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(ftruncate(fd, st.st_size - (off_t)but), 0);
}

static void
on_time_to_free(void *arg)
{
	cleanup_free char *path = xasprintf("%s/filler", dir);

	unlink(path);
}

Test(db_space, survives_a_full_disk)
{
	struct loop_timer *timer;
	struct outcome new = { 0 };

	mount_small_disk("size=96m");
	open_sized(MAP);
	cr_assert_eq(file_blocks("ballast"), 16 * MIB);
	commit("before", "v");

	fill_disk(MIB);
	db_begin(db, DB_ADMISSION);
	put_zeros("new", 2 * MIB);
	db_end(db, on_done, &new);
	db_begin(db, 0);
	put_zeros("old", 4 * MIB);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(new.code, ERR_NO_SPACE);
	cr_expect(has("before") && has("old"));
	cr_expect_not(has("new"));
	cr_expect_eq(file_blocks("ballast"), -1);

	fill_disk(0);
	timer = loop_timer_new(loop, on_time_to_free, NULL);
	loop_timer_set(timer, 100);
	db_begin(db, 0);
	put_zeros("patient", 4 * MIB);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect(has("patient"));
	loop_timer_free(timer);
	cr_expect_eq(file_blocks("ballast"), 16 * MIB);
	close_db();
	open_sized(MAP);
	cr_expect(has("before") && has("old") && has("patient"));
	close_db();
	umount2(dir, MNT_DETACH);
}

static void
on_time_to_go_on(void *arg)
{
	loop_stop(loop);
}

/* Again and again, for the store learns late that it has no space; but slowly, for what
 * it takes meanwhile must fit into the journal. */
static void
expect_admission(enum err_code code)
{
	struct loop_timer *timer = loop_timer_new(loop, on_time_to_go_on, NULL);
	enum err_code got;

	for (;;) {
		db_begin(db, DB_ADMISSION);
		put("new", "v");
		got = end_and_wait();
		cr_assert(got == ERR_NONE || got == ERR_NO_SPACE);
		if (got == code)
			break;
		loop_timer_set(timer, 20);
		loop_run(loop);
	}
	loop_timer_free(timer);
}

static void
commit_large(const char *key)
{
	db_begin(db, 0);
	put_zeros(key, 2 * MIB);
	cr_assert_eq(end_and_wait(), ERR_NONE);
}

/* The ballast is used up, LMDB cannot grow, but the journal has room. */
static void
work_on_a_full_disk(void)
{
	fill_disk(0);
	commit_large("one");
	db_begin(db, 0);
	put_zeros("past the journal", 5 * MIB);
	cr_assert_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(file_blocks("ballast"), -1);
	fill_disk(0);
	commit_large("two");
	expect_admission(ERR_NO_SPACE);
	commit("while", "full");
	cr_expect(has("one") && has("two") && has("while"));
}

Test(db_space, goes_on_in_the_journal_while_the_disk_is_full)
{
	mount_small_disk("size=96m");
	apply_ms = 1;
	open_sized(MAP);
	work_on_a_full_disk();
	on_time_to_free(NULL);
	expect_admission(ERR_NONE);
	close_db();
	open_sized(MAP);
	cr_expect(has("one") && has("two") && has("while") && has("past the journal"));
	close_db();
	umount2(dir, MNT_DETACH);
}

Test(db_space, keeps_the_journal_of_a_full_disk_until_there_is_space)
{
	mount_small_disk("size=96m");
	apply_ms = 1;
	crash_after(work_on_a_full_disk);
	cr_expect_eq(try_open(), ERR_NO_SPACE);
	cr_expect_not_null(strstr(err.msg, "journal"), "%s", err.msg);
	cr_expect_eq(try_open(), ERR_NO_SPACE);
	on_time_to_free(NULL);
	open_sized(MAP);
	cr_expect(has("one") && has("two") && has("while") && has("past the journal"));
	close_db();
	umount2(dir, MNT_DETACH);
}

Test(db_space, closes_on_a_full_disk_and_has_everything_later)
{
	mount_small_disk("size=96m");
	apply_ms = 1;
	open_sized(MAP);
	work_on_a_full_disk();
	close_db();
	cr_expect_eq(try_open(), ERR_NO_SPACE);
	on_time_to_free(NULL);
	open_sized(MAP);
	cr_expect(has("one") && has("two") && has("while") && has("past the journal"));
	close_db();
	umount2(dir, MNT_DETACH);
}

static void
commit_on_tiny_disk(void)
{
	commit("k", "v");
	db_begin(db, DB_ADMISSION);
	put("new", "v");
	cr_assert_eq(end_and_wait(), ERR_NONE);
	cr_assert(has("k") && has("new"));
}

Test(db_space, does_without_a_journal_where_it_has_no_room)
{
	mount_small_disk("size=24m");
	crash_after(commit_on_tiny_disk);
	cr_expect_eq(file_blocks("journal"), -1);
	cr_expect_eq(file_blocks("journal.new"), -1);
	cr_expect_eq(file_blocks("ballast"), -1);
	open_sized(MAP);
	cr_expect(has("k") && has("new"));
	close_db();
	umount2(dir, MNT_DETACH);
}

Test(db_space, does_not_let_new_work_wait_for_a_full_disk)
{
	unsigned taken = 0;
	char key[16];
	enum err_code got;

	mount_small_disk("size=96m");
	apply_ms = NEVER;
	open_sized(MAP);
	fill_disk(0);
	do {
		snprintf(key, sizeof(key), "%u", taken);
		db_begin(db, DB_ADMISSION);
		put_zeros(key, MIB);
		got = end_and_wait();
	} while (got == ERR_NONE && ++taken < 100);
	cr_expect_eq(got, ERR_NO_SPACE);
	/* Not more than the journal and the ballast hold. */
	cr_expect(taken >= 3 && taken < 25, "%u", taken);
	close_db();
	on_time_to_free(NULL);
	open_sized(MAP);
	for (unsigned i = 0; i <= taken; i++) {
		snprintf(key, sizeof(key), "%u", i);
		cr_expect_eq(has(key), i < taken, "%u", i);
	}
	close_db();
	umount2(dir, MNT_DETACH);
}
