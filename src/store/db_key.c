#include "db_key.h"

#include <string.h>

bool
db_key_is_by_job(enum db_table t)
{
	return t == DB_SPEC || t == DB_JOB || t == DB_ATTEMPT;
}

void
db_key_make(struct db_key *k, enum db_table t, const void *key, size_t len)
{
	k->bytes[0] = (uint8_t)(db_key_is_by_job(t) ? DB_SPEC : t);
	if (len > 0)
		memcpy(k->bytes + 1, key, len);
	k->len = len + 1;
	if (db_key_is_by_job(t))
		k->bytes[k->len++] = (uint8_t)t;
}

void
db_key_make_successor(struct db_key *k)
{
	/* The first byte is a table's and far from carrying over. */
	while (k->bytes[k->len - 1] == 0xff)
		k->len--;
	k->bytes[k->len - 1]++;
}

int
db_row_compare(const struct db_val *a, const struct db_val *b)
{
	int d = memcmp(a->data, b->data, a->len < b->len ? a->len : b->len);

	return d ? d : (a->len > b->len) - (a->len < b->len);
}

bool
db_key_of_row(enum db_table t, const struct db_val *row, struct db_val *key)
{
	const uint8_t *p = row->data;

	*key = (struct db_val){p + 1, row->len - 1};
	return !db_key_is_by_job(t) || p[key->len--] == (uint8_t)t;
}
