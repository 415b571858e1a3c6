#include "db_fixture.h"

TestSuite(db, .init = setup, .fini = teardown, .timeout = 60);

/*
 * Units.
 */

Test(db, settles_units_in_order)
{
	struct outcome outs[100] = {0};
	char key[16];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		db_begin(db, 0);
		put(key, "v");
		outs[i].last = i == 99;
		db_end(db, on_done, &outs[i]);
	}
	cr_assert_eq(db_pending(db), 100);
	loop_run(loop);
	cr_assert_eq(db_pending(db), 0);
	for (unsigned i = 0; i < 100; i++)
		cr_expect_eq(outs[i].order, i + 1);
}

Test(db, later_changes_win_within_a_batch)
{
	db_begin(db, 0);
	put("a", "1");
	put("b", "1");
	db_end(db, NULL, NULL);
	db_begin(db, 0);
	put("a", "2");
	db_del(db, DB_SPEC, "b", 1);
	db_del(db, DB_SPEC, "never was", 9);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect(has_value("a", "2"));
	cr_expect_not(has("b"));
}

Test(db, settles_a_unit_without_changes_in_its_turn)
{
	struct outcome first = {0};

	db_begin(db, 0);
	put("k", "v");
	db_end(db, on_done, &first);
	db_begin(db, 0);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(first.order, 1);
}

static void
on_done_look(void *arg, const struct err *e)
{
	bool *seen = arg;

	*seen = has("k");
	loop_stop(loop);
}

Test(db, shows_a_unit_from_its_callback_on_and_not_before)
{
	bool seen = false;

	db_begin(db, 0);
	put("k", "v");
	cr_expect_not(has("k"));
	db_end(db, on_done_look, &seen);
	cr_expect_not(has("k"));
	loop_run(loop);
	cr_expect(seen);
}

Test(db, takes_units_from_callbacks)
{
	struct chain chain = {.left = 10};

	on_done_again(&chain, NULL);
	loop_run(loop);
	cr_expect(has("chain0") && has("chain9"));
}

static void
on_turn_end_write(void *arg)
{
	bool *written = arg;
	static struct outcome out;

	if (*written)
		return;
	*written = true;
	cr_assert_not(has("hook"));
	db_begin(db, 0);
	put("hook", "v");
	out.last = true;
	db_end(db, on_done, &out);
}

Test(db, takes_units_from_turn_end_hooks_behind_its_own)
{
	bool written = false;

	loop_on_turn_end(loop, on_turn_end_write, &written);
	loop_post(loop, on_nothing, NULL);
	loop_run(loop);
	cr_expect(has("hook"));
}

Test(db, keeps_values_larger_than_its_chunks)
{
	struct db_val v;

	db_begin(db, 0);
	put_zeros("big", MIB + 1);
	put("small", "v");
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(db_get(db, DB_SPEC, "big", 3, &v, &err), 1);
	cr_expect_eq(v.len, MIB + 1);
	cr_expect(has_value("small", "v"));
}

Test(db, takes_keys_up_to_the_limit)
{
	char key[DB_KEY_MAX];
	struct db_val v;

	memset(key, 'k', sizeof(key));
	db_begin(db, 0);
	db_put(db, DB_SPEC, key, sizeof(key), "", 0);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(db_get(db, DB_SPEC, key, sizeof(key), &v, &err), 1);
	cr_expect_eq(v.len, 0);
}

/*
 * Reading.
 */

static bool
on_row_collect(void *arg, const struct db_val *key, const struct db_val *val)
{
	struct strbuf *out = arg;

	strbuf_add(out, key->data, key->len);
	strbuf_addc(out, ' ');
	return true;
}

#define ROWS_MAX 340 /* 4 + 16 + 64 + 256 different keys */
struct model {
	uint8_t key[4];
	size_t len;
};

static int
compare_model(const void *a, const void *b)
{
	const struct model *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int d = memcmp(x->key, y->key, n);

	return d ? d : (int)x->len - (int)y->len;
}

/* Few values, the last one too, so that prefixes are met and carried over. */
static struct model
random_key(size_t min)
{
	static const uint8_t bytes[] = {1, 'a', 'b', 0xff};
	struct model m = {.len = min + (size_t)rand() % (5 - min)};

	for (size_t i = 0; i < m.len; i++)
		m.key[i] = bytes[rand() % 4];
	return m;
}

static void
walk_model(const struct model *all, size_t n, const struct db_walk *w,
	   struct strbuf *out)
{
	struct model from = {.len = w->from_len};

	if (w->from)
		memcpy(from.key, w->from, w->from_len);
	for (size_t i = 0; i < n; i++) {
		const struct model *m = &all[w->reverse ? n - 1 - i : i];
		int d = w->from ? compare_model(m, &from) : 0;

		if (m->len < w->prefix_len || memcmp(m->key, w->prefix, w->prefix_len))
			continue;
		if (w->from && (w->reverse ? d > 0 : d < 0))
			continue;
		if (w->from && w->skip_from && d == 0)
			continue;
		strbuf_add(out, m->key, m->len);
		strbuf_addc(out, ' ');
	}
}

static void
insert_model(struct model *all, size_t *n, const struct model *m)
{
	for (size_t i = 0; i < *n; i++)
		if (compare_model(&all[i], m) == 0)
			return;
	all[(*n)++] = *m;
}

/* One unit of random changes; puts may be of what is there, deletions of what is not. */
static void
change_randomly(struct model *all, size_t *n, unsigned changes)
{
	db_begin(db, 0);
	for (unsigned i = 0; i < changes; i++) {
		struct model m = random_key(1);

		if (rand() % 4 > 0) {
			insert_model(all, n, &m);
			db_put(db, DB_BY_TIME, m.key, m.len, "", 0);
			continue;
		}
		if (*n > 0 && rand() % 2)
			m = all[(size_t)rand() % *n];
		for (size_t k = 0; k < *n; k++)
			if (compare_model(&all[k], &m) == 0)
				all[k--] = all[--*n];
		db_del(db, DB_BY_TIME, m.key, m.len);
	}
	cr_assert_eq(end_and_wait(), ERR_NONE);
	qsort(all, *n, sizeof(all[0]), compare_model);
}

static void
expect_random_walk(const struct model *all, size_t n)
{
	cleanup_strbuf struct strbuf got = {0}, want = {0};
	struct model prefix = random_key(0), from = random_key(1);
	struct db_walk w = {.table = DB_BY_TIME, .prefix = prefix.key,
			    .prefix_len = prefix.len, .reverse = rand() % 2,
			    .skip_from = rand() % 2};

	if (rand() % 2) {
		memcpy(from.key, prefix.key, prefix.len);
		if (from.len < prefix.len)
			from.len = prefix.len;
		w.from = from.key;
		w.from_len = from.len;
	}
	walk_model(all, n, &w, &want);
	cr_assert_eq(db_walk(db, &w, on_row_collect, &got, &err), 0);
	cr_assert(got.len == want.len &&
		  memcmp(strbuf_str(&got), strbuf_str(&want), got.len) == 0);
}

/* Rows in LMDB, in the journal only, in both, and deleted there. */
Test(db, walks_like_a_sorted_list)
{
	struct model all[ROWS_MAX];
	size_t n = 0;

	srand(7);
	for (unsigned round = 0; round < 3; round++) {
		close_db();
		apply_ms = NEVER;
		open_sized(MAP);
		for (unsigned unit = 0; unit < 3; unit++) {
			for (int i = 0; i < 1000; i++)
				expect_random_walk(all, n);
			change_randomly(all, &n, 60);
		}
	}
}

/* The same while batches leave for LMDB all the time. */
Test(db, shows_the_newest_state_wherever_it_is)
{
	struct model all[ROWS_MAX];
	size_t n = 0;

	srand(8);
	close_db();
	apply_ms = 1;
	open_sized(MAP);
	for (int i = 0; i < 1000; i++) {
		change_randomly(all, &n, 1 + (unsigned)rand() % 5);
		expect_random_walk(all, n);
		expect_random_walk(all, n);
	}
}

static bool
on_row_stop(void *arg, const struct db_val *key, const struct db_val *val)
{
	int *rows = arg;

	return ++*rows < 2;
}

Test(db, stops_walking_when_told)
{
	struct db_walk w = {.table = DB_SPEC};
	int rows = 0;

	db_begin(db, 0);
	put("a", "");
	put("b", "");
	put("c", "");
	cr_assert_eq(end_and_wait(), ERR_NONE);
	cr_expect_eq(db_walk(db, &w, on_row_stop, &rows, &err), 0);
	cr_expect_eq(rows, 2);
}

static void
on_turn_read(void *arg)
{
	int *turn = arg;

	if ((*turn)++ == 0)
		cr_assert_not(has("k"));
}

Test(db, sees_the_newest_state_in_each_turn)
{
	int turn = 0;

	loop_post(loop, on_turn_read, &turn);
	db_begin(db, 0);
	put("k", "v");
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_expect(has("k"));
}

/* Mapped files in memory; on a tmpfs they count as shared memory. */
static long
rss_file_kib(void)
{
	cleanup_file FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long file = 0, shared = 0;

	cr_assert_not_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssFile: %ld", &file) == 0)
			sscanf(line, "RssShmem: %ld", &shared);
	return file + shared;
}

struct rss_watch {
	struct loop_timer *timer;
	long below;
};

static void
on_time_to_look(void *arg)
{
	struct rss_watch *watch = arg;

	if (rss_file_kib() < watch->below)
		loop_stop(loop);
	else
		loop_timer_set(watch->timer, 20);
}

Test(db, lets_go_of_memory_when_nobody_reads)
{
	struct rss_watch watch = {.below = rss_file_kib() + 4096};
	struct db_val v;
	unsigned sum = 0;

	db_begin(db, 0);
	put_zeros("big", 16 * MIB);
	cr_expect_eq(end_and_wait(), ERR_NONE);
	cr_assert_eq(db_get(db, DB_SPEC, "big", 3, &v, &err), 1);
	for (size_t i = 0; i < v.len; i += 4096)
		sum += ((const unsigned char *)v.data)[i];
	cr_expect_eq(sum, 0);
	cr_assert_geq(rss_file_kib(), watch.below);
	watch.timer = loop_timer_new(loop, on_time_to_look, &watch);
	loop_timer_set(watch.timer, 0);
	loop_run(loop);
	loop_timer_free(watch.timer);
}
