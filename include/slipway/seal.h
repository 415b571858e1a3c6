/*
 * seal: the compressed form of a finished log.
 *
 * A sealed log is a sequence of independent zstd frames of 1 MiB of spool each, ended by
 * a seek table in a skippable frame (the Zstandard seekable format), so any offset of
 * the spool stays readable and `zstd -d` gives back the spool. Blocking: pool threads.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "slipway/err.h"
#include "slipway/strbuf.h"

#define SEAL_BLOCK (1u << 20)

/* Write dst (temp file, fsync, rename) from the first len bytes of the spool fd. */
int seal_write(int spool_fd, uint64_t len, const char *dst, struct err *e);

struct sealed; /* an opened sealed log; one thread at a time */
struct sealed *sealed_open(const char *path, struct err *e);
void sealed_close(struct sealed *s);
uint64_t sealed_size(const struct sealed *s); /* of the spool inside */
/* Append up to max bytes of the spool from offset on to out; 0 bytes at the end. */
int sealed_read(struct sealed *s, uint64_t offset, size_t max, struct strbuf *out,
		struct err *e);
