/*
 * seal_table: the seek table that ends a sealed log, as bytes.
 *
 *   skippable frame   u32 0x184D2A5E, u32 size of what follows
 *   one row per frame u32 compressed size, u32 size of the content
 *   footer            u32 rows, u8 descriptor (0), u32 0x8F92EAB1
 *
 * All little endian. What is parsed comes from a file and is trusted in nothing. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/strbuf.h"

#define SEAL_FOOTER_LEN 9
#define SEAL_FRAMES_MAX 65536u

/* Where a frame begins, in the file and in the spool. */
struct seal_mark {
	uint64_t file, spool;
};

struct seal_table {
	struct seal_mark *marks; /* frames + 1: the last one is the end */
	uint32_t frames;
};

void seal_table_free(struct seal_table *t);
/* Append the table of these frames. */
void seal_table_encode(const struct seal_table *t, struct strbuf *out);
/* Bytes of the whole table, told by the last SEAL_FOOTER_LEN bytes of the file. */
int seal_table_length(const uint8_t footer[SEAL_FOOTER_LEN], uint64_t file_size,
		      size_t *len, struct err *e);
/* The last len bytes of a file of file_size, len as told by seal_table_length(). */
int seal_table_parse(struct seal_table *t, const uint8_t *data, size_t len,
		     uint64_t file_size, struct err *e);
