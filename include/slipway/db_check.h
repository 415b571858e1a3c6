/*
 * db_check: may this slipwayd open the database of that directory? For an upgrade, or a
 * step back, to be tried before the daemon that runs is stopped: reads only, and next
 * to it. Blocks; not in a process that has the database open.
 */
#pragma once

#include "slipway/err.h"

/* The version of its schema, 0 when there is no database yet; or -1: ERR_INVALID for one
 * of a newer slipwayd. ERR_SYSTEM when it cannot be read, such as by this user. */
int db_check(const char *dir, struct err *e);
