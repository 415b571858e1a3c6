/*
 * db_ahead: keeps the database file longer than its content.
 *
 * A commit that makes the file grow also has to write the file system's journal, which
 * about doubles its time on ext4; over blocks that were written before it does not.
 * Blocking, store thread.
 */
#pragma once

#include <stdint.h>

/* used: bytes of the file that hold pages; max: it never becomes longer. Does nothing
 * while enough is ahead, or where the file system has little space. */
void db_ahead_keep(int fd, const char *dir, uint64_t used, uint64_t max);
