#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "loop_mem.h"

Test(loop_mem, small_things_are_apart_and_used_again)
{
	char *a = loop_mem_alloc(LOOP_MEM_SLOT), *b = loop_mem_alloc(1);

	cr_assert(a && b);
	cr_assert(a + LOOP_MEM_SLOT <= b || b + LOOP_MEM_SLOT <= a);
	cr_assert_eq((uintptr_t)a % _Alignof(max_align_t), 0);
	memset(a, 1, LOOP_MEM_SLOT);
	loop_mem_free(a);
	cr_assert_eq(loop_mem_alloc(20), a);
	loop_mem_free(a);
	loop_mem_free(b);
}

Test(loop_mem, growing_keeps_what_is_there)
{
	char *p = loop_mem_realloc(NULL, 10), *same;

	strcpy(p, "text");
	same = loop_mem_realloc(p, LOOP_MEM_SLOT);
	cr_assert_eq(same, p);
	p = loop_mem_realloc(p, LOOP_MEM_SLOT + 1);
	cr_assert_neq(same, p);
	cr_assert_str_eq(p, "text");
	p = loop_mem_realloc(p, 100000);
	cr_assert_str_eq(p, "text");
	p = loop_mem_realloc(p, 5);
	cr_assert_eq(memcmp(p, "text", 5), 0);
	loop_mem_free(p);
	loop_mem_free(NULL);
}

Test(loop_mem, when_the_array_is_full_the_heap_serves)
{
	static char *p[LOOP_MEM_SLOTS + 1];

	for (size_t i = 0; i <= LOOP_MEM_SLOTS; i++) {
		p[i] = loop_mem_alloc(8);
		cr_assert(p[i]);
		memcpy(p[i], &i, sizeof(i));
	}
	for (size_t i = 0; i <= LOOP_MEM_SLOTS; i++) {
		cr_assert_eq(memcmp(p[i], &i, sizeof(i)), 0);
		loop_mem_free(p[i]);
	}
}
