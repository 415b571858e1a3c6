/*
 * A unit's way to the disk:
 *
 *   db_begin .. db_end   written into the open batch
 *   flush()              end of turn: the batch goes to the store thread,
 *                        which puts it into the journal (db_writer.h)
 *   on_news()            by eventfd: settled batches become visible (the overlay), then
 *                        on_done of each unit, in order
 *   on_turn_end()        batches that LMDB has by now leave the overlay, and are freed
 *
 * A batch's memory is filled once and read by all: the store thread encodes it, the
 * apply thread hands it to LMDB, readers are served from it.
 */
#include "slipway/db.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "db_view.h"
#include "db_writer.h"
#include "slipway/log.h"
#include "slipway/mem.h"

struct db {
	struct loop *loop;
	struct db_env *env;
	struct db_writer *writer;
	struct db_view view;

	struct batch *open; /* NULL until something is put */
	struct unit *unit;  /* between begin and end */
	uint64_t version;
	unsigned pending;
	struct chunk_pool chunks;

	bool armed;		/* on_turn_end will come in this turn */
	bool reading;		/* something was read in this turn */
	struct batches applied; /* to be freed when nobody reads */
	int news_fd;
	struct loop_fd *watch;
};

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

/*
 * The open batch.
 */

void
db_begin(struct db *db, unsigned flags)
{
	if (db->unit)
		log_fatal(LOG_STORE, "a unit was begun inside another");
	if (!db->open)
		db->open = batch_new();
	db->unit = batch_add_unit(db->open, &db->chunks, flags);
}

static struct op *
op_new(struct db *db, enum db_table t, const void *key, size_t klen, size_t vlen)
{
	struct db_key row;

	if (!db->unit)
		log_fatal(LOG_STORE, "a change outside of a unit");
	if (klen == 0 || klen > DB_KEY_MAX)
		log_fatal(LOG_STORE, "a key of %zu bytes", klen);
	db_key_make(&row, t, key, klen);
	return batch_add_op(db->open, &db->chunks, db->unit, &row, vlen);
}

void
db_put(struct db *db, enum db_table t, const void *key, size_t klen, const void *val,
       size_t vlen)
{
	batch_set_value(op_new(db, t, key, klen, vlen), val);
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
	db->pending++;
	arm(db);
}

unsigned
db_pending(const struct db *db)
{
	return db->pending;
}

static void
flush(struct db *db)
{
	if (db->open)
		db_writer_submit(db->writer, STEAL(db->open));
}

/*
 * What comes back.
 */

static void
show(struct db *db, const struct batch *b)
{
	struct unit *u;
	struct op *op;

	STAILQ_FOREACH(u, &b->units, next) {
		if (u->refused)
			continue;
		STAILQ_FOREACH(op, &u->ops, next) {
			op->seq = b->seq;
			db_overlay_show(&db->view.overlay, op);
		}
	}
}

static void
settle(struct db *db, const struct batch *b)
{
	struct unit *u;
	struct err full;

	err_set(&full, ERR_NO_SPACE, "the database is out of space");
	/* The callbacks shall see what was just settled. */
	show(db, b);
	db->version++;
	STAILQ_FOREACH(u, &b->units, next) {
		db->pending--;
		if (u->on_done)
			u->on_done(u->arg, u->refused ? &full : NULL);
	}
}

static void
settle_all(struct db *db, struct batches *settled)
{
	struct batch *b;

	while ((b = STAILQ_FIRST(settled))) {
		STAILQ_REMOVE_HEAD(settled, to_settle);
		settle(db, b);
	}
}

static void
on_news(int fd, unsigned what, void *arg)
{
	struct batches settled = STAILQ_HEAD_INITIALIZER(settled);
	struct db *db = arg;
	eventfd_t count;

	if (eventfd_read(fd, &count) < 0 && errno != EAGAIN)
		log_fatal(LOG_STORE, "eventfd: %s", strerror(errno));
	db_writer_take(db->writer, &settled, &db->applied);
	settle_all(db, &settled);
	if (!STAILQ_EMPTY(&db->applied))
		arm(db);
}

static void
forget(struct db *db, struct batch *b)
{
	struct unit *u;
	struct op *op;

	STAILQ_FOREACH(u, &b->units, next)
		STAILQ_FOREACH(op, &u->ops, next)
			db_overlay_hide(&db->view.overlay, op);
	batch_free(b, &db->chunks);
}

/* Nobody reads. */
static void
forget_applied(struct db *db)
{
	struct batch *b;

	while ((b = STAILQ_FIRST(&db->applied))) {
		STAILQ_REMOVE_HEAD(&db->applied, to_apply);
		forget(db, b);
	}
}

static void
on_turn_end(void *arg)
{
	struct db *db = arg;

	if (db->unit)
		log_fatal(LOG_STORE, "a unit was left open at the end of the turn");
	db->armed = false;
	db->reading = false;
	db_view_end(&db->view);
	forget_applied(db);
	flush(db);
}

/*
 * Opening and closing.
 */

static int
open_parts(struct db *db, const struct db_opts *o, struct err *e)
{
	db->env = db_env_open(o, e);
	if (!db->env)
		return -1;
	db->view.env = db->env;
	db->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (db->news_fd < 0)
		return err_sys(e, "eventfd");
	db->writer = db_writer_new(o, db->env, db->news_fd, e);
	return db->writer ? 0 : -1;
}

struct db *
db_open(const struct db_opts *o, struct err *e)
{
	struct db *db = xcalloc(1, sizeof(*db));

	db->loop = o->loop;
	db->news_fd = -1;
	STAILQ_INIT(&db->applied);
	if (open_parts(db, o, e) < 0) {
		db_close(db);
		return NULL;
	}
	db->watch = loop_fd_new(db->loop, db->news_fd, LOOP_READ, on_news, db);
	loop_on_turn_end(db->loop, on_turn_end, db);
	return db;
}

/* Without the loop: callbacks may add units, so until none is left. */
static void
finish(struct db *db)
{
	struct batches settled = STAILQ_HEAD_INITIALIZER(settled);

	while (db->pending > 0) {
		/* Growing the map waits for readers. */
		db_view_end(&db->view);
		flush(db);
		db_writer_wait_settled(db->writer);
		db_writer_take(db->writer, &settled, &db->applied);
		settle_all(db, &settled);
	}
}

void
db_close(struct db *db)
{
	if (!db)
		return;
	finish(db);
	if (db->env)
		db_view_end(&db->view);
	db_writer_free(db->writer);
	forget_applied(db);
	loop_fd_free(db->watch);
	if (db->news_fd >= 0)
		close(db->news_fd);
	if (db->env)
		db_env_close(db->env);
	batch_free(db->open, NULL);
	chunk_pool_clear(&db->chunks);
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
	return db_writer_fill(db->writer);
}

/*
 * Reading.
 */

static void
read_begin(struct db *db)
{
	if (db->reading)
		return;
	db->reading = true;
	arm(db);
	db_writer_touch(db->writer);
}

int
db_get(struct db *db, enum db_table t, const void *key, size_t klen, struct db_val *out,
       struct err *e)
{
	struct db_val k = { key, klen };

	read_begin(db);
	return db_view_get(&db->view, t, &k, out, e);
}

int
db_walk(struct db *db, const struct db_walk *w,
	bool (*fn)(void *arg, const struct db_val *key, const struct db_val *val),
	void *arg, struct err *e)
{
	read_begin(db);
	return db_view_walk(&db->view, w, fn, arg, e);
}

uint64_t
db_version(const struct db *db)
{
	return db->version;
}

int
db_copy(struct db *db, const char *dir, struct err *e)
{
	db_writer_sync(db->writer);
	return db_env_copy(db->env, dir, e);
}
