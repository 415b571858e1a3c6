#include "db_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include "db_commit.h"
#include "db_journal.h"
#include "db_journal_record.h"
#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/* A job that does little is over by then: all its states go to LMDB in one commit. */
#define APPLY_AFTER_MS 100
/* Half of what fits: the other half fills while this is applied. */
#define APPLY_BYTES (JOURNAL_SIZE / 2)
#define COOL_AFTER_MS 1000
/* Pages that LMDB needs besides for rows and values. */
#define MAP_SLACK (64u << 10)

struct db_writer {
	struct db_env *env;
	int event_fd;
	int64_t apply_ms;
	pthread_t store, apply;
	bool has_store, has_apply;

	struct db_commit commit;    /* apply thread */
	struct db_journal *journal; /* store thread; its ring under lock. Or NULL */
	uint64_t seq;		    /* store thread: the last one given */

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t on_ready, on_due, on_settled, on_applied;
	struct batch *ready;
	struct batches settled, unapplied, applied;
	bool stop_store, stop_apply;
	size_t unapplied_size; /* in the journal */
	int64_t due_at;	       /* when the first of unapplied shall be applied */
	uint64_t seq_settled, seq_applied;
	uint64_t seq_wanted; /* somebody waits until this is applied */
	uint64_t bytes_in, bytes_applied;
	uint64_t used; /* by LMDB when it had bytes_applied */
	bool warm;     /* used since db_env_cool() */
	int64_t cool_at;
};

static void
tell_loop(struct db_writer *w)
{
	if (eventfd_write(w->event_fd, 1) < 0)
		log_fatal(LOG_STORE, "eventfd: %s", strerror(errno));
}

/*
 * The store thread.
 */

static struct batch *
take_ready(struct db_writer *w)
{
	struct batch *b;

	pthread_mutex_lock(&w->lock);
	while (!w->ready && !w->stop_store)
		pthread_cond_wait(&w->on_ready, &w->lock);
	b = STEAL(w->ready);
	pthread_mutex_unlock(&w->lock);
	return b;
}

static void
refuse_new_work(struct batch *b)
{
	struct unit *u;

	STAILQ_FOREACH(u, &b->units, next)
		if (u->flags & DB_ADMISSION)
			u->refused = true;
	b->admits = false;
	b->size = db_record_size(b);
}

/* Under lock. New work that the journal took can no longer be refused. */
static bool
may_fill_map(const struct db_writer *w)
{
	return w->used + 2 * (w->bytes_in - w->bytes_applied) + MAP_SLACK >
	       db_env_quota(w->env);
}

enum way { TO_JOURNAL, TO_LMDB, TO_NOBODY };

/* Under lock, and so that it comes back with it. Waits for room in the journal, which
 * LMDB makes; what may be refused does not wait for LMDB to find space. */
static enum way
choose_way(struct db_writer *w, struct batch *b)
{
	for (;;) {
		if (b->admits && db_commit_is_full(&w->commit))
			refuse_new_work(b);
		if (!batch_has_changes(b))
			return TO_NOBODY;
		if (!w->journal || b->size > JOURNAL_RECORD_MAX ||
		    (b->admits && may_fill_map(w)))
			return TO_LMDB;
		if (db_journal_reserve(w->journal, b))
			return TO_JOURNAL;
		w->seq_wanted = w->seq_settled;
		pthread_cond_signal(&w->on_due);
		pthread_cond_wait(&w->on_applied, &w->lock);
	}
}

static void
on_full(void *arg)
{
	struct db_writer *w = arg;

	pthread_mutex_lock(&w->lock);
	pthread_cond_broadcast(&w->on_applied);
	pthread_mutex_unlock(&w->lock);
}

static bool
write_journal(struct db_writer *w, struct batch *b)
{
	struct err e;

	if (db_journal_append(w->journal, b, &e) == 0)
		return true;
	/* Where written blocks are not kept in place, their room is not, either. */
	if (e.code != ERR_NO_SPACE)
		log_fatal(LOG_STORE, "%s", e.msg);
	log_warn(LOG_STORE, "%s", e.msg);
	return false;
}

/* Under lock. */
static void
add_unapplied(struct db_writer *w, struct batch *b)
{
	bool first = STAILQ_EMPTY(&w->unapplied);

	STAILQ_INSERT_TAIL(&w->unapplied, b, to_apply);
	if (first)
		w->due_at = clock_mono_ms() + w->apply_ms;
	w->unapplied_size += b->size;
	if (first || w->unapplied_size >= APPLY_BYTES || w->seq_wanted >= b->seq)
		pthread_cond_signal(&w->on_due);
}

static void
commit_direct(struct db_writer *w, struct batch *b)
{
	const uint64_t seq = b->seq;

	b->direct = true;
	pthread_mutex_lock(&w->lock);
	w->seq_wanted = seq;
	add_unapplied(w, b);
	while (w->seq_applied < seq)
		pthread_cond_wait(&w->on_applied, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* What changes nothing is on disk when all before it is. */
static void
settle(struct db_writer *w, struct batch *b, bool changes)
{
	pthread_mutex_lock(&w->lock);
	STAILQ_INSERT_TAIL(&w->settled, b, to_settle);
	if (changes) {
		w->seq_settled = b->seq;
		add_unapplied(w, b);
	} else {
		w->bytes_applied += b->bytes;
		STAILQ_INSERT_TAIL(&w->applied, b, to_apply);
	}
	pthread_cond_signal(&w->on_settled);
	pthread_mutex_unlock(&w->lock);
	tell_loop(w);
}

static void *
on_store_thread(void *arg)
{
	struct db_writer *w = arg;
	struct batch *b;
	enum way way;

	while ((b = take_ready(w))) {
		b->size = db_record_size(b);
		pthread_mutex_lock(&w->lock);
		way = choose_way(w, b);
		pthread_mutex_unlock(&w->lock);
		if (way != TO_NOBODY)
			b->seq = ++w->seq;
		if (way == TO_NOBODY)
			settle(w, b, false);
		else if (way == TO_JOURNAL && write_journal(w, b))
			settle(w, b, true);
		else
			commit_direct(w, b);
	}
	return NULL;
}

/*
 * The apply thread.
 */

static bool
is_due(const struct db_writer *w, int64_t now)
{
	return !STAILQ_EMPTY(&w->unapplied) &&
	       (w->stop_apply || w->seq_wanted > w->seq_applied ||
		w->unapplied_size >= APPLY_BYTES || now >= w->due_at);
}

static void
wait_until(struct db_writer *w, int64_t ms)
{
	const struct timespec at = { .tv_sec = ms / 1000,
				     .tv_nsec = ms % 1000 * 1000000 };

	pthread_cond_timedwait(&w->on_due, &w->lock, &at);
}

static void
cool(struct db_writer *w)
{
	w->warm = false;
	pthread_mutex_unlock(&w->lock);
	db_env_cool(w->env);
	pthread_mutex_lock(&w->lock);
}

/* These, like all waits here, leave the lock while they wait. */
static void
wait_until_due(struct db_writer *w)
{
	int64_t now;

	while (now = clock_mono_ms(), !is_due(w, now) && !w->stop_apply) {
		if (!STAILQ_EMPTY(&w->unapplied))
			wait_until(w, w->due_at);
		else if (w->warm && now >= w->cool_at)
			cool(w);
		else if (w->warm)
			wait_until(w, w->cool_at);
		else
			pthread_cond_wait(&w->on_due, &w->lock);
	}
}

/* Under lock. */
static void
keep_warm(struct db_writer *w)
{
	w->warm = true;
	w->cool_at = clock_mono_ms() + COOL_AFTER_MS;
}

/* Under lock. */
static void
give_back(struct db_writer *w, struct batches *list)
{
	struct batch *b;

	STAILQ_FOREACH(b, list, to_apply) {
		if (b->direct)
			STAILQ_INSERT_TAIL(&w->settled, b, to_settle);
		if (b->journal_end > 0)
			db_journal_release(w->journal, b);
		w->bytes_applied += b->bytes;
		w->seq_applied = b->seq;
	}
	if (w->seq_settled < w->seq_applied)
		w->seq_settled = w->seq_applied;
	w->used = db_env_used(w->env);
	STAILQ_CONCAT(&w->applied, list);
	keep_warm(w);
	pthread_cond_signal(&w->on_settled);
	pthread_cond_broadcast(&w->on_applied);
	tell_loop(w);
}

static void *
on_apply_thread(void *arg)
{
	struct batches list = STAILQ_HEAD_INITIALIZER(list);
	struct db_writer *w = arg;
	struct err e;
	int rc;

	pthread_mutex_lock(&w->lock);
	for (;;) {
		wait_until_due(w);
		if (STAILQ_EMPTY(&w->unapplied))
			break;
		STAILQ_CONCAT(&list, &w->unapplied);
		w->unapplied_size = 0;
		pthread_mutex_unlock(&w->lock);

		rc = db_commit_apply(&w->commit, &list, &e);

		pthread_mutex_lock(&w->lock);
		if (rc < 0) {
			log_warn(LOG_STORE, "left in the journal: %s", e.msg);
			STAILQ_CONCAT(&w->unapplied, &list);
			break;
		}
		give_back(w, &list);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/*
 * Opening and closing.
 */

static int
replay(struct db_writer *w, struct err *e)
{
	struct batches list = STAILQ_HEAD_INITIALIZER(list);
	struct batch *b;
	int rc;

	if (db_journal_read(w->journal, w->seq, &b, e) < 0)
		return -1;
	if (!b)
		return 0;
	STAILQ_INSERT_TAIL(&list, b, to_apply);
	db_commit_hurry(&w->commit, true);
	rc = db_commit_apply(&w->commit, &list, e);
	db_commit_hurry(&w->commit, false);
	if (rc == 0) {
		log_info(LOG_STORE, "took %" PRIu64 " commits from the journal",
			 b->seq - w->seq);
		w->seq = b->seq;
	}
	batch_free(b, NULL);
	return rc == 0 ? 0 : err_wrap(e, "the journal cannot be applied");
}

static int
start_thread(pthread_t *t, const char *name, void *(*fn)(void *), void *arg,
	     struct err *e)
{
	sigset_t all, old;
	int rc;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(t, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		errno = rc;
		return err_sys(e, "%s thread", name);
	}
	pthread_setname_np(*t, name);
	return 0;
}

static void
init_conditions(struct db_writer *w)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->on_ready, &attr);
	pthread_cond_init(&w->on_due, &attr);
	pthread_cond_init(&w->on_settled, &attr);
	pthread_cond_init(&w->on_applied, &attr);
	pthread_condattr_destroy(&attr);
}

static int
start(struct db_writer *w, const struct db_opts *o, struct err *e)
{
	if (db_journal_open(&w->journal, o, db_env_instance(w->env), e) < 0)
		return -1;
	/* Makes the ballast: of the room that the journal left. */
	db_commit_init(&w->commit, w->env, o->dir, on_full, w);
	w->seq = db_env_applied(w->env);
	if (w->journal && replay(w, e) < 0)
		return -1;
	w->seq_settled = w->seq_applied = w->seq;
	w->used = db_env_used(w->env);
	w->has_store = start_thread(&w->store, "store", on_store_thread, w, e) == 0;
	if (!w->has_store)
		return -1;
	w->has_apply = start_thread(&w->apply, "apply", on_apply_thread, w, e) == 0;
	return w->has_apply ? 0 : -1;
}

struct db_writer *
db_writer_new(const struct db_opts *o, struct db_env *env, int event_fd, struct err *e)
{
	struct db_writer *w = xcalloc(1, sizeof(*w));

	w->env = env;
	w->event_fd = event_fd;
	w->apply_ms = o->apply_ms > 0 ? o->apply_ms : APPLY_AFTER_MS;
	STAILQ_INIT(&w->settled);
	STAILQ_INIT(&w->unapplied);
	STAILQ_INIT(&w->applied);
	pthread_mutex_init(&w->lock, NULL);
	init_conditions(w);
	if (start(w, o, e) == 0)
		return w;
	db_writer_free(w);
	return NULL;
}

static void
stop_thread(struct db_writer *w, bool has, pthread_t t, bool *stop,
	    pthread_cond_t *on_stop)
{
	if (!has)
		return;
	pthread_mutex_lock(&w->lock);
	*stop = true;
	pthread_cond_signal(on_stop);
	pthread_mutex_unlock(&w->lock);
	pthread_join(t, NULL);
}

void
db_writer_free(struct db_writer *w)
{
	struct batch *b;

	if (!w)
		return;
	stop_thread(w, w->has_store, w->store, &w->stop_store, &w->on_ready);
	db_commit_hurry(&w->commit, true);
	stop_thread(w, w->has_apply, w->apply, &w->stop_apply, &w->on_due);
	STAILQ_CONCAT(&w->applied, &w->unapplied);
	while ((b = STAILQ_FIRST(&w->applied))) {
		STAILQ_REMOVE_HEAD(&w->applied, to_apply);
		batch_free(b, NULL);
	}
	db_commit_fini(&w->commit);
	db_journal_close(w->journal);
	pthread_cond_destroy(&w->on_applied);
	pthread_cond_destroy(&w->on_settled);
	pthread_cond_destroy(&w->on_due);
	pthread_cond_destroy(&w->on_ready);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/*
 * For the loop, and whoever copies.
 */

void
db_writer_submit(struct db_writer *w, struct batch *b)
{
	pthread_mutex_lock(&w->lock);
	w->bytes_in += b->bytes;
	if (w->ready)
		batch_join(w->ready, b);
	else
		w->ready = b;
	pthread_cond_signal(&w->on_ready);
	pthread_mutex_unlock(&w->lock);
}

void
db_writer_take(struct db_writer *w, struct batches *settled, struct batches *applied)
{
	pthread_mutex_lock(&w->lock);
	STAILQ_CONCAT(settled, &w->settled);
	STAILQ_CONCAT(applied, &w->applied);
	pthread_mutex_unlock(&w->lock);
}

void
db_writer_wait_settled(struct db_writer *w)
{
	pthread_mutex_lock(&w->lock);
	while (STAILQ_EMPTY(&w->settled))
		pthread_cond_wait(&w->on_settled, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void
db_writer_touch(struct db_writer *w)
{
	pthread_mutex_lock(&w->lock);
	if (!w->warm) {
		keep_warm(w);
		pthread_cond_signal(&w->on_due);
	}
	pthread_mutex_unlock(&w->lock);
}

unsigned
db_writer_fill(struct db_writer *w)
{
	uint64_t percent;

	pthread_mutex_lock(&w->lock);
	percent = (w->used + w->bytes_in - w->bytes_applied) * 100 /
		  db_env_quota(w->env);
	pthread_mutex_unlock(&w->lock);
	return percent > 100 ? 100 : (unsigned)percent;
}

void
db_writer_sync(struct db_writer *w)
{
	uint64_t seq;

	pthread_mutex_lock(&w->lock);
	seq = w->seq_settled;
	if (w->seq_wanted < seq)
		w->seq_wanted = seq;
	pthread_cond_signal(&w->on_due);
	while (w->seq_applied < seq)
		pthread_cond_wait(&w->on_applied, &w->lock);
	pthread_mutex_unlock(&w->lock);
}
