/*
 * loop_mem: where libevent's smallest things live.
 *
 * For each number that a descriptor ever had, libevent keeps a few bytes for good, taken
 * when the number is first used: between the memory of the connections that came then.
 * After a crowd has left they would hold its pages. So allocations of up to
 * LOOP_MEM_SLOT bytes come from an array of their own, as long as it lasts.
 *
 * Any thread; what one thread frees, it uses again itself.
 */
#pragma once

#include <stddef.h>

#define LOOP_MEM_SLOT 48
#define LOOP_MEM_SLOTS 65536

/* Tells libevent, once; before anything of libevent is made. */
void loop_mem_use(void);

void *loop_mem_alloc(size_t size);
void *loop_mem_realloc(void *p, size_t size);
void loop_mem_free(void *p);
