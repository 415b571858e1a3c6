#include "loop_mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

union slot {
	union slot *next_free;
	char bytes[LOOP_MEM_SLOT];
	max_align_t align;
};

/* Untouched, it costs no memory. */
static union slot slots[LOOP_MEM_SLOTS];
static atomic_size_t n_used;
static _Thread_local union slot *first_free;

static bool
is_slot(const void *p)
{
	uintptr_t at = (uintptr_t)p, begin = (uintptr_t)slots;

	return at >= begin && at < begin + sizeof(slots);
}

static void *
slot_take(void)
{
	union slot *s = first_free;
	size_t n;

	if (s) {
		first_free = s->next_free;
		return s;
	}
	n = atomic_load(&n_used);
	while (n < LOOP_MEM_SLOTS && !atomic_compare_exchange_weak(&n_used, &n, n + 1))
		;
	return n < LOOP_MEM_SLOTS ? &slots[n] : NULL;
}

void *
loop_mem_alloc(size_t size)
{
	void *p = size <= LOOP_MEM_SLOT ? slot_take() : NULL;

	return p ? p : malloc(size);
}

void
loop_mem_free(void *p)
{
	union slot *s = p;

	if (!is_slot(p)) {
		free(p);
		return;
	}
	s->next_free = first_free;
	first_free = s;
}

void *
loop_mem_realloc(void *p, size_t size)
{
	void *grown;

	if (!p)
		return loop_mem_alloc(size);
	if (!is_slot(p))
		return realloc(p, size);
	if (size <= LOOP_MEM_SLOT)
		return p;
	grown = malloc(size);
	if (!grown)
		return NULL;
	memcpy(grown, p, LOOP_MEM_SLOT);
	loop_mem_free(p);
	return grown;
}

static void
tell_libevent(void)
{
	event_set_mem_functions(loop_mem_alloc, loop_mem_realloc, loop_mem_free);
}

void
loop_mem_use(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, tell_libevent);
}
