/*
 * secret: values that must not leak.
 *
 * Memory of a secret is wiped before it is freed. Values are 4..8192 bytes; one
 * trailing newline of a file is dropped. Any thread.
 */
#pragma once

#include <stddef.h>

#include "slipway/err.h"

#define SECRET_MIN 4
#define SECRET_MAX 8192

struct secret {
	char *data; /* NUL-terminated, may hold other bytes too */
	size_t len;
};

/* From dir/name; name is [A-Za-z0-9_-]{1,64}; refuses links, files other users can
 * read (mode & 077, unless the directory is a credentials directory of systemd,
 * $CREDENTIALS_DIRECTORY), and lengths out of range. */
int secret_load(struct secret *s, const char *dir, const char *name, struct err *e);
int secret_load_file(struct secret *s, const char *path, struct err *e);
void secret_set(struct secret *s, const void *data, size_t len);
void secret_wipe(struct secret *s);
#define cleanup_secret __attribute__((cleanup(secret_wipe)))
