/*
 * db_map: the database file's pages in this process's memory.
 *
 * They stay mapped once touched, with their neighbours, and count as resident although
 * they are the kernel's page cache and cost nothing. Unmapping them when nobody needs
 * them keeps a resting daemon small; the next touch maps them anew.
 */
#pragma once

#include <stddef.h>

struct db_map {
	void *addr; /* NULL when not found */
	size_t len;
};

/* The mapping of this file, as /proc/self/maps tells it. */
struct db_map db_map_find(int fd);
void db_map_cool(const struct db_map *m);
