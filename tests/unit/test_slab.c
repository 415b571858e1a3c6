#include <criterion/criterion.h>
#include <stdint.h>

#include "slipway/mem.h"
#include "slipway/slab.h"

#define MANY 5000

Test(slab, objects_are_zeroed_and_apart)
{
	struct slab *s = slab_new(100);
	unsigned char *all[MANY];

	for (size_t i = 0; i < MANY; i++) {
		all[i] = slab_get(s);
		for (size_t j = 0; j < 100; j++)
			cr_assert_eq(all[i][j], 0);
		memset(all[i], (int)(i % 255) + 1, 100);
	}
	for (size_t i = 0; i < MANY; i++) {
		for (size_t j = 0; j < 100; j++)
			cr_assert_eq(all[i][j], i % 255 + 1);
		slab_put(s, all[i]);
	}
	slab_destroy(s);
}

Test(slab, what_was_put_back_is_used_again)
{
	struct slab *s = slab_new(24);
	unsigned char *a = slab_get(s), *b = slab_get(s), *again;

	memset(a, 7, 24);
	slab_put(s, a);
	again = slab_get(s);
	for (size_t j = 0; j < 24; j++)
		cr_assert_eq(again[j], 0);
	slab_put(s, b);
	slab_put(s, again);
	slab_destroy(s);
}

Test(slab, objects_are_aligned_for_anything)
{
	struct slab *s = slab_new(1);
	void *a = slab_get(s), *b = slab_get(s);

	cr_assert_eq((uintptr_t)a % _Alignof(max_align_t), 0);
	cr_assert_eq((uintptr_t)b % _Alignof(max_align_t), 0);
	slab_put(s, a);
	slab_put(s, b);
	slab_destroy(s);
}

static long
resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long size, pages = 0;

	cr_assert_eq(fscanf(f, "%ld %ld", &size, &pages), 2);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

Test(slab, memory_goes_back_when_all_have_gone)
{
	struct slab *s = slab_new(4096);
	void **all = xcalloc(MANY, sizeof(*all));
	long before, full, after;

	before = resident_kib();
	for (size_t i = 0; i < MANY; i++)
		all[i] = slab_get(s);
	full = resident_kib();
	for (size_t i = 0; i < MANY; i++)
		slab_put(s, all[i]);
	after = resident_kib();
	cr_assert_gt(full - before, MANY * 4 / 2);
	cr_assert_lt(after - before, 1024);
	free(all);
	slab_destroy(s);
}
