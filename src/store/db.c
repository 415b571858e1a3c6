/*
 * A unit's way to the disk:
 *
 *   db_begin .. db_end   loop: written into the arena of the open batch
 *   flush()              loop, end of turn: the open batch joins the ready one
 *   on_store_thread()    takes all that is ready, db_commit_batch(), and again
 *   on_settled()         loop, by eventfd: on_done of each unit, in order
 *
 * Batches are joined by linking their lists, so while one commit syncs the next grows
 * without copying, and the store thread goes on without waiting for the loop.
 */
#include "slipway/db.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include "db_commit.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define CHUNK_SIZE (64u << 10)
#define CHUNKS_SPARE 16 /* kept for the next batches */

#define COOL_AFTER_SECONDS 1

struct db {
	struct db_env *env;
	struct loop *loop;

	/* loop thread */
	struct batch open;
	struct chunk *filling; /* the last one of open, or NULL */
	struct unit *unit; /* between begin and end */
	bool armed;	   /* on_turn_end will come in this turn */
	bool reading;	   /* something was read in this turn */
	uint64_t version;
	unsigned pending;
	struct chunks spare;
	unsigned nspare;
	struct loop_fd *watch;

	int settled_fd; /* eventfd: there is something in settled */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t lock;
	pthread_cond_t on_ready, on_settled;
	struct batch ready, settled; /* under lock */
	bool stop;		     /* under lock */
	bool warm;		     /* under lock: used since db_env_cool() */

	struct db_commit commit; /* store thread */
};

static void
batch_init(struct batch *b)
{
	STAILQ_INIT(&b->units);
	STAILQ_INIT(&b->chunks);
}

static void
batch_append(struct batch *to, struct batch *from)
{
	STAILQ_CONCAT(&to->units, &from->units);
	STAILQ_CONCAT(&to->chunks, &from->chunks);
}

/*
 * The open batch.
 */

static struct chunk *
chunk_new(struct db *db, size_t size)
{
	struct chunk *c;

	if (size <= CHUNK_SIZE && db->nspare > 0) {
		c = STAILQ_FIRST(&db->spare);
		STAILQ_REMOVE_HEAD(&db->spare, next);
		db->nspare--;
	} else {
		if (size < CHUNK_SIZE)
			size = CHUNK_SIZE;
		c = xmalloc(sizeof(*c) + size);
		c->size = size;
	}
	c->used = 0;
	STAILQ_INSERT_TAIL(&db->open.chunks, c, next);
	db->filling = c;
	return c;
}

static void
chunk_release(struct db *db, struct chunk *c)
{
	if (c->size != CHUNK_SIZE || db->nspare == CHUNKS_SPARE) {
		free(c);
		return;
	}
	STAILQ_INSERT_HEAD(&db->spare, c, next);
	db->nspare++;
}

static void *
arena_alloc(struct db *db, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct chunk *c = db->filling;
	void *p;

	size = (size + align - 1) / align * align;
	if (!c || c->size - c->used < size)
		c = chunk_new(db, size);
	p = c->data + c->used;
	c->used += size;
	return p;
}

static void
on_deferred(void *arg)
{
}

/* The end of this turn must come to us even when it has already passed, that is when
 * the caller runs in a turn-end hook behind ours. */
static void
arm(struct db *db)
{
	if (db->armed)
		return;
	db->armed = true;
	loop_defer(db->loop, on_deferred, NULL);
}

static void
read_begin(struct db *db)
{
	if (db->reading)
		return;
	db->reading = true;
	arm(db);
	pthread_mutex_lock(&db->lock);
	if (!db->warm) {
		db->warm = true;
		pthread_cond_signal(&db->on_ready);
	}
	pthread_mutex_unlock(&db->lock);
}

static void
flush(struct db *db)
{
	if (STAILQ_EMPTY(&db->open.units))
		return;
	pthread_mutex_lock(&db->lock);
	batch_append(&db->ready, &db->open);
	pthread_cond_signal(&db->on_ready);
	pthread_mutex_unlock(&db->lock);
	db->filling = NULL;
}

static void
on_turn_end(void *arg)
{
	struct db *db = arg;

	if (db->unit)
		log_fatal(LOG_STORE, "a unit was left open at the end of the turn");
	db->armed = false;
	db->reading = false;
	db_env_read_end(db->env);
	flush(db);
}

void
db_begin(struct db *db, unsigned flags)
{
	struct unit *u;

	if (db->unit)
		log_fatal(LOG_STORE, "a unit was begun inside another");
	u = arena_alloc(db, sizeof(*u));
	*u = (struct unit){.flags = flags};
	STAILQ_INIT(&u->ops);
	db->unit = u;
}

static struct op *
op_new(struct db *db, enum db_table t, const void *key, size_t klen, size_t extra)
{
	struct op *op;
	uint8_t *p;

	if (!db->unit)
		log_fatal(LOG_STORE, "a change outside of a unit");
	if (klen == 0 || klen > DB_KEY_MAX)
		log_fatal(LOG_STORE, "a key of %zu bytes", klen);
	op = arena_alloc(db, sizeof(*op) + klen + extra);
	p = (uint8_t *)(op + 1);
	memcpy(p, key, klen);
	*op = (struct op){.table = t, .key = {p, klen}};
	STAILQ_INSERT_TAIL(&db->unit->ops, op, next);
	return op;
}

void
db_put(struct db *db, enum db_table t, const void *key, size_t klen, const void *val,
       size_t vlen)
{
	struct op *op = op_new(db, t, key, klen, vlen);
	uint8_t *p = (uint8_t *)(op + 1) + klen;

	if (vlen > 0)
		memcpy(p, val, vlen);
	op->val = (struct db_val){p, vlen};
}

void
db_del(struct db *db, enum db_table t, const void *key, size_t klen)
{
	op_new(db, t, key, klen, 0)->del = true;
}

void
db_end(struct db *db, void (*on_done)(void *arg, const struct err *err), void *arg)
{
	struct unit *u = STEAL(db->unit);

	if (!u)
		log_fatal(LOG_STORE, "a unit was ended that was not begun");
	u->on_done = on_done;
	u->arg = arg;
	STAILQ_INSERT_TAIL(&db->open.units, u, next);
	db->pending++;
	arm(db);
}

unsigned
db_pending(const struct db *db)
{
	return db->pending;
}

/*
 * The store thread.
 */

/* Under lock, and so that it comes back with it. */
static void
wait_for_work(struct db *db)
{
	struct timespec until;

	if (!db->warm) {
		pthread_cond_wait(&db->on_ready, &db->lock);
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += COOL_AFTER_SECONDS;
	if (pthread_cond_timedwait(&db->on_ready, &db->lock, &until) != ETIMEDOUT)
		return;
	db->warm = false;
	pthread_mutex_unlock(&db->lock);
	db_env_cool(db->env);
	pthread_mutex_lock(&db->lock);
}

static void *
on_store_thread(void *arg)
{
	struct db *db = arg;
	struct batch b;

	batch_init(&b);
	pthread_mutex_lock(&db->lock);
	for (;;) {
		while (STAILQ_EMPTY(&db->ready.units) && !db->stop)
			wait_for_work(db);
		if (STAILQ_EMPTY(&db->ready.units))
			break;
		batch_append(&b, &db->ready);
		db->warm = true;
		pthread_mutex_unlock(&db->lock);

		db_commit_batch(&db->commit, &b);

		pthread_mutex_lock(&db->lock);
		batch_append(&db->settled, &b);
		pthread_cond_signal(&db->on_settled);
		pthread_mutex_unlock(&db->lock);
		if (eventfd_write(db->settled_fd, 1) < 0)
			log_fatal(LOG_STORE, "eventfd: %s", strerror(errno));
		db_env_prepare(db->env);
		pthread_mutex_lock(&db->lock);
	}
	pthread_mutex_unlock(&db->lock);
	return NULL;
}

/*
 * Back on the loop.
 */

static void
settle(struct db *db, struct batch *b)
{
	struct unit *u;
	struct chunk *c;
	struct err full;

	err_set(&full, ERR_NO_SPACE, "the database is out of space");
	/* The callbacks shall see what was just committed. */
	db_env_read_end(db->env);
	db->version++;
	STAILQ_FOREACH(u, &b->units, next) {
		db->pending--;
		if (u->on_done)
			u->on_done(u->arg, u->refused ? &full : NULL);
	}
	STAILQ_INIT(&b->units);
	while ((c = STAILQ_FIRST(&b->chunks))) {
		STAILQ_REMOVE_HEAD(&b->chunks, next);
		chunk_release(db, c);
	}
}

static void
on_settled(int fd, unsigned what, void *arg)
{
	struct db *db = arg;
	eventfd_t count;
	struct batch b;

	batch_init(&b);
	if (eventfd_read(fd, &count) < 0 && errno != EAGAIN)
		log_fatal(LOG_STORE, "eventfd: %s", strerror(errno));
	pthread_mutex_lock(&db->lock);
	batch_append(&b, &db->settled);
	pthread_mutex_unlock(&db->lock);
	settle(db, &b);
}

/* Without the loop: callbacks may add units, so until none is left. */
static void
settle_all(struct db *db)
{
	struct batch b;

	batch_init(&b);
	while (db->pending > 0) {
		flush(db);
		pthread_mutex_lock(&db->lock);
		while (STAILQ_EMPTY(&db->settled.units))
			pthread_cond_wait(&db->on_settled, &db->lock);
		batch_append(&b, &db->settled);
		pthread_mutex_unlock(&db->lock);
		settle(db, &b);
	}
}

/*
 * Opening and closing.
 */

static int
start_thread(struct db *db, struct err *e)
{
	sigset_t all, old;
	int rc;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&db->thread, NULL, on_store_thread, db);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		errno = rc;
		return err_sys(e, "store thread");
	}
	pthread_setname_np(db->thread, "store");
	db->has_thread = true;
	return 0;
}

static void
stop_thread(struct db *db)
{
	if (!db->has_thread)
		return;
	pthread_mutex_lock(&db->lock);
	db->stop = true;
	pthread_cond_signal(&db->on_ready);
	pthread_mutex_unlock(&db->lock);
	pthread_join(db->thread, NULL);
}

static void
init_conditions(struct db *db)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&db->on_ready, &attr);
	pthread_cond_init(&db->on_settled, &attr);
	pthread_condattr_destroy(&attr);
}

struct db *
db_open(const struct db_opts *o, struct err *e)
{
	struct db *db = xcalloc(1, sizeof(*db));

	db->loop = o->loop;
	db->settled_fd = -1;
	batch_init(&db->open);
	batch_init(&db->ready);
	batch_init(&db->settled);
	STAILQ_INIT(&db->spare);
	pthread_mutex_init(&db->lock, NULL);
	init_conditions(db);

	db->env = db_env_open(o, e);
	if (!db->env)
		goto fail;
	db_commit_init(&db->commit, db->env, o->dir);
	db->settled_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (db->settled_fd < 0) {
		err_sys(e, "eventfd");
		goto fail;
	}
	if (start_thread(db, e) < 0)
		goto fail;
	db->watch = loop_fd_new(db->loop, db->settled_fd, LOOP_READ, on_settled, db);
	loop_on_turn_end(db->loop, on_turn_end, db);
	return db;
fail:
	db_close(db);
	return NULL;
}

void
db_close(struct db *db)
{
	struct chunk *c;

	if (!db)
		return;
	if (db->env)
		db_env_read_end(db->env);
	settle_all(db);
	stop_thread(db);
	loop_fd_free(db->watch);
	if (db->settled_fd >= 0)
		close(db->settled_fd);
	if (db->env)
		db_env_close(db->env);
	while ((c = STAILQ_FIRST(&db->spare))) {
		STAILQ_REMOVE_HEAD(&db->spare, next);
		free(c);
	}
	pthread_cond_destroy(&db->on_settled);
	pthread_cond_destroy(&db->on_ready);
	pthread_mutex_destroy(&db->lock);
	db_commit_fini(&db->commit);
	free(db);
}

const char *
db_instance(const struct db *db)
{
	return db_env_instance(db->env);
}

unsigned
db_fill_percent(const struct db *db)
{
	return db_env_fill(db->env);
}

/*
 * Reading.
 */

int
db_get(struct db *db, enum db_table t, const void *key, size_t klen,
       struct db_val *out, struct err *e)
{
	struct db_val k = {key, klen};

	read_begin(db);
	return db_env_get(db->env, t, &k, out, e);
}

int
db_walk(struct db *db, const struct db_walk *w,
	bool (*fn)(void *arg, const struct db_val *key, const struct db_val *val),
	void *arg, struct err *e)
{
	read_begin(db);
	return db_env_walk(db->env, w, fn, arg, e);
}

void
db_read_end(struct db *db)
{
	db_env_read_end(db->env);
}

uint64_t
db_version(const struct db *db)
{
	return db->version;
}

int
db_copy(struct db *db, const char *dir, struct err *e)
{
	return db_env_copy(db->env, dir, e);
}
