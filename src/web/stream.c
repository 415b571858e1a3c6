#include "stream.h"

#include <string.h>

#include "slipway/db_job.h"
#include "slipway/http_stream.h"
#include "slipway/log.h"
#include "slipway/logread.h"
#include "slipway/mem.h"

/*
 *	begin → place: from an offset → on_boundary  ┐
 *	               tail → on_tail → count → ...  ├→ go
 *	               else                          ┘
 *	go → read → on_read → write → go             while the socket takes it
 *	   → enough in flight: on_drain → go
 *	   → nothing more: attempt over? settle : wait for on_event → on_look → go
 *	settle → the next attempt, or "end"
 *
 * An attempt is known to be over only from committed state, and its log to be read
 * fully only by a read that began after that was known.
 */

#define PIECE (96u << 10)
#define COUNT_PIECE (1u << 20)	  /* nothing of it is kept */
#define IN_FLIGHT_MAX (64u << 10) /* then wait; the piece that follows comes on top */
#define READS_PER_TURN 4
#define TICK_MS 15000
#define STALL_TICKS 4 /* a client that takes nothing for so long is dropped */

enum stream_doing {
	STREAM_PLACING,
	STREAM_COUNTING,
	STREAM_SENDING,
};

struct stream {
	struct web_task task;
	char id[JOB_ID_MAX + 1];
	const struct render_form *form;
	struct render render;
	unsigned attempt;
	bool pinned, follow;
	uint64_t offset;
	uint64_t tail, tail_from, counted;
	bool count_open;
	enum stream_doing doing;
	struct logread *reader;
	struct strbuf out;
	/* What the last look at the job told. */
	enum job_state state, shown_state;
	enum job_phase shown_phase;
	unsigned job_attempt, shown_attempt;
	bool over; /* this attempt */
	bool shown;
	bool reading, over_when_read, grown, damaged, looking;
	unsigned reads;
	uint64_t written, taken;
	unsigned still;
	struct bus_sub *sub;
	struct loop_timer *tick, *again;
};

static void stream_go(struct stream *s);

static void
stream_release(struct web_task *t)
{
	struct stream *s = (struct stream *)t;

	bus_unsubscribe(s->sub);
	loop_timer_free(s->tick);
	loop_timer_free(s->again);
	logread_free(s->reader);
	s->sub = NULL;
	s->tick = s->again = NULL;
	s->reader = NULL;
}

static void
stream_destroy(struct web_task *t)
{
	struct stream *s = (struct stream *)t;

	for (size_t i = 0; i < s->render.nsteps; i++)
		free(s->render.names[i]);
	free(s->render.names);
	free(s->render.started);
	strbuf_free(&s->out);
}

static void
stream_flush(struct stream *s)
{
	if (!s->out.len || s->task.ended)
		return;
	s->written += s->out.len;
	http_stream_write(s->task.req, s->out.data, s->out.len);
	/* Thousands of streams wait at a time; none keeps a buffer for that. */
	strbuf_free(&s->out);
}

static void
stream_end(struct stream *s)
{
	stream_flush(s);
	if (s->task.ended)
		return;
	http_stream_end(s->task.req);
	web_task_end(&s->task);
}

/* The job itself: its state, and whether the attempt that is read is over. */

static bool
attempt_is_over(struct stream *s, const struct job_view *v, struct render_status *st)
{
	struct attempt *a;
	bool over;

	if (s->attempt == v->job.attempt)
		return job_state_is_final(v->job.state);
	if (!s->pinned)
		return true;
	a = xcalloc(1, sizeof(*a));
	if (db_attempt_get(s->task.web->d.db, s->id, s->attempt, a, NULL) == 1) {
		st->state = a->state;
		st->reason = a->reason;
		st->started_at = a->started_at;
		st->finished_at = a->finished_at;
	}
	st->attempt = s->attempt;
	st->error = "";
	over = a->state != JOB_RUNNING;
	free(a);
	return over;
}

static void
status_of(const struct stream *s, const struct job_view *v, struct render_status *st)
{
	*st = (struct render_status){
		.id = s->id,
		.state = v->job.state,
		.reason = v->job.reason,
		.phase = v->phase,
		.attempt = v->job.attempt,
		.error = v->job.error,
		.wait_reason = v->wait_reason,
		.position = v->position,
		.started_at = v->job.started_at,
		.finished_at = v->job.finished_at,
	};
}

/* Tell a state that is new to the client. A final one waits until the log was sent. */
static void
stream_show(struct stream *s, const struct render_status *st)
{
	enum job_phase phase = st->state == JOB_RUNNING ? st->phase : PHASE_NONE;

	/* What comes after the steps overtakes the last of their output. */
	if (phase > PHASE_STEPS)
		phase = PHASE_STEPS;
	if (s->shown && s->shown_state == st->state && s->shown_phase == phase &&
	    s->shown_attempt == st->attempt)
		return;
	s->shown = true;
	s->shown_state = st->state;
	s->shown_phase = phase;
	s->shown_attempt = st->attempt;
	s->form->status(st, &s->out);
}

static void
stream_restart(struct stream *s, unsigned attempt)
{
	struct web *w = s->task.web;

	logread_free(s->reader);
	s->reader = logread_new(w->d.loop, w->d.pool, w->conf->state_dir, s->id,
				attempt);
	s->attempt = attempt;
	s->offset = LOGREAD_START;
	s->reading = s->damaged = s->over = false;
	s->doing = STREAM_SENDING;
	render_restart(&s->render, attempt);
}

/* False when the job is gone (retention), and with it the stream. */
static bool
stream_look(struct stream *s, struct render_status *st, struct job_view *v)
{
	if (engine_view(s->task.web->d.engine, s->id, v, NULL) != 1) {
		stream_end(s);
		return false;
	}
	status_of(s, v, st);
	s->state = v->job.state;
	s->job_attempt = v->job.attempt;
	/* An attempt that never got to its start goes back to the queue as itself, and
	 * begins anew. */
	if (s->state == JOB_QUEUED && s->attempt == v->job.attempt &&
	    s->doing == STREAM_SENDING && s->offset > LOGREAD_START)
		stream_restart(s, s->attempt);
	s->over = attempt_is_over(s, v, st);
	return true;
}

/* The attempt is over and its log was sent. */
static void
stream_settle(struct stream *s)
{
	struct render_status st;
	struct job_view v;

	if (!stream_look(s, &st, &v))
		return;
	if (!s->pinned && v.job.attempt > s->attempt) {
		stream_restart(s, v.job.attempt);
		s->over = job_state_is_final(v.job.state);
		if (!s->over)
			stream_show(s, &st);
		stream_go(s);
		return;
	}
	stream_show(s, &st);
	s->form->end(&st, &s->out);
	stream_end(s);
}

/* Reading */

static void
stream_exhausted(struct stream *s)
{
	if (s->over_when_read)
		stream_settle(s);
	else if (s->over || s->grown)
		stream_go(s);
	else if (!s->follow)
		stream_end(s);
}

static void
stream_read_failed(struct stream *s, const struct err *err)
{
	if (err->code == ERR_NOT_FOUND) {
		stream_exhausted(s);
	} else if (err->code == ERR_CORRUPT) {
		s->damaged = true;
		s->form->note(&s->render,
			      "the log is damaged here and cannot be read on", true,
			      &s->out);
		stream_go(s);
	} else {
		log_warn(LOG_WEB, "job=%s attempt=%u its log cannot be sent on: %s",
			 s->id, s->attempt, err->msg);
		stream_end(s);
	}
}

static void
on_read(void *arg, const struct err *err, const uint8_t *data, size_t len,
	uint64_t next)
{
	struct stream *s = arg;

	s->reading = false;
	if (err) {
		stream_read_failed(s, err);
		return;
	}
	if (len == 0) {
		stream_exhausted(s);
		return;
	}
	s->form->frames(&s->render, data, len, s->offset, &s->out);
	s->offset = next;
	stream_go(s);
}

/* tail=: how many lines there are from tail_from on; then those too many are
 * skipped. */
static void
on_counted(void *arg, const struct err *err, const uint8_t *data, size_t len,
	   uint64_t next)
{
	struct stream *s = arg;

	s->reading = false;
	if (!err && len > 0) {
		s->counted += render_count(&s->render, data, len, &s->count_open);
		s->offset = next;
	} else {
		s->doing = STREAM_SENDING;
		s->offset = s->tail_from;
		s->render.skip = s->counted > s->tail ? s->counted - s->tail : 0;
	}
	stream_go(s);
}

static void
stream_read(struct stream *s)
{
	s->reading = true;
	s->grown = false;
	s->over_when_read = s->over;
	s->reads++;
	if (s->doing == STREAM_COUNTING)
		logread_get(s->reader, s->offset, COUNT_PIECE, on_counted, s);
	else
		logread_get(s->reader, s->offset, PIECE, on_read, s);
}

static void
on_again(void *arg)
{
	struct stream *s = arg;

	s->reads = 0;
	stream_go(s);
}

/* The one place that decides what to do next. */
static void
stream_go(struct stream *s)
{
	stream_flush(s);
	if (s->task.ended || s->reading || s->doing == STREAM_PLACING)
		return;
	if (http_stream_pending(s->task.req) > IN_FLIGHT_MAX)
		return; /* on_drain */
	if (s->damaged) {
		s->over_when_read = s->over;
		s->grown = false;
		if (s->over || !s->follow)
			stream_exhausted(s);
	} else if (s->state == JOB_QUEUED && !s->over) {
		if (!s->follow)
			stream_end(s);
	} else if (s->reads >= READS_PER_TURN) {
		if (!loop_timer_is_set(s->again))
			loop_timer_set(s->again, 0);
	} else {
		stream_read(s);
	}
}

static void
on_drain(void *arg)
{
	struct stream *s = arg;

	s->reads = 0;
	stream_go(s);
}

/* Who publishes may be in the midst of changing things: look when it is done. */
static void
on_look(void *arg)
{
	struct stream *s = arg;
	struct render_status st;
	struct job_view v;

	s->looking = false;
	if (s->task.ended || !stream_look(s, &st, &v))
		return;
	if (!s->over)
		stream_show(s, &st);
	stream_go(s);
}

static void
on_event(void *arg, const struct bus_event *ev)
{
	struct stream *s = arg;

	s->grown = true;
	if (ev->what == BUS_SEAL || s->looking)
		return;
	if (ev->what == BUS_LOG) {
		s->reads = 0;
		stream_go(s);
		return;
	}
	s->looking = true;
	loop_defer(s->task.web->d.loop, on_look, s);
}

static void
on_tick(void *arg)
{
	struct stream *s = arg;
	size_t pending = http_stream_pending(s->task.req);
	uint64_t taken = s->written - pending;

	loop_timer_set(s->tick, TICK_MS);
	s->still = pending && taken == s->taken ? s->still + 1 : 0;
	s->taken = taken;
	if (s->still >= STALL_TICKS) {
		log_info(LOG_WEB, "job=%s its reader %s takes nothing, closed", s->id,
			 http_req_peer(s->task.req));
		stream_end(s);
	} else if (!pending && s->form->beat) {
		strbuf_adds(&s->out, s->form->beat);
		stream_flush(s);
	}
}

/* Beginning */

static void
on_boundary(void *arg, const struct err *err, const uint8_t *data, size_t len,
	    uint64_t next)
{
	struct stream *s = arg;

	s->offset = err ? LOGREAD_START : next;
	s->doing = STREAM_SENDING;
	stream_go(s);
}

static void
on_tail(void *arg, const struct err *err, const uint8_t *data, size_t len,
	uint64_t next)
{
	struct stream *s = arg;

	s->offset = s->tail_from = err ? LOGREAD_START : next;
	s->doing = STREAM_COUNTING;
	stream_go(s);
}

static void
stream_place(struct stream *s, const struct stream_opts *o)
{
	if (o->offset > LOGREAD_START) {
		logread_find_boundary(s->reader, o->offset, on_boundary, s);
	} else if (o->tail && o->step == RENDER_ALL_STEPS) {
		s->tail = o->tail;
		logread_find_tail(s->reader, (unsigned)o->tail, on_tail, s);
	} else if (o->tail) {
		/* Where a step's last lines are cannot be told from the log's end. */
		s->tail = o->tail;
		s->tail_from = LOGREAD_START;
		s->doing = STREAM_COUNTING;
	} else {
		s->doing = STREAM_SENDING;
	}
}

static void
stream_learn_steps(struct stream *s, const struct stream_opts *o)
{
	struct render *r = &s->render;
	const struct attempt *a = &o->view->attempt;

	r->step = o->step;
	r->nsteps = o->spec ? o->spec->nsteps : 0;
	r->names = xcalloc(r->nsteps + 1, sizeof(*r->names));
	r->started = xcalloc(r->nsteps + 1, sizeof(*r->started));
	for (size_t i = 0; i < r->nsteps; i++)
		r->names[i] = xstrdup(o->spec->steps[i].name);
	render_restart(r, s->attempt);
	/* Who comes in later has not seen these begin. */
	for (size_t i = 0; i < r->nsteps && i < a->nsteps && a->number == s->attempt;
	     i++)
		r->started[i] = a->steps[i].started_at;
}

void
stream_begin(struct web *w, struct http_req r, const struct stream_opts *o)
{
	struct stream *s = xcalloc(1, sizeof(*s));
	struct render_status st;
	struct job_view v;

	s->task.what = "log";
	s->task.release = stream_release;
	s->task.destroy = stream_destroy;
	STR_COPY(s->id, o->id);
	s->form = o->form;
	s->attempt = o->attempt;
	s->pinned = o->pinned;
	s->follow = o->follow;
	s->offset = LOGREAD_START;
	s->render.times = o->times;
	stream_learn_steps(s, o);
	s->reader = logread_new(w->d.loop, w->d.pool, w->conf->state_dir, s->id,
				s->attempt);
	s->again = loop_timer_new(w->d.loop, on_again, s);
	s->tick = loop_timer_new(w->d.loop, on_tick, s);
	loop_timer_set(s->tick, TICK_MS);
	s->sub = bus_subscribe(w->d.bus, s->id, on_event, s);
	web_task_begin(&s->task, w, r);
	http_set_header(r, "Cache-Control", "no-cache");
	http_set_header(r, "X-Accel-Buffering", "no");
	http_stream_start(r, 200, o->form->type);
	http_stream_on_drain(r, on_drain, s);
	if (s->task.ended || !stream_look(s, &st, &v))
		return;
	stream_show(s, &st);
	stream_place(s, o);
	stream_go(s);
}
