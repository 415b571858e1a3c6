#include "slipway/db_job.h"

#include <endian.h>
#include <openssl/evp.h>

#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/wire.h"

#define SEQ_LEN 8
#define REPO_HASH_LEN 16
#define STATE_KEY_LEN (1 + SEQ_LEN)
#define REPO_KEY_LEN (REPO_HASH_LEN + SEQ_LEN)
#define ATTEMPT_KEY_MAX (JOB_ID_MAX + 1 + 4)

/* Rows come by seq, `since` asks for time, and the wall clock may have been set back a
 * little in between. A row this much too old ends the listing. */
#define SINCE_SLACK_MS (INT64_C(3600) * 1000)

/*
 * Keys.
 */

static void
put_seq(uint8_t *out, uint64_t seq)
{
	uint64_t be = htobe64(seq);

	memcpy(out, &be, SEQ_LEN);
}

/* The seq that ends every index key. */
static uint64_t
key_seq(const struct db_val *key)
{
	uint64_t be;

	memcpy(&be, (const uint8_t *)key->data + key->len - SEQ_LEN, SEQ_LEN);
	return be64toh(be);
}

static void
state_key(uint8_t out[STATE_KEY_LEN], enum job_state state, uint64_t seq)
{
	out[0] = (uint8_t)state;
	put_seq(out + 1, seq);
}

static void
repo_key(uint8_t out[REPO_KEY_LEN], const char *repo, uint64_t seq)
{
	uint8_t hash[EVP_MAX_MD_SIZE];

	if (EVP_Digest(repo, strlen(repo), hash, NULL, EVP_sha256(), NULL) != 1)
		log_fatal(LOG_STORE, "sha-256 is not available");
	memcpy(out, hash, REPO_HASH_LEN);
	put_seq(out + REPO_HASH_LEN, seq);
}

static size_t
attempt_key(uint8_t out[ATTEMPT_KEY_MAX], const char *id, unsigned number)
{
	size_t len = strnlen(id, JOB_ID_MAX) + 1;
	uint32_t be = htobe32(number);

	memcpy(out, id, len - 1);
	out[len - 1] = '\0';
	memcpy(out + len, &be, sizeof(be));
	return len + sizeof(be);
}

/*
 * Writers.
 */

static void
put_encoded(struct db *db, enum db_table t, const void *key, size_t klen,
	    struct wire_w *w)
{
	if (w->failed)
		log_fatal(LOG_STORE, "out of memory for a record");
	db_put(db, t, key, klen, w->data, w->len);
	wire_w_free(w);
}

static void
put_job(struct db *db, const struct job *j)
{
	struct wire_w w = {0};

	job_encode(j, &w);
	put_encoded(db, DB_JOB, j->id, strlen(j->id), &w);
}

static void
put_state(struct db *db, const struct job *j)
{
	uint8_t key[STATE_KEY_LEN];

	state_key(key, j->state, j->seq);
	db_put(db, DB_BY_STATE, key, sizeof(key), j->id, strlen(j->id));
}

static void
del_state(struct db *db, enum job_state state, uint64_t seq)
{
	uint8_t key[STATE_KEY_LEN];

	state_key(key, state, seq);
	db_del(db, DB_BY_STATE, key, sizeof(key));
}

void
db_job_insert(struct db *db, const struct job *j, const char *spec, size_t len)
{
	uint8_t by_time[SEQ_LEN], by_repo[REPO_KEY_LEN];
	size_t id_len = strlen(j->id);

	put_seq(by_time, j->seq);
	repo_key(by_repo, j->repo, j->seq);
	db_put(db, DB_SPEC, j->id, id_len, spec, len);
	put_job(db, j);
	put_state(db, j);
	db_put(db, DB_BY_TIME, by_time, sizeof(by_time), j->id, id_len);
	db_put(db, DB_BY_REPO, by_repo, sizeof(by_repo), j->id, id_len);
}

void
db_job_update(struct db *db, const struct job *j, enum job_state was)
{
	put_job(db, j);
	if (j->state == was)
		return;
	del_state(db, was, j->seq);
	put_state(db, j);
}

void
db_attempt_put(struct db *db, const struct attempt *a)
{
	uint8_t key[ATTEMPT_KEY_MAX];
	size_t len = attempt_key(key, a->job, a->number);
	struct wire_w w = {0};

	attempt_encode(a, &w);
	put_encoded(db, DB_ATTEMPT, key, len, &w);
}

void
db_job_delete(struct db *db, const struct job *j)
{
	uint8_t by_time[SEQ_LEN], by_repo[REPO_KEY_LEN], key[ATTEMPT_KEY_MAX];
	size_t id_len = strlen(j->id), len;

	for (unsigned n = 1; n <= j->attempt; n++) {
		len = attempt_key(key, j->id, n);
		db_del(db, DB_ATTEMPT, key, len);
	}
	put_seq(by_time, j->seq);
	repo_key(by_repo, j->repo, j->seq);
	db_del(db, DB_BY_REPO, by_repo, sizeof(by_repo));
	db_del(db, DB_BY_TIME, by_time, sizeof(by_time));
	del_state(db, j->state, j->seq);
	db_del(db, DB_PENDING, j->id, id_len);
	db_del(db, DB_JOB, j->id, id_len);
	db_del(db, DB_SPEC, j->id, id_len);
}

void
db_job_set_pending(struct db *db, const char *id, bool pending)
{
	if (pending)
		db_put(db, DB_PENDING, id, strlen(id), "", 0);
	else
		db_del(db, DB_PENDING, id, strlen(id));
}

/*
 * Reading one.
 */

/* No id has another length, and LMDB refuses such keys; so there is none. */
static bool
can_be_id(size_t len)
{
	return len > 0 && len <= JOB_ID_MAX;
}

static int
get_job(struct db *db, const void *id, size_t len, struct job *out, struct err *e)
{
	struct db_val v;
	int found;

	if (!can_be_id(len))
		return 0;
	found = db_get(db, DB_JOB, id, len, &v, e);
	if (found <= 0)
		return found;
	if (!job_decode(out, v.data, v.len) || strlen(out->id) != len ||
	    memcmp(out->id, id, len) != 0)
		return err_set(e, ERR_CORRUPT, "job=%.*s: the stored record is damaged",
			       (int)len, (const char *)id);
	return 1;
}

int
db_job_get(struct db *db, const char *id, struct job *out, struct err *e)
{
	return get_job(db, id, strlen(id), out, e);
}

int
db_spec_get(struct db *db, const char *id, struct strbuf *out, struct err *e)
{
	struct db_val v;
	int found;

	if (!can_be_id(strlen(id)))
		return 0;
	found = db_get(db, DB_SPEC, id, strlen(id), &v, e);
	if (found == 1)
		strbuf_add(out, v.data, v.len);
	return found;
}

int
db_attempt_get(struct db *db, const char *id, unsigned number, struct attempt *out,
	       struct err *e)
{
	uint8_t key[ATTEMPT_KEY_MAX];
	struct db_val v;
	size_t len;
	int found;

	if (!can_be_id(strlen(id)))
		return 0;
	len = attempt_key(key, id, number);
	found = db_get(db, DB_ATTEMPT, key, len, &v, e);
	if (found <= 0)
		return found;
	if (!attempt_decode(out, v.data, v.len) || strcmp(out->job, id) != 0 ||
	    out->number != number)
		return err_set(e, ERR_CORRUPT,
			       "job=%s attempt=%u: the stored record is damaged", id,
			       number);
	return 1;
}

/*
 * Walks. A row of an index is (.. seq -> id); what it names may be damaged or missing.
 */

static bool
load_row(struct db *db, const struct db_val *id, struct job *j)
{
	struct err e;
	int found = get_job(db, id->data, id->len, j, &e);

	if (found == 0)
		log_error(LOG_STORE, "an index names a job that is not there");
	else if (found < 0)
		log_error(LOG_STORE, "%s", e.msg);
	return found == 1;
}

struct state_walk {
	struct db *db;
	bool (*fn)(void *arg, const struct job *j);
	void *arg;
};

static bool
on_state_row(void *arg, const struct db_val *key, const struct db_val *id)
{
	struct state_walk *walk = arg;
	struct job j;

	if (!load_row(walk->db, id, &j))
		return true;
	return walk->fn(walk->arg, &j);
}

int
db_job_each_in_state(struct db *db, enum job_state state,
		     bool (*fn)(void *arg, const struct job *j), void *arg,
		     struct err *e)
{
	struct state_walk walk = {.db = db, .fn = fn, .arg = arg};
	uint8_t prefix = (uint8_t)state;
	struct db_walk w = {.table = DB_BY_STATE, .prefix = &prefix, .prefix_len = 1};

	return db_walk(db, &w, on_state_row, &walk, e);
}

struct pending_walk {
	bool (*fn)(void *arg, const char *id);
	void *arg;
};

static bool
on_pending_row(void *arg, const struct db_val *key, const struct db_val *val)
{
	struct pending_walk *walk = arg;
	char id[JOB_ID_MAX + 1];

	if (key->len > JOB_ID_MAX) {
		log_error(LOG_STORE, "a pending row has a damaged key");
		return true;
	}
	memcpy(id, key->data, key->len);
	id[key->len] = '\0';
	if (!id_is_valid(id)) {
		log_error(LOG_STORE, "a pending row has a damaged key");
		return true;
	}
	return walk->fn(walk->arg, id);
}

int
db_job_each_pending(struct db *db, bool (*fn)(void *arg, const char *id), void *arg,
		    struct err *e)
{
	struct pending_walk walk = {.fn = fn, .arg = arg};
	struct db_walk w = {.table = DB_PENDING};

	return db_walk(db, &w, on_pending_row, &walk, e);
}

struct page_walk {
	struct db *db;
	const struct job_query *q;
	bool (*fn)(void *arg, const struct job *j);
	void *arg;
	size_t key_len;
	unsigned rows, visited;
	uint64_t last; /* seq of the row visited last */
	bool more;
};

static bool
matches(const struct job_query *q, const struct job *j)
{
	return (q->state == JOB_STATES || j->state == q->state) &&
	       (!q->repo || strcmp(j->repo, q->repo) == 0) &&
	       (!q->branch || strcmp(j->branch, q->branch) == 0) &&
	       j->submitted_at >= q->since;
}

static bool
on_page_row(void *arg, const struct db_val *key, const struct db_val *id)
{
	struct page_walk *walk = arg;
	const struct job_query *q = walk->q;
	struct job j;

	if (key->len != walk->key_len) {
		log_error(LOG_STORE, "an index has a damaged key");
		return true;
	}
	/* Only now is it known that the page before this row is not the last. */
	if (walk->rows >= q->max_rows || walk->visited >= q->max_visited) {
		walk->more = true;
		return false;
	}
	walk->visited++;
	walk->last = key_seq(key);
	if (!load_row(walk->db, id, &j))
		return true;
	if (q->since > 0 && j.submitted_at < q->since - SINCE_SLACK_MS)
		return false;
	if (!matches(q, &j))
		return true;
	walk->rows++;
	walk->more = !walk->fn(walk->arg, &j);
	return !walk->more;
}

int
db_job_list(struct db *db, const struct job_query *q,
	    bool (*fn)(void *arg, const struct job *j), void *arg, uint64_t *next,
	    struct err *e)
{
	struct page_walk walk = {
		.db = db, .q = q, .fn = fn, .arg = arg, .last = q->before};
	uint8_t from[REPO_KEY_LEN];
	struct db_walk w = {.table = DB_BY_TIME, .prefix = from, .reverse = true};

	/* The narrowest index; the rest is filtered. */
	if (q->state != JOB_STATES) {
		w.table = DB_BY_STATE;
		w.prefix_len = 1;
		state_key(from, q->state, q->before);
	} else if (q->repo) {
		w.table = DB_BY_REPO;
		w.prefix_len = REPO_HASH_LEN;
		repo_key(from, q->repo, q->before);
	} else {
		put_seq(from, q->before);
	}
	walk.key_len = w.prefix_len + SEQ_LEN;
	if (q->before > 0) {
		w.from = from;
		w.from_len = walk.key_len;
		w.skip_from = true;
	}
	*next = 0;
	if (db_walk(db, &w, on_page_row, &walk, e) < 0)
		return -1;
	if (walk.more)
		*next = walk.last;
	return 0;
}

static bool
on_last_seq(void *arg, const struct db_val *key, const struct db_val *id)
{
	uint64_t *seq = arg;

	if (key->len != SEQ_LEN)
		return true;
	*seq = key_seq(key);
	return false;
}

int
db_job_last_seq(struct db *db, uint64_t *seq, struct err *e)
{
	struct db_walk w = {.table = DB_BY_TIME, .reverse = true};

	*seq = 0;
	return db_walk(db, &w, on_last_seq, seq, e);
}
