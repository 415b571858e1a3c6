/*
 * db_dir: the database's directory, for one process at a time. Blocking.
 */
#pragma once

#include "slipway/err.h"

/* Makes it when missing, refuses a network file system, takes its lock (ERR_CONFLICT:
 * another process has it). The lock is held until the returned fd is closed; or -1. */
int db_dir_take(const char *dir, struct err *e);
