#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "db_journal.h"
#include "db_journal_record.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

#define INSTANCE "0123456789abcdef"
#define SALT UINT64_C(42)
#define MIB (1u << 20)

static struct err err;

/* A batch of one unit with one change; NULL deletes. */
static struct batch *
make_batch(uint64_t seq, const char *key, const void *val, size_t len)
{
	struct batch *b = batch_new();
	struct unit *u = batch_add_unit(b, NULL, 0);
	struct db_key row;
	struct op *op;

	db_key_make(&row, DB_BY_TIME, key, strlen(key));
	op = batch_add_op(b, NULL, u, &row, len);
	if (val)
		batch_set_value(op, val);
	op->del = !val;
	b->seq = seq;
	b->size = db_record_size(b);
	return b;
}

/*
 * Records.
 */

static uint8_t *
encode(const struct batch *b)
{
	uint8_t *record = xmalloc(b->size);

	/* What was in the buffer before shall not get into the padding. */
	memset(record, 0x5a, b->size);
	db_record_encode(record, b, SALT);
	return record;
}

static void
expect_change(struct wire_r *r, const char *row, const char *val)
{
	struct op op;

	cr_assert(db_record_next(r, &op));
	cr_expect(op.row.len == strlen(row) + 1 &&
			  memcmp((const char *)op.row.data + 1, row, strlen(row)) == 0,
		  "%s", row);
	cr_expect_eq(op.del, !val);
	if (val)
		cr_expect(op.val.len == strlen(val) &&
				  memcmp(op.val.data, val, op.val.len) == 0,
			  "%s", val);
}

Test(db_journal_record, decodes_what_was_encoded_but_refused_units)
{
	struct batch *b = make_batch(7, "first", "value", 5);
	cleanup_free uint8_t *record = NULL;
	struct db_record rec;
	struct wire_r r;

	batch_join(b, make_batch(0, "refused", "value", 5));
	STAILQ_NEXT(STAILQ_FIRST(&b->units), next)->refused = true;
	batch_join(b, make_batch(0, "deleted", NULL, 0));
	batch_join(b, make_batch(0, "empty", "", 0));
	b->size = db_record_size(b);
	cr_assert_eq(b->size, JOURNAL_BLOCK);
	record = encode(b);
	cr_assert_eq(db_record_decode(record, b->size, SALT, &rec), RECORD_WHOLE);
	cr_expect_eq(rec.seq, 7);
	cr_expect_eq(rec.size, JOURNAL_BLOCK);
	for (const uint8_t *p = rec.changes + rec.len; p < record + rec.size; p++)
		cr_assert_eq(*p, 0);
	wire_r_init(&r, rec.changes, rec.len);
	expect_change(&r, "first", "value");
	expect_change(&r, "deleted", NULL);
	expect_change(&r, "empty", "");
	cr_expect(wire_r_done(&r));
	batch_free(b, NULL);
}

Test(db_journal_record, takes_whole_blocks)
{
	static const char zeros[3 * JOURNAL_BLOCK];
	struct batch *b = make_batch(1, "k", zeros, 0);
	/* What a record of one change takes besides its value. */
	const size_t head = 24 + 1 + 4 + 2 + 4;

	for (size_t len = 0; len < sizeof(zeros); len += 1 + len % 7) {
		cleanup_free uint8_t *record = NULL;
		struct db_record rec;

		batch_free(b, NULL);
		b = make_batch(1, "k", zeros, len);
		cr_assert_eq(b->size, (head + len + 4095) / 4096 * 4096);
		record = encode(b);
		cr_assert_eq(db_record_decode(record, b->size, SALT, &rec),
			     RECORD_WHOLE);
		cr_assert_eq(rec.size, b->size);
		cr_assert_neq(db_record_decode(record, b->size - 1, SALT, &rec),
			      RECORD_WHOLE);
	}
	batch_free(b, NULL);
}

Test(db_journal_record, knows_each_damaged_byte)
{
	struct batch *b = make_batch(1, "key", "a value of some length", 22);
	cleanup_free uint8_t *record = encode(b);
	/* Head and change; the padding may be anything. */
	const size_t used = 24 + 1 + 4 + 4 + 4 + 22;
	struct db_record rec;

	for (size_t i = 0; i < used * 8; i++) {
		record[i / 8] ^= (uint8_t)(1 << i % 8);
		cr_assert_neq(db_record_decode(record, b->size, SALT, &rec),
			      RECORD_WHOLE, "bit %zu", i);
		record[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	cr_assert_eq(db_record_decode(record, b->size, SALT, &rec), RECORD_WHOLE);
	cr_assert_eq(db_record_decode(record, b->size, SALT + 1, &rec), RECORD_TORN);
	cr_assert_eq(rec.seq, 1);
	cr_assert_eq(db_record_decode(record, 23, SALT, &rec), RECORD_NONE);
	cr_assert_eq(db_record_decode(record, 0, SALT, &rec), RECORD_NONE);
	batch_free(b, NULL);
}

Test(db_journal_record, stops_at_malformed_changes)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "\2\2\0\0\0ab", 7 },		   /* no such kind */
		{ "\0\1\0\0\0a", 6 },		   /* a row of one byte */
		{ "\0\2\0\0\0a", 6 },		   /* a row that is cut short */
		{ "\1\2\0\0\0ab\5\0\0\0val", 14 }, /* a value that is */
		{ "\0\377\377\377\377ab", 7 },	   /* a length out of reach */
		{ "\1\2\0\0\0ab", 7 },		   /* no value */
	};
	struct wire_r r;
	struct op op;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		wire_r_init(&r, bad[i].bytes, bad[i].len);
		cr_expect_not(db_record_next(&r, &op), "%zu", i);
		cr_expect_not(wire_r_done(&r), "%zu", i);
	}
}

/*
 * The file.
 */

static char dir[PATH_MAX];
static struct db_journal *journal;

static void
open_journal(void)
{
	const struct db_opts o = { .dir = dir };

	cr_assert_eq(db_journal_open(&journal, &o, INSTANCE, &err), 0, "%s", err.msg);
	cr_assert_not_null(journal);
}

static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/test-journal-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	open_journal();
}

static void
teardown(void)
{
	db_journal_close(journal);
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

TestSuite(db_journal, .init = setup, .fini = teardown, .timeout = 60);

static void
append(struct batch *b)
{
	cr_assert(db_journal_reserve(journal, b));
	cr_assert_eq(db_journal_append(journal, b, &err), 0, "%s", err.msg);
}

/* The first letter of the value of each change behind this one. */
static const char *
letters_behind(uint64_t applied)
{
	static char letters[64];
	size_t n = 0;
	const struct unit *u;
	struct batch *b;

	cr_assert_eq(db_journal_read(journal, applied, &b, &err), 0, "%s", err.msg);
	if (!b)
		return "";
	STAILQ_FOREACH(u, &b->units, next)
		letters[n++] = *(const char *)STAILQ_FIRST(&u->ops)->val.data;
	letters[n] = '\0';
	cr_assert_eq(b->seq, applied + n);
	batch_free(b, NULL);
	return letters;
}

/* A record of so many MiB but for its head. */
static struct batch *
make_large(uint64_t seq, char letter, size_t mib)
{
	cleanup_free char *val = xmalloc(mib * MIB);

	memset(val, letter, mib * MIB);
	return make_batch(seq, "large", val, mib * MIB - 100);
}

Test(db_journal, keeps_what_was_appended)
{
	struct batch *b[3];

	cr_expect_str_eq(letters_behind(0), "");
	for (unsigned i = 0; i < 3; i++)
		append(b[i] = make_batch(i + 1, "k", &"abc"[i], 1));
	db_journal_close(journal);
	open_journal();
	cr_expect_str_eq(letters_behind(0), "abc");
	cr_expect_str_eq(letters_behind(1), "bc");
	cr_expect_str_eq(letters_behind(3), "");
	cr_expect_str_eq(letters_behind(100), "");
	for (unsigned i = 0; i < 3; i++)
		batch_free(b[i], NULL);
}

Test(db_journal, takes_as_much_as_it_has_room_for_and_more_when_released)
{
	struct batch *b[6];

	/* The first block is the header's. */
	append(b[0] = make_large(1, 'a', 4));
	append(b[1] = make_large(2, 'b', 3));
	b[2] = make_large(3, 'c', 1);
	cr_expect_not(db_journal_reserve(journal, b[2]));
	cr_expect_eq(b[2]->journal_end, 0);
	append(b[3] = make_batch(3, "k", "d", 1));
	cr_expect_str_eq(letters_behind(0), "abd");

	/* Round the end, up to the tail, but not onto it. */
	db_journal_release(journal, b[0]);
	batch_free(b[2], NULL);
	b[2] = make_large(4, 'c', 4);
	cr_expect_not(db_journal_reserve(journal, b[2]));
	append(b[4] = make_large(4, 'e', 3));
	cr_expect_str_eq(letters_behind(1), "bde");
	db_journal_release(journal, b[1]);
	db_journal_release(journal, b[3]);
	append(b[5] = make_large(5, 'f', 3));
	cr_expect_str_eq(letters_behind(3), "ef");

	/* Empty: the largest one fits again. */
	db_journal_release(journal, b[4]);
	db_journal_release(journal, b[5]);
	b[2]->seq = 6;
	append(b[2]);
	cr_expect_str_eq(letters_behind(5), "c");
	for (unsigned i = 0; i < 6; i++)
		batch_free(b[i], NULL);
}

static void
patch(off_t at, const void *bytes, size_t len)
{
	cleanup_free char *path = xasprintf("%s/journal", dir);
	cleanup_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	cr_assert_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
}

Test(db_journal, does_not_miss_a_torn_record_after_the_wrap)
{
	struct batch *b[3];

	append(b[0] = make_large(1, 'a', 4));
	append(b[1] = make_large(2, 'b', 3));
	db_journal_release(journal, b[0]);
	append(b[2] = make_large(3, 'c', 2));
	cr_expect_str_eq(letters_behind(1), "bc");
	patch((off_t)(b[2]->journal_end - JOURNAL_BLOCK), "torn", 4);
	cr_expect_str_eq(letters_behind(1), "b");
	for (unsigned i = 0; i < 3; i++)
		batch_free(b[i], NULL);
}

Test(db_journal, tells_damage_from_a_torn_tail)
{
	struct batch *b[3], *read;

	for (unsigned i = 0; i < 3; i++)
		append(b[i] = make_batch(i + 1, "k", &"abc"[i], 1));
	patch(2 * JOURNAL_BLOCK + 30, "x", 1);
	cr_expect_eq(db_journal_read(journal, 0, &read, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	cr_expect_not_null(strstr(err.msg, "change 2 is missing"), "%s", err.msg);
	cr_expect_null(read);
	cr_expect_str_eq(letters_behind(2), "c");
	patch(3 * JOURNAL_BLOCK + 30, "x", 1);
	cr_expect_str_eq(letters_behind(0), "a");
	for (unsigned i = 0; i < 3; i++)
		batch_free(b[i], NULL);
}

/* The same file again; its header may be another one now. */
static enum err_code
reopen_as(const char *instance)
{
	const struct db_opts o = { .dir = dir };

	db_journal_close(journal);
	err = (struct err){ 0 };
	cr_assert_eq(db_journal_open(&journal, &o, instance, &err),
		     err.code == ERR_NONE ? 0 : -1);
	cr_assert_eq(journal == NULL, err.code != ERR_NONE);
	return err.code;
}

Test(db_journal, belongs_to_one_database)
{
	cr_expect_eq(reopen_as("another instance"), ERR_CONFLICT);
	cr_expect_not_null(strstr(err.msg, INSTANCE), "%s", err.msg);
	cr_expect_eq(reopen_as(INSTANCE), ERR_NONE);
}

#define VERSION_AT 16
#define CHECKSUM_AT 48

Test(db_journal, refuses_a_newer_version)
{
	cleanup_free char *path = xasprintf("%s/journal", dir);
	cleanup_strbuf struct strbuf file = { 0 };
	uint64_t sum;

	cr_assert_eq(fs_read_file(path, JOURNAL_SIZE, &file, &err), 0);
	file.data[VERSION_AT] = 2;
	patch(VERSION_AT, "\2", 1);
	cr_expect_eq(reopen_as(INSTANCE), ERR_CORRUPT);
	sum = db_record_checksum(file.data, CHECKSUM_AT, 0);
	patch(CHECKSUM_AT, &sum, sizeof(sum));
	cr_expect_eq(reopen_as(INSTANCE), ERR_INVALID);
	cr_expect_not_null(strstr(err.msg, "newer slipwayd"), "%s", err.msg);
}

Test(db_journal, refuses_what_is_no_journal_or_not_all_of_one)
{
	cleanup_free char *path = xasprintf("%s/journal", dir);

	cr_assert_eq(truncate(path, JOURNAL_SIZE - 1), 0);
	cr_expect_eq(reopen_as(INSTANCE), ERR_CORRUPT);
	cr_assert_eq(truncate(path, JOURNAL_SIZE), 0);
	cr_expect_eq(reopen_as(INSTANCE), ERR_NONE);
	patch(3, "x", 1);
	cr_expect_eq(reopen_as(INSTANCE), ERR_CORRUPT);
	cr_assert_eq(truncate(path, 0), 0);
	cr_expect_eq(reopen_as(INSTANCE), ERR_CORRUPT);
	unlink(path);
	cr_assert_eq(symlink("/dev/null", path), 0);
	cr_expect_neq(reopen_as(INSTANCE), ERR_NONE);
}

Test(db_journal, is_made_whole_or_not_at_all)
{
	cleanup_free char *path = xasprintf("%s/journal", dir);
	cleanup_free char *new = xasprintf("%s/journal.new", dir);
	struct stat st;

	/* As a crash while it was made leaves it. */
	unlink(path);
	close(open(new, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	cr_expect_eq(reopen_as(INSTANCE), ERR_NONE);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_size, JOURNAL_SIZE);
	cr_expect_geq(st.st_blocks * 512, JOURNAL_SIZE);
	cr_expect_eq(st.st_mode & 07777, 0600);
	cr_expect_eq(access(new, F_OK), -1);
}
