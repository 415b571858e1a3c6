/*
 * slab: objects of one size that come and go by the thousand.
 *
 * malloc would put them wherever there is room, and a page that held ten kilobytes of a
 * handshake is then kept by the hundred bytes that stay of it. Here they lie together,
 * and a block whose objects are all gone goes back to the kernel. One thread at a time.
 */
#pragma once

#include <stddef.h>

struct slab;

struct slab *slab_new(size_t size);
/* All objects must have been freed. NULL is fine. */
void slab_destroy(struct slab *s);
/* Zeroed; aborts when memory is out. */
void *slab_get(struct slab *s);
void slab_put(struct slab *s, void *object);
