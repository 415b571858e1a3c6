/*
 * db_job: typed access to jobs, specs and attempts in the store. Loop thread only.
 *
 * Writers add to the unit that the caller has open (db_begin). Readers see committed
 * state; corrupt records are errors (ERR_CORRUPT), never crashes.
 */
#pragma once

#include "slipway/db.h"
#include "slipway/job.h"
#include "slipway/strbuf.h"

/* A new job: spec, record, indexes. */
void db_job_insert(struct db *db, const struct job *j, const char *spec, size_t len);
/* A changed record; was is the state that the indexes hold now. */
void db_job_update(struct db *db, const struct job *j, enum job_state was);
void db_attempt_put(struct db *db, const struct attempt *a);
/* Everything of a job, attempts 1..j->attempt too. */
void db_job_delete(struct db *db, const struct job *j);
/* Mark or clear "the background has work left for this job". */
void db_job_set_pending(struct db *db, const char *id, bool pending);

/* 1 found, 0 not, -1 error */
int db_job_get(struct db *db, const char *id, struct job *out, struct err *e);
int db_spec_get(struct db *db, const char *id, struct strbuf *out, struct err *e);
int db_attempt_get(struct db *db, const char *id, unsigned number, struct attempt *out,
		   struct err *e);

/* Walks: fn returns false to stop; undecodable records are logged and skipped. */
int db_job_each_in_state(struct db *db, enum job_state state,
			 bool (*fn)(void *arg, const struct job *j), void *arg,
			 struct err *e);
int db_job_each_pending(struct db *db, bool (*fn)(void *arg, const char *id), void *arg,
			struct err *e);

/* A page of jobs, newest first. */
struct job_query {
	enum job_state state; /* JOB_STATES: any */
	const char *repo, *branch; /* NULL: any */
	uint64_t before; /* seq of the last row of the page before; 0: from the newest */
	int64_t since; /* submitted_at at least; 0: any */
	unsigned max_rows;
	unsigned max_visited; /* rows looked at; the page may end early */
};
/* *next: pass as `before` for the next page, 0 at the end. */
int db_job_list(struct db *db, const struct job_query *q,
		bool (*fn)(void *arg, const struct job *j), void *arg, uint64_t *next,
		struct err *e);
/* Highest seq in use. */
int db_job_last_seq(struct db *db, uint64_t *seq, struct err *e);
