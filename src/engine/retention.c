#include "retention.h"

#include "engine_priv.h"
#include "maintain.h"
#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	timer → slice: up to ROWS jobs from the oldest on → those that may go: directory to
 *	the trash (pool) → records deleted [commit] → next slice, until young jobs are
 *	reached → on_pass_done: whoever asked for it is told
 */

#define EVERY_MS 3600000
#define FIRST_MS 60000
#define ROWS 64
#define ASKS_MAX 16

/* Somebody wants a pass of their own. */
struct ask {
	STAILQ_ENTRY(ask) link;
	bool dry;
	engine_forget_fn *fn;
	void *arg;
};
STAILQ_HEAD(asks, ask);

struct retention {
	struct engine *en;
	struct loop_timer *timer;
	struct asks asks;
	unsigned nasks;
	struct ask *ask; /* that this pass is for; NULL: for nobody */
	uint64_t after;	 /* seq that the last slice ended with */
	bool passing;	 /* a pass is under way */
	bool busy;	 /* a slice of it is */
	bool closed;	 /* freed once that ends */
	struct engine_forgotten forgotten;
};

struct slice {
	struct retention *r;
	char *state_dir;
	struct job *jobs; /* those that go */
	size_t n, seen;
	int64_t cutoff;
	bool young; /* reached what is too young */
	struct err err;
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
	const struct job_query q = { .state = JOB_STATES,
				     .repo = j->repo,
				     .branch = j->branch,
				     .max_rows = (unsigned)keep,
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

static void
pass_end(struct retention *r, const struct err *err)
{
	struct ask *ask = r->ask;

	if (r->forgotten.jobs > 0 && !(ask && ask->dry))
		log_info(LOG_ENGINE, "%u old jobs forgotten", r->forgotten.jobs);
	r->ask = NULL;
	r->passing = false;
	loop_timer_set(r->timer, STAILQ_EMPTY(&r->asks) ? EVERY_MS : 0);
	if (!ask)
		return;
	ask->fn(ask->arg, err, err ? NULL : &r->forgotten);
	free(ask);
}

static void
forgotten_add(struct engine_forgotten *f, const char *id)
{
	if (f->jobs < ENGINE_FORGOTTEN_IDS)
		STR_COPY(f->ids[f->jobs], id);
	f->jobs++;
}

static void
slice_end(struct slice *s)
{
	struct retention *r = s->r;

	r->busy = false;
	if (r->closed)
		free(r);
	else if (s->err.code || s->young || s->seen <= ROWS)
		pass_end(r, s->err.code ? &s->err : NULL);
	else
		loop_timer_set(r->timer, 0);
	free(s->jobs);
	free(s->state_dir);
	free(s);
}

static void
on_slice_stored(void *arg, const struct err *err)
{
	(void)err; /* a plain unit does not fail */
	slice_end(arg);
}

static void
on_slice_done(void *arg)
{
	struct slice *s = arg;
	struct retention *r = s->r;
	bool dry = r->ask && r->ask->dry;

	if (r->closed) {
		slice_end(s);
		return;
	}
	if (!dry)
		db_begin(r->en->d.db, 0);
	for (size_t i = 0; i < s->n; i++) {
		/* A retry may have come in between. */
		if (entry_find(r->en, s->jobs[i].id))
			continue;
		forgotten_add(&r->forgotten, s->jobs[i].id);
		if (!dry)
			db_job_delete(r->en->d.db, &s->jobs[i]);
	}
	if (dry)
		slice_end(s);
	else
		db_end(r->en->d.db, on_slice_stored, s);
}

static void
pass_begin(struct retention *r)
{
	r->passing = true;
	r->after = 0;
	memset(&r->forgotten, 0, sizeof(r->forgotten));
	r->ask = STAILQ_FIRST(&r->asks);
	if (r->ask) {
		STAILQ_REMOVE_HEAD(&r->asks, link);
		r->nasks--;
	}
}

static void
on_timer(void *arg)
{
	struct retention *r = arg;
	struct slice *s = xcalloc(1, sizeof(*s));
	uint8_t from[8];
	struct db_walk w = { .table = DB_BY_TIME,
			     .from = from,
			     .from_len = sizeof(from) };

	if (!r->passing)
		pass_begin(r);
	r->busy = true;
	s->r = r;
	s->state_dir = xstrdup(r->en->d.conf->state_dir);
	s->cutoff = clock_wall_ms() - r->en->d.conf->retention_jobs_ms;
	for (unsigned i = 0; i < 8; i++)
		from[i] = (uint8_t)(r->after >> (56 - 8 * i));
	if (db_walk(r->en->d.db, &w, on_row, s, &s->err))
		slice_end(s);
	else if (s->n == 0 || (r->ask && r->ask->dry))
		on_slice_done(s);
	else if (pool_submit(r->en->d.pool, POOL_IO, on_slice_work, on_slice_done, s,
			     &s->err))
		slice_end(s);
}

struct retention *
retention_new(struct engine *en)
{
	struct retention *r = xcalloc(1, sizeof(*r));

	r->en = en;
	STAILQ_INIT(&r->asks);
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

static void
on_too_many(void *arg)
{
	struct ask *ask = arg;
	struct err e = { 0 };

	err_set(&e, ERR_BUSY, "maintenance is under way, and others wait for it");
	ask->fn(ask->arg, &e, NULL);
	free(ask);
}

void
retention_ask(struct retention *r, bool dry, engine_forget_fn *fn, void *arg)
{
	struct ask *ask = xcalloc(1, sizeof(*ask));

	ask->dry = dry;
	ask->fn = fn;
	ask->arg = arg;
	if (r->nasks >= ASKS_MAX) {
		loop_defer(r->en->d.loop, on_too_many, ask);
		return;
	}
	STAILQ_INSERT_TAIL(&r->asks, ask, link);
	r->nasks++;
	if (!r->passing)
		loop_timer_set(r->timer, 0);
}

static void
ask_refuse(struct ask *ask)
{
	struct err e = { 0 };

	err_set(&e, ERR_CLOSED, "the daemon has stopped");
	ask->fn(ask->arg, &e, NULL);
	free(ask);
}

void
retention_free(struct retention *r)
{
	struct ask *ask;

	if (!r)
		return;
	if (r->ask)
		ask_refuse(r->ask);
	while ((ask = STAILQ_FIRST(&r->asks))) {
		STAILQ_REMOVE_HEAD(&r->asks, link);
		ask_refuse(ask);
	}
	loop_timer_free(r->timer);
	r->closed = true;
	if (!r->busy)
		free(r);
}
