/*
 * db_key: a table's key as it is in the tree. Pure.
 *
 * All tables lie in one tree, told apart by the first byte of the key: a commit writes
 * each page between the root and a changed leaf once more, so with one tree per table
 * it would write half as many pages again. What belongs to one job lies side by side,
 * its table told by the last byte: spec, record and attempts mostly share a page.
 */
#pragma once

#include "slipway/db.h"

#define DB_ROW_MAX (2 + DB_KEY_MAX)

struct db_key {
	size_t len;
	uint8_t bytes[DB_ROW_MAX];
};

/* Spec, record and attempts. */
bool db_key_is_by_job(enum db_table t);
/* len is at most DB_KEY_MAX. */
void db_key_make(struct db_key *k, enum db_table t, const void *key, size_t len);
/* Make a prefix into the least key above all that begin with it. */
void db_key_make_successor(struct db_key *k);
/* The order of the tree. */
int db_row_compare(const struct db_val *a, const struct db_val *b);
/* A row's key as its owner wrote it, inside row; false when it is another table's. */
bool db_key_of_row(enum db_table t, const struct db_val *row, struct db_val *key);
