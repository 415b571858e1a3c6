#include "audit.h"

#include <stdlib.h>
#include <string.h>

#include "audit_file.h"
#include "auth_limit.h"
#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	audit_add() → waiting → on_due → batch → [pool] format, append, sync → on_written
 *	    → the next batch, or after a failure the same one again, in a while
 *
 * One batch is on its way at a time, which keeps the order. A moment is waited for more:
 * its sync would otherwise compete with that of the journal for every submission.
 */

#define WAITING_MAX 10000
#define REFUSED_PER_MINUTE 60
#define REFUSED_BURST 100
#define GATHER_MS 100
#define RETRY_MS 2000

STAILQ_HEAD(entries, audit_entry);

struct batch {
	struct audit *audit;
	char *path;
	struct entries entries;
	struct strbuf text;
	struct err err;
};

struct audit {
	struct loop *loop;
	struct pool *pool;
	char *path;
	struct entries waiting;
	unsigned n_waiting;
	struct batch *batch; /* written, or to be tried again */
	bool writing;
	struct loop_timer *due;
	int64_t refused; /* auth_limit_bucket() */
	uint64_t suppressed, lost;
	struct err trouble;
};

static void on_due(void *arg);

struct audit *
audit_new(struct loop *l, struct pool *p, const char *state_dir)
{
	struct audit *a = xcalloc(1, sizeof(*a));

	a->loop = l;
	a->pool = p;
	a->path = xasprintf("%s/audit.log", state_dir);
	STAILQ_INIT(&a->waiting);
	a->due = loop_timer_new(l, on_due, a);
	return a;
}

void
audit_entry_free(struct audit_entry *en)
{
	if (!en)
		return;
	free(en->path);
	free(en);
}

static void
entries_free(struct entries *list)
{
	struct audit_entry *en;

	while ((en = STAILQ_FIRST(list))) {
		STAILQ_REMOVE_HEAD(list, next);
		audit_entry_free(en);
	}
}

static void
batch_free(struct batch *b)
{
	if (!b)
		return;
	entries_free(&b->entries);
	strbuf_free(&b->text);
	free(b->path);
	free(b);
}

static void
on_write_work(void *arg)
{
	struct batch *b = arg;
	struct audit_entry *en;

	STAILQ_FOREACH(en, &b->entries, next)
		audit_format(en, &b->text);
	entries_free(&b->entries);
	b->err = (struct err){ 0 };
	audit_append(b->path, &b->text, AUDIT_FILE_MAX, &b->err);
}

static struct batch *
batch_new(struct audit *a)
{
	struct batch *b = xcalloc(1, sizeof(*b));

	b->audit = a;
	b->path = xstrdup(a->path);
	STAILQ_INIT(&b->entries);
	STAILQ_CONCAT(&b->entries, &a->waiting);
	a->n_waiting = 0;
	return b;
}

static void on_written(void *arg);

static void
write_next(struct audit *a)
{
	struct err e = { 0 };

	if (!a->batch && !STAILQ_EMPTY(&a->waiting))
		a->batch = batch_new(a);
	if (!a->batch)
		return;
	a->writing = true;
	if (pool_submit(a->pool, POOL_IO, on_write_work, on_written, a->batch, &e) == 0)
		return;
	a->writing = false;
	/* When the pool is stopping, audit_free() writes it. */
	if (e.code != ERR_CLOSED)
		loop_timer_set(a->due, RETRY_MS);
}

static void
gather(struct audit *a)
{
	if (!a->writing && !loop_timer_is_set(a->due) && !STAILQ_EMPTY(&a->waiting))
		loop_timer_set(a->due, GATHER_MS);
}

static void
on_written(void *arg)
{
	struct batch *b = arg;
	struct audit *a = b->audit;

	a->writing = false;
	if (b->err.code) {
		if (!a->trouble.code)
			log_error(LOG_WEB, "the audit log cannot be written: %s",
				  b->err.msg);
		a->trouble = b->err;
		loop_timer_set(a->due, RETRY_MS);
		return;
	}
	if (a->trouble.code)
		log_info(LOG_WEB, "the audit log is written again");
	a->trouble = (struct err){ 0 };
	batch_free(STEAL(a->batch));
	gather(a);
}

static void
on_due(void *arg)
{
	write_next(arg);
}

void
audit_free(struct audit *a)
{
	if (!a)
		return;
	if (!a->batch && !STAILQ_EMPTY(&a->waiting))
		a->batch = batch_new(a);
	while (a->batch) {
		on_write_work(a->batch);
		if (a->batch->err.code)
			log_error(LOG_WEB, "lines of the audit log are lost: %s",
				  a->batch->err.msg);
		batch_free(STEAL(a->batch));
		if (!STAILQ_EMPTY(&a->waiting))
			a->batch = batch_new(a);
	}
	loop_timer_free(a->due);
	free(a->path);
	free(a);
}

static bool
is_refusal(int status)
{
	return status == 401 || status == 403 || status == 429;
}

void
audit_add(struct audit *a, struct audit_entry *en)
{
	if (a->n_waiting >= WAITING_MAX) {
		if (!a->lost++)
			log_error(LOG_WEB, "the audit log loses lines");
		audit_entry_free(en);
		return;
	}
	if (is_refusal(en->status)) {
		if (auth_limit_bucket(&a->refused, clock_mono_ms(), REFUSED_PER_MINUTE,
				      REFUSED_BURST)) {
			a->suppressed++;
			audit_entry_free(en);
			return;
		}
		en->suppressed = a->suppressed;
		a->suppressed = 0;
	}
	en->lost = a->lost;
	a->lost = 0;
	STAILQ_INSERT_TAIL(&a->waiting, en, next);
	a->n_waiting++;
	gather(a);
}

const char *
audit_trouble(const struct audit *a)
{
	return a->trouble.code ? a->trouble.msg : NULL;
}

struct read {
	char *path;
	unsigned limit;
	struct strbuf text;
	struct err err;
	void (*done)(void *arg, const struct strbuf *text, const struct err *err);
	void *arg;
};

static void
read_free(struct read *r)
{
	strbuf_free(&r->text);
	free(r->path);
	free(r);
}

static void
on_read_work(void *arg)
{
	struct read *r = arg;

	audit_tail(r->path, r->limit, &r->text, &r->err);
}

static void
on_read_done(void *arg)
{
	struct read *r = arg;

	r->done(r->arg, r->err.code ? NULL : &r->text, r->err.code ? &r->err : NULL);
	read_free(r);
}

int
audit_read(struct audit *a, unsigned limit,
	   void (*done)(void *arg, const struct strbuf *text, const struct err *err),
	   void *arg, struct err *e)
{
	struct read *r = xcalloc(1, sizeof(*r));

	r->path = xstrdup(a->path);
	r->limit = limit;
	r->done = done;
	r->arg = arg;
	if (pool_submit(a->pool, POOL_IO, on_read_work, on_read_done, r, e) == 0)
		return 0;
	read_free(r);
	return -1;
}
