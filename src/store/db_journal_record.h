/*
 * db_journal_record: a batch as bytes in the journal. Pure.
 *
 *   u32 magic, u32 length of the changes, u64 seq, u64 checksum,
 *   changes: u8 kind, u32 length, row [, u32 length, value]
 *
 * padded with zeros to whole blocks, so that no write touches a block that holds a
 * settled record. The checksum begins with the journal's salt: nothing that was brought
 * here inside a value passes for a record. It covers the seq and the changes.
 */
#pragma once

#include "db_batch.h"
#include "slipway/wire.h"

#define JOURNAL_BLOCK 4096u

struct db_record {
	uint64_t seq;
	const uint8_t *changes;
	size_t len;
	size_t size; /* of the whole record, with its padding */
};

/* Bytes that the record takes: the changes of all units that are not refused. */
size_t db_record_size(const struct batch *b);
/* Writes that many bytes. */
void db_record_encode(uint8_t *out, const struct batch *b, uint64_t salt);

enum db_record_kind {
	RECORD_NONE, /* no record begins here */
	RECORD_TORN, /* one begins here, with this seq, but is not whole */
	RECORD_WHOLE,
};
/* Looks at the bytes from the beginning of a block on; out points into them. */
enum db_record_kind db_record_decode(const uint8_t *data, size_t len, uint64_t salt,
				     struct db_record *out);
/* The next change: row, val and del. False at the end, and when it is malformed: then
 * wire_r_done(r) is false. */
bool db_record_next(struct wire_r *r, struct op *out);

/* Each change of a single word changes it; begins with seed. */
uint64_t db_record_checksum(const void *data, size_t len, uint64_t seed);
