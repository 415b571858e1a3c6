/* The store's journal: a record as it is read after a crash, and the changes in one. What
 * can be read is written as the same bytes. */
#include "db_journal_record.h"
#include "fuzz.h"

#define SALT 1

static struct batch *
read_changes(const uint8_t *data, size_t size, size_t *used)
{
	struct batch *b = batch_new();
	struct unit *u = batch_add_unit(b, NULL, 0);
	struct db_key row;
	struct wire_r r;
	struct op in, *op;

	*used = 0;
	wire_r_init(&r, data, size);
	while (db_record_next(&r, &in)) {
		fuzz_must(in.row.len >= 2 && in.row.len <= sizeof(row.bytes));
		row.len = in.row.len;
		memcpy(row.bytes, in.row.data, row.len);
		op = batch_add_op(b, NULL, u, &row, in.val.len);
		op->del = in.del;
		batch_set_value(op, in.val.data);
		*used = (size_t)(r.p - data);
	}
	return b;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct db_record rec;
	struct batch *b;
	uint8_t *out;
	size_t used;

	if (db_record_decode(data, size, SALT, &rec) == RECORD_WHOLE)
		fuzz_must(rec.size <= size && rec.len < rec.size);

	b = read_changes(data, size, &used);
	b->seq = size;
	b->size = db_record_size(b);
	out = malloc(b->size);
	db_record_encode(out, b, SALT);
	fuzz_must(db_record_decode(out, b->size, SALT, &rec) == RECORD_WHOLE);
	fuzz_must(rec.seq == size && rec.len == used && rec.size == b->size);
	fuzz_must(used == 0 || memcmp(rec.changes, data, used) == 0);
	free(out);
	batch_free(b, NULL);
	return 0;
}
