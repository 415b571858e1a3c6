/*
 * fs: small file helpers. Blocking; on the reactor only where noted by the caller.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "slipway/err.h"
#include "slipway/strbuf.h"

/* mkdir -p with this mode for what is created; existing directories are fine. */
int fs_mkdir_p(const char *path, mode_t mode, struct err *e);
/* A wish to the file system: what is made in this directory are trees of their own, not
 * neighbours. On ext4 each then starts where nothing was deleted lately, which makes
 * new files many times cheaper. Others have no such trouble and do not listen. */
void fs_wish_apart(const char *path);
/* Append a whole file to out; ERR_TOO_LARGE over max bytes. O_NOFOLLOW. */
int fs_read_file(const char *path, size_t max, struct strbuf *out, struct err *e);
/* Write all bytes, restarting on EINTR and short writes. */
int fs_write_all(int fd, const void *data, size_t len, struct err *e);
/* Temp file in the same directory, fsync, rename, fsync of the directory. */
int fs_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
		    struct err *e);
/* Remove a tree, without following links; *removed counts entries when given.
 * A missing path is fine. stop, when given, is asked between entries; true ends with
 * ERR_CLOSED. */
int fs_remove_tree(const char *path, uint64_t *removed, bool (*stop)(void *),
		   void *arg, struct err *e);
/* Open an existing regular file by path, O_NOFOLLOW|O_CLOEXEC; ERR_DENIED when it
 * is not regular. Returns the fd or -1. */
int fs_open_regular(const char *path, int flags, struct err *e);
/* Free and total bytes of the file system at path. */
int fs_space(const char *path, uint64_t *avail, uint64_t *total, struct err *e);
/* An executable file of that name in $PATH, or where programs usually are; malloc'ed,
 * NULL when there is none. */
char *fs_find_program(const char *name);
bool fs_is_program(const char *path);
/* Is path inside root (both absolute, normalised lexically)? */
bool fs_is_inside(const char *root, const char *path);
/* Normalise lexically: resolves "." and "..", squeezes slashes. False when ".."
 * climbs above "/" or the result does not fit. path must be absolute. */
bool fs_normalise(const char *path, char *out, size_t size);
