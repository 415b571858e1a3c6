#include "../../src/engine/sched.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define N 2000

static struct sched s;

static struct sched_set *
set_get(const char *name)
{
	bool is_new;

	return sched_set_get(&s, name, &is_new);
}

static void
start(void)
{
	sched_init(&s, NULL);
}

static void
stop(void)
{
	sched_clear(&s);
}

TestSuite(sched, .init = start, .fini = stop);

Test(sched, is_fifo_inside_a_level)
{
	struct sched_item it[3] = { 0 };

	for (unsigned i = 0; i < 3; i++)
		sched_add(&s, set_get("a"), &it[i], 100, i + 1, 0);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(sched_head(set_get("a")), &it[i]);
		cr_assert_eq(sched_position(&s, &it[2]), 3 - i);
		sched_remove(&s, &it[i]);
	}
	cr_assert_eq(s.count, 0);
}

Test(sched, smaller_keys_go_first_whatever_came_first)
{
	struct sched_item late = { 0 }, early = { 0 };

	sched_add(&s, set_get("a"), &late, 200, 1, 0);
	sched_add(&s, set_get("a"), &early, 100, 2, 0);
	cr_assert_eq(sched_head(set_get("a")), &early);
	cr_assert_eq(sched_position(&s, &late), 2);
	sched_remove(&s, &early);
	sched_remove(&s, &late);
}

Test(sched, sets_do_not_see_each_other)
{
	struct sched_item a = { 0 }, b = { 0 };

	sched_add(&s, set_get("a"), &a, 1, 1, 0);
	sched_add(&s, set_get("b"), &b, 2, 2, 0);
	cr_assert_eq(sched_head(set_get("b")), &b);
	cr_assert_eq(sched_position(&s, &b), 1);
	sched_remove(&s, &a);
	sched_remove(&s, &b);
	cr_assert(LIST_EMPTY(&s.sets), "empty sets go away");
}

Test(sched, delayed_items_wait_for_their_time)
{
	struct sched_item soon = { 0 }, later = { 0 };

	sched_add(&s, set_get("a"), &later, 1, 1, 500);
	sched_add(&s, set_get("a"), &soon, 2, 2, 300);
	cr_assert_null(sched_head(set_get("a")));
	cr_assert_eq(sched_release(&s, 299), 300);
	cr_assert_null(sched_head(set_get("a")));
	cr_assert_eq(sched_release(&s, 300), 500);
	cr_assert_eq(sched_head(set_get("a")), &soon);
	cr_assert_eq(sched_position(&s, &later), 2, "delayed ones stand behind");
	cr_assert_eq(sched_release(&s, 500), 0);
	cr_assert_eq(sched_head(set_get("a")), &later);
	sched_remove(&s, &soon);
	sched_remove(&s, &later);
}

Test(sched, removing_a_delayed_item_forgets_it)
{
	struct sched_item it = { 0 };

	sched_add(&s, set_get("a"), &it, 1, 1, 300);
	sched_remove(&s, &it);
	cr_assert_eq(sched_release(&s, 1000), 0);
	sched_remove(&s, &it);
	cr_assert_eq(s.count, 0, "removing twice changes nothing");
}

static int
by_key(const void *a, const void *b)
{
	const struct sched_item *x = *(struct sched_item *const *)a;
	const struct sched_item *y = *(struct sched_item *const *)b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->seq < y->seq ? -1 : 1;
}

/* Against a sorted array, with random removals. */
Test(sched, agrees_with_a_sorted_array)
{
	static struct sched_item items[N];
	static struct sched_item *model[N];
	size_t n = N;

	srand(1);
	for (size_t i = 0; i < N; i++) {
		sched_add(&s, set_get("a"), &items[i], rand() % 50, i + 1, 0);
		model[i] = &items[i];
	}
	while (n > 0) {
		size_t k;

		qsort(model, n, sizeof(*model), by_key);
		cr_assert_eq(sched_head(set_get("a")), model[0]);
		for (size_t i = 0; i < n; i += 97)
			cr_assert_eq(sched_position(&s, model[i]), (long)i + 1);
		for (unsigned i = 0; i < 100 && n > 0; i++) {
			k = (size_t)rand() % n;
			sched_remove(&s, model[k]);
			model[k] = model[--n];
		}
	}
	cr_assert_eq(s.count, 0);
}
