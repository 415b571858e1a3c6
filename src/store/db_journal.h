/*
 * db_journal: a file of settled batches on their way to LMDB.
 *
 * A lone LMDB commit writes about a dozen scattered pages and syncs twice; a record here
 * is one write and one sync of blocks that were written before, so that the file system
 * has nothing to note down. The file is a ring: its first block tells whose it is and
 * never changes, the rest is records. A record's blocks are written again only when
 * LMDB has it, and seqs grow without gaps; so after a crash those behind the last one
 * that LMDB has are told from old ones by their seq, wherever they are.
 *
 * Blocking. One thread reserves and appends, another one releases; reserving and
 * releasing under the owner's lock.
 */
#pragma once

#include "db_batch.h"

#define JOURNAL_SIZE (8u << 20)
/* What is larger gains nothing here: LMDB writes it as well in one go. */
#define JOURNAL_RECORD_MAX (JOURNAL_SIZE / 2)

struct db_journal;

/* Made when missing. -1: e is filled; 0 with *out NULL: there is no room for one.
 * A journal of another database (instance) is refused. */
int db_journal_open(struct db_journal **out, const struct db_opts *o,
		    const char *instance, struct err *e);
void db_journal_close(struct db_journal *j);
/* All changes behind seq `applied`, as one batch: NULL when there are none. Damage is
 * an error, a torn last record is not. The batch's seq is the last one. */
int db_journal_read(struct db_journal *j, uint64_t applied, struct batch **out,
		    struct err *e);

/* The batch has its seq and size. Room for its record: false, not now. */
bool db_journal_reserve(struct db_journal *j, struct batch *b);
/* Write the record where room was reserved, and sync. */
int db_journal_append(struct db_journal *j, const struct batch *b, struct err *e);
/* Everything up to this batch's record may be overwritten. */
void db_journal_release(struct db_journal *j, const struct batch *b);
