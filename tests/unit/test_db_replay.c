/* What the journal is for: crashes. */
#include <fcntl.h>
#include <sys/stat.h>

#include "db_fixture.h"
#include "db_journal.h"
#include "db_journal_record.h"

static void
setup_never(void)
{
	apply_ms = NEVER;
	make_dir();
}

TestSuite(db_replay, .init = setup_never, .fini = remove_dir, .timeout = 120);

static char *
path_of(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void
remove_journal(void)
{
	cleanup_free char *path = path_of("journal");

	cr_assert_eq(unlink(path), 0);
}

static void
commit_three(void)
{
	commit("a", "first");
	commit("b", "second");
	commit("c", "third");
}

static void
expect_three(void)
{
	cr_expect(has_value("a", "first"));
	cr_expect(has_value("b", "second"));
	cr_expect(has_value("c", "third"));
}

Test(db_replay, brings_back_what_only_the_journal_has)
{
	crash_after(commit_three);
	open_sized(MAP);
	expect_three();
	close_db();
}

Test(db_replay, is_needed_for_that)
{
	crash_after(commit_three);
	remove_journal();
	open_sized(MAP);
	cr_expect_not(has("a") || has("b") || has("c"));
	close_db();
}

static void
on_nothing_to_do(void)
{
}

Test(db_replay, is_in_lmdb_when_open_returns)
{
	crash_after(commit_three);
	crash_after(on_nothing_to_do);
	remove_journal();
	open_sized(MAP);
	expect_three();
	close_db();
}

Test(db_replay, happens_again_when_it_was_cut_short)
{
	cleanup_free char *path = path_of("data.mdb");
	cleanup_strbuf struct strbuf before = { 0 };

	crash_after(on_nothing_to_do);
	cr_assert_eq(fs_read_file(path, 64 * MIB, &before, &err), 0);
	crash_after(commit_three);
	crash_after(on_nothing_to_do);
	/* As if the commit of that replay had not reached the disk. */
	cr_assert_eq(fs_write_atomic(path, before.data, before.len, 0600, &err), 0);
	open_sized(MAP);
	expect_three();
	close_db();
}

static void
change_one_key(void)
{
	commit("k", "old");
	commit("gone", "v");
	db_begin(db, 0);
	put("k", "new");
	db_del(db, DB_SPEC, "gone", 4);
	db_del(db, DB_SPEC, "never was", 9);
	cr_assert_eq(end_and_wait(), ERR_NONE);
}

Test(db_replay, keeps_the_order)
{
	crash_after(change_one_key);
	open_sized(MAP);
	cr_expect(has_value("k", "new"));
	cr_expect_not(has("gone"));
	close_db();
}

Test(db_replay, goes_on_after_a_replay)
{
	for (int i = 0; i < 3; i++) {
		crash_after(change_one_key);
		crash_after(commit_three);
	}
	open_sized(MAP);
	expect_three();
	cr_expect(has_value("k", "new"));
	commit("later", "v");
	close_db();
	open_sized(MAP);
	cr_expect(has("later"));
	close_db();
}

/*
 * What a power failure leaves of the last write.
 */

#define THIRD_AT (3 * JOURNAL_BLOCK)
/* Head, kind, row "c" with its two table bytes, "third". */
#define THIRD_LEN (24 + 1 + 4 + 3 + 4 + 5)

static void
write_file(const char *name, off_t at, const void *data, size_t len)
{
	cleanup_free char *path = path_of(name);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(pwrite(fd, data, len, at), (ssize_t)len);
}

Test(db_replay, drops_a_last_record_that_is_torn_anywhere)
{
	cleanup_free char *journal = path_of("journal"), *lmdb = path_of("data.mdb");
	cleanup_strbuf struct strbuf j = { 0 }, before = { 0 };

	crash_after(commit_three);
	cr_assert_eq(fs_read_file(journal, JOURNAL_SIZE, &j, &err), 0);
	cr_assert_eq(fs_read_file(lmdb, 64 * MIB, &before, &err), 0);
	for (size_t cut = 0; cut <= THIRD_LEN; cut++) {
		uint8_t block[JOURNAL_BLOCK];

		memset(block, 0xa5, sizeof(block));
		memcpy(block, j.data + THIRD_AT, cut);
		write_file("journal", THIRD_AT, block, sizeof(block));
		cr_assert_eq(fs_write_atomic(lmdb, before.data, before.len, 0600, &err),
			     0);
		open_sized(MAP);
		cr_assert(has_value("a", "first") && has_value("b", "second"), "%zu",
			  cut);
		cr_assert_eq(has("c"), cut == THIRD_LEN, "%zu", cut);
		close_db();
	}
}

Test(db_replay, refuses_damage_in_the_middle)
{
	crash_after(commit_three);
	write_file("journal", 2 * JOURNAL_BLOCK + 40, "x", 1);
	cr_expect_eq(try_open(), ERR_CORRUPT);
	cr_expect_not_null(strstr(err.msg, "journal is damaged"), "%s", err.msg);
	cr_expect_eq(try_open(), ERR_CORRUPT);
}

Test(db_replay, does_not_mind_damage_of_what_lmdb_has)
{
	open_sized(MAP);
	commit_three();
	close_db();
	write_file("journal", 2 * JOURNAL_BLOCK + 40, "x", 1);
	crash_after(on_nothing_to_do);
	open_sized(MAP);
	expect_three();
	close_db();
}

/*
 * Large and many.
 */

static void
commit_kilobytes(const char *key, size_t kib)
{
	db_begin(db, 0);
	put_zeros(key, kib << 10);
	cr_assert_eq(end_and_wait(), ERR_NONE);
}

/* Over the journal's end, several times; some do not go there at all. */
static void
commit_more_than_fits(void)
{
	static const size_t kib[] = { 1000, 3000, 20, 4500, 700, 2000, 3900, 1 };
	char key[16];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "%u", i);
		commit_kilobytes(key, kib[i % ARRAY_LEN(kib)]);
		if (i >= 8) {
			snprintf(key, sizeof(key), "%u", i - 8);
			db_begin(db, 0);
			db_del(db, DB_SPEC, key, strlen(key));
			cr_assert_eq(end_and_wait(), ERR_NONE);
		}
	}
}

Test(db_replay, survives_going_round)
{
	char key[16];

	crash_after(commit_more_than_fits);
	open_sized(MAP);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(key, sizeof(key), "%u", i);
		cr_expect_eq(has(key), i >= 32, "%u", i);
	}
	close_db();
}

/*
 * Other databases' journals, and none.
 */

Test(db_replay, refuses_the_journal_of_another_database)
{
	cleanup_free char *lmdb = path_of("data.mdb");

	crash_after(commit_three);
	unlink(lmdb);
	cr_expect_eq(try_open(), ERR_CONFLICT);
	cr_expect_not_null(strstr(err.msg, "another database"), "%s", err.msg);
}

Test(db_replay, makes_a_journal_where_there_is_none_although_there_was)
{
	open_sized(MAP);
	commit_three();
	close_db();
	remove_journal();
	crash_after(change_one_key);
	open_sized(MAP);
	expect_three();
	cr_expect(has_value("k", "new"));
	close_db();
}

/*
 * The way to LMDB.
 */

struct watch {
	struct loop_timer *timer;
	const char *needle;
};

static bool
is_in_lmdb(const char *needle)
{
	cleanup_free char *path = path_of("data.mdb");
	cleanup_strbuf struct strbuf file = { 0 };

	cr_assert_eq(fs_read_file(path, 64 * MIB, &file, &err), 0);
	return memmem(file.data, file.len, needle, strlen(needle));
}

static void
on_time_to_look(void *arg)
{
	struct watch *watch = arg;

	if (is_in_lmdb(watch->needle))
		loop_stop(loop);
	else
		loop_timer_set(watch->timer, 5);
}

static void
commit_and_wait(const char *key, const char *val)
{
	struct watch watch = { .needle = val };

	commit(key, val);
	watch.timer = loop_timer_new(loop, on_time_to_look, &watch);
	loop_timer_set(watch.timer, 0);
	loop_run(loop);
	loop_timer_free(watch.timer);
}

/* A value is written before it is committed; when the next one is, too, it is. */
static void
commit_twice_and_wait(void)
{
	commit_and_wait("k", "the first value");
	commit_and_wait("next", "the second value");
	cr_assert(has_value("k", "the first value"));
}

Test(db_replay, is_not_needed_when_the_time_was_up)
{
	apply_ms = 0;
	crash_after(commit_twice_and_wait);
	remove_journal();
	open_sized(MAP);
	cr_expect(has_value("k", "the first value"));
	close_db();
}

Test(db_replay, is_not_needed_after_closing)
{
	open_sized(MAP);
	commit("k", "the value");
	cr_expect_not(is_in_lmdb("the value"));
	close_db();
	remove_journal();
	open_sized(MAP);
	cr_expect(has_value("k", "the value"));
	close_db();
}

Test(db_replay, leaves_copies_whole)
{
	cleanup_free char *copy = path_of("copy");

	open_sized(MAP);
	commit_three();
	cr_assert_eq(db_copy(db, copy, &err), 0, "%s", err.msg);
	commit("after", "v");
	close_db();
	strcat(dir, "/copy");
	open_sized(MAP);
	expect_three();
	cr_expect_not(has("after"));
	close_db();
	*strrchr(dir, '/') = '\0';
}
