#include "log_tail.h"

#include "slipway/log.h"
#include "slipway/logread.h"
#include "slipway/mem.h"

/*
 *	small, hot → read
 *	else → on_end_found → read                   it was small
 *	                    → on_begin_found → read
 *	read → on_read → read → ... → fn
 */

#define PIECE (256u << 10)

struct log_tail {
	struct logread *reader;
	struct step_outputs *out;
	void (*fn)(void *);
	void *arg;
	uint64_t offset, end; /* end: where reading stops at the latest */
};

static void
tail_done(struct log_tail *t)
{
	step_outputs_finish(t->out);
	t->fn(t->arg);
}

static void
on_read(void *arg, const struct err *err, const uint8_t *data, size_t len,
	uint64_t next)
{
	struct log_tail *t = arg;

	if (err && err->code != ERR_NOT_FOUND)
		log_debug(LOG_WEB, "the end of a log cannot be read: %s", err->msg);
	if (!err)
		step_outputs_add(t->out, data, len);
	if (err || len == 0 || next >= t->end) {
		tail_done(t);
		return;
	}
	t->offset = next;
	logread_get(t->reader, t->offset, PIECE, on_read, t);
}

static void
tail_read(struct log_tail *t, uint64_t from)
{
	t->offset = from;
	t->end = from + LOG_TAIL_MAX;
	t->out->from_start = from == LOGREAD_START;
	logread_get(t->reader, from, PIECE, on_read, t);
}

static void
on_begin_found(void *arg, const struct err *err, const uint8_t *data, size_t len,
	       uint64_t next)
{
	struct log_tail *t = arg;

	if (err)
		tail_done(t);
	else
		tail_read(t, next);
}

static void
on_end_found(void *arg, const struct err *err, const uint8_t *data, size_t len,
	     uint64_t next)
{
	struct log_tail *t = arg;

	if (err)
		tail_done(t);
	else if (next <= LOGREAD_START + LOG_TAIL_MAX)
		tail_read(t, LOGREAD_START);
	else
		logread_find_boundary(t->reader, next - LOG_TAIL_MAX, on_begin_found,
				      t);
}

struct log_tail *
log_tail_new(struct web *w, const char *id, unsigned attempt, struct step_outputs *out,
	     void (*fn)(void *), void *arg)
{
	struct log_tail *t = xcalloc(1, sizeof(*t));
	uint64_t size;

	t->out = out;
	t->fn = fn;
	t->arg = arg;
	t->reader = logread_new(w->d.loop, w->d.pool, w->conf->state_dir, id, attempt);
	size = logread_size(t->reader);
	if (size > 0 && size <= LOGREAD_START + LOG_TAIL_MAX)
		tail_read(t, LOGREAD_START);
	else
		logread_find_boundary(t->reader, UINT64_MAX, on_end_found, t);
	return t;
}

void
log_tail_free(struct log_tail *t)
{
	if (!t)
		return;
	logread_free(t->reader);
	free(t);
}
