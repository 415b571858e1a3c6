#include "retention.h"

#include "engine_priv.h"
#include "maintain.h"
#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	timer → slice: up to ROWS jobs from the oldest on → those that may go:
 *	directory to the trash (pool) → records deleted [commit] → next slice, until
 *	young jobs are reached
 */

#define EVERY_MS 3600000
#define FIRST_MS 60000
#define ROWS 64

struct retention {
	struct engine *en;
	struct loop_timer *timer;
	uint64_t after; /* seq that the last slice ended with */
	bool busy;	/* a slice is under way, which frees what is closed */
	bool closed;
	unsigned forgotten;
};

struct slice {
	struct retention *r;
	char *state_dir;
	struct job *jobs; /* those that go */
	size_t n, seen;
	unsigned deleted;
	int64_t cutoff;
	bool young; /* reached what is too young */
};

static uint64_t
key_seq(const struct db_val *key)
{
	const uint8_t *p = key->data;
	uint64_t seq = 0;

	for (size_t i = 0; i < 8 && i < key->len; i++)
		seq = seq << 8 | p[i];
	return seq;
}

struct kept {
	uint64_t oldest;
	unsigned n;
};

static bool
on_kept(void *arg, const struct job *j)
{
	struct kept *k = arg;

	k->oldest = j->seq;
	k->n++;
	return true;
}

/* Is it among the newest of its branch? When in doubt, it stays. */
static bool
job_is_kept(struct engine *en, const struct job *j)
{
	const int64_t keep = en->d.conf->retention_keep;
	const struct job_query q = { .state = JOB_STATES, .repo = j->repo,
				     .branch = j->branch, .max_rows = (unsigned)keep,
				     .max_visited = 1000 };
	struct kept k = { 0 };
	uint64_t next;

	if (keep == 0)
		return false;
	if (db_job_list(en->d.db, &q, on_kept, &k, &next, NULL))
		return true;
	return k.n < (unsigned)keep || j->seq >= k.oldest;
}

static bool
on_row(void *arg, const struct db_val *key, const struct db_val *val)
{
	struct slice *s = arg;
	struct engine *en = s->r->en;
	char id[JOB_ID_MAX + 1] = "";
	struct job *j;

	s->r->after = key_seq(key);
	if (val->len > JOB_ID_MAX || ++s->seen > ROWS)
		return false;
	memcpy(id, val->data, val->len);
	s->jobs = xreallocarray(s->jobs, s->n + 1, sizeof(*s->jobs));
	j = &s->jobs[s->n];
	if (db_job_get(en->d.db, id, j, NULL) != 1)
		return true;
	s->young = j->submitted_at > s->cutoff;
	if (s->young)
		return false;
	if (job_state_is_final(j->state) && j->finished_at <= s->cutoff &&
	    !entry_find(en, id) && !job_is_kept(en, j))
		s->n++;
	return true;
}

static void
on_slice_work(void *arg)
{
	struct slice *s = arg;
	struct err e = { 0 };

	for (size_t i = 0; i < s->n; i++) {
		cleanup_free char *dir = xasprintf("%s/jobs/%s", s->state_dir,
						   s->jobs[i].id);

		if (maintain_discard(s->state_dir, dir, &e))
			log_error(LOG_ENGINE, "job=%s %s", s->jobs[i].id, e.msg);
	}
}

/* The slice is on disk, or there was nothing to delete: the next one. */
static void
slice_end(struct slice *s)
{
	struct retention *r = s->r;

	r->busy = false;
	if (r->closed) {
		free(r);
	} else if (s->young || s->seen <= ROWS) {
		if (r->forgotten > 0)
			log_info(LOG_ENGINE, "%u old jobs forgotten", r->forgotten);
		r->after = r->forgotten = 0;
		loop_timer_set(r->timer, EVERY_MS);
	} else {
		loop_timer_set(r->timer, 0);
	}
	free(s->jobs);
	free(s->state_dir);
	free(s);
}

static void
on_slice_committed(void *arg, const struct err *err)
{
	struct slice *s = arg;

	s->r->forgotten += s->deleted;
	slice_end(s);
}

static void
on_slice_done(void *arg)
{
	struct slice *s = arg;
	struct engine *en = s->r->en;

	if (s->n == 0 || s->r->closed) {
		slice_end(s);
		return;
	}
	db_begin(en->d.db, 0);
	for (size_t i = 0; i < s->n; i++) {
		/* A retry may have come in between. */
		if (entry_find(en, s->jobs[i].id))
			continue;
		db_job_delete(en->d.db, &s->jobs[i]);
		s->deleted++;
	}
	db_end(en->d.db, on_slice_committed, s);
}

static void
on_timer(void *arg)
{
	struct retention *r = arg;
	struct slice *s = xcalloc(1, sizeof(*s));
	uint8_t from[8];
	struct db_walk w = { .table = DB_BY_TIME, .from = from, .from_len = sizeof(from) };

	r->busy = true;
	s->r = r;
	s->state_dir = xstrdup(r->en->d.conf->state_dir);
	s->cutoff = clock_wall_ms() - r->en->d.conf->retention_jobs_ms;
	for (unsigned i = 0; i < 8; i++)
		from[i] = (uint8_t)(r->after >> (56 - 8 * i));
	if (db_walk(r->en->d.db, &w, on_row, s, NULL) ||
	    pool_submit(r->en->d.pool, POOL_IO, on_slice_work, on_slice_done, s, NULL)) {
		s->n = 0;
		s->young = true;
		on_slice_done(s);
	}
}

struct retention *
retention_new(struct engine *en)
{
	struct retention *r = xcalloc(1, sizeof(*r));

	r->en = en;
	r->timer = loop_timer_new(en->d.loop, on_timer, r);
	loop_timer_set(r->timer, FIRST_MS);
	return r;
}

void
retention_kick(struct retention *r)
{
	if (!r->busy)
		loop_timer_set(r->timer, 0);
}

void
retention_free(struct retention *r)
{
	if (!r)
		return;
	loop_timer_free(r->timer);
	r->closed = true;
	if (!r->busy)
		free(r);
}
