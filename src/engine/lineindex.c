#include "slipway/lineindex.h"

#include "lines.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	get → task → on_work (pool): open, a slice of indexing or of looking for text
 *	           → on_done → not finished: on_work again
 *	                     → finished: fn
 *
 * A task outlives who asked: `owner` is cleared when that goes first, and the task ends
 * with the slice that it is at.
 */

#define SLICE (32u << 20)
/* A pool thread shall not be held for long, and nobody shall wait for an answer for
 * ever: a text that is not found in so much is looked for in another request. */
#define FIND_SLICES 8

struct task {
	struct lineindex *owner; /* NULL: nobody waits any more */
	struct loop *loop;
	struct pool *pool;
	char *dir;
	struct line_window w;
	lineindex_format_fn *format;
	lineindex_fn *fn;
	void *arg;
	struct logsource log;
	struct lines lines;
	bool opened, indexed, rebuilt, finished;
	unsigned slices;
	bool failed;
	struct err err;
	struct strbuf out;
};

struct lineindex {
	struct loop *loop;
	struct pool *pool;
	char *dir;
	struct task *task;
};

struct lineindex *
lineindex_new(struct loop *l, struct pool *p, const char *state_dir, const char *job,
	      unsigned attempt)
{
	struct lineindex *x = xcalloc(1, sizeof(*x));

	x->loop = l;
	x->pool = p;
	x->dir = xasprintf("%s/jobs/%s/%u", state_dir, job, attempt);
	return x;
}

void
lineindex_free(struct lineindex *x)
{
	if (!x)
		return;
	if (x->task)
		x->task->owner = NULL;
	free(x->dir);
	free(x);
}

static void
task_free(struct task *t)
{
	if (t->opened) {
		lines_close(&t->lines);
		logsource_close(&t->log);
	}
	line_window_free(&t->w);
	strbuf_free(&t->out);
	free(t->dir);
	free(t);
}

static int
task_open(struct task *t)
{
	if (logsource_open(&t->log, t->dir, &t->err))
		return -1;
	lines_open(&t->lines, t->dir, &t->log);
	t->opened = true;
	return 0;
}

/* An index that led astray gets one chance to be made anew. */
static int
task_window(struct task *t)
{
	bool more;

	if (lines_window(&t->lines, &t->log, &t->w, SLICE, &more, &t->err)) {
		if (t->err.code != ERR_CORRUPT || t->rebuilt)
			return -1;
		t->err = (struct err){ 0 };
		lines_reset(&t->lines);
		t->rebuilt = true;
		t->indexed = false;
		return 0;
	}
	t->finished = !more || ++t->slices == FIND_SLICES;
	if (!more && *t->w.find)
		t->w.from = 0;
	if (t->finished && t->format)
		t->format(&t->w, &t->out);
	return 0;
}

static void
on_work(void *arg)
{
	struct task *t = arg;
	bool more = false;

	if (!t->opened && task_open(t))
		t->failed = true;
	else if (!t->indexed)
		t->failed = lines_extend(&t->lines, &t->log, SLICE, &more, &t->err) !=
			    0;
	if (t->failed || more)
		return;
	t->indexed = true;
	t->failed = task_window(t) != 0;
}

static void on_done(void *arg);

static void
task_submit(struct task *t)
{
	if (pool_submit(t->pool, POOL_TRANSFER, on_work, on_done, t, &t->err)) {
		t->failed = true;
		loop_defer(t->loop, on_done, t);
	}
}

static void
on_done(void *arg)
{
	struct task *t = arg;

	if (t->owner && !t->failed && !t->finished && !pool_is_stopping(t->pool)) {
		task_submit(t);
		return;
	}
	if (t->owner) {
		t->owner->task = NULL;
		if (!t->failed && !t->finished)
			t->failed = err_set(&t->err, ERR_CLOSED, "stopping") != 0;
		t->fn(t->arg, t->failed ? &t->err : NULL, &t->w, &t->out);
	}
	task_free(t);
}

void
lineindex_get(struct lineindex *x, const struct line_window *want,
	      lineindex_format_fn *format, lineindex_fn *fn, void *arg)
{
	struct task *t = xcalloc(1, sizeof(*t));

	t->owner = x;
	t->loop = x->loop;
	t->pool = x->pool;
	t->dir = xstrdup(x->dir);
	t->w.from = want->from;
	t->w.count = want->count;
	t->w.tail = want->tail;
	STR_COPY(t->w.find, want->find);
	t->format = format;
	t->fn = fn;
	t->arg = arg;
	x->task = t;
	task_submit(t);
}
