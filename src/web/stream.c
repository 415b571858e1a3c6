#include "stream.h"

#include <string.h>

#include "feed.h"
#include "place.h"
#include "slipway/db_job.h"
#include "slipway/http_stream.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/slab.h"

/*
 *	begin → look → tell the state → place → join the feed
 *	the job changed → look → tell the state;  over → the feed reads to the end
 *	settle → the next attempt's feed, or "end"
 */

/* What a look found, and the event that tells of it, made when the first client needs
 * it. */
struct told {
	struct render_status status;
	struct http_buf *status_event, *end_event;
};

static void
stream_release(struct web_task *t)
{
	struct stream *s = (struct stream *)t;

	if (s->place)
		place_forget(s->place);
	feed_leave(s);
	feed_unref(STEAL(s->feed));
}

void
stream_end(struct stream *s)
{
	if (s->task.ended)
		return;
	http_stream_end(s->task.req);
	web_task_end(&s->task);
}

/* Telling */

static void
told_init(struct told *t, const struct job_view *v)
{
	*t = (struct told){
		.status = {
			.id = v->job.id,
			.state = v->job.state,
			.reason = v->job.reason,
			.phase = v->phase,
			.attempt = v->job.attempt,
			.error = v->job.error,
			.wait_reason = v->wait_reason,
			.position = v->position,
			.started_at = v->job.started_at,
			.finished_at = v->job.finished_at,
		},
	};
}

/* Of an attempt that is not the present one. */
static void
told_earlier(struct told *t, const struct feed *f)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	if (db_attempt_get(f->web->d.db, f->id, f->attempt, a, NULL) == 1) {
		t->status.state = a->state;
		t->status.reason = a->reason;
		t->status.started_at = a->started_at;
		t->status.finished_at = a->finished_at;
	}
	t->status.attempt = f->attempt;
	t->status.error = "";
	free(a);
}

static void
told_free(struct told *t)
{
	http_buf_unref(t->status_event);
	http_buf_unref(t->end_event);
}

static void
tell(struct stream *s, struct http_buf **event, const struct render_status *st,
     void (*render)(const struct render_status *, struct strbuf *))
{
	cleanup_strbuf struct strbuf out = { 0 };

	if (!render)
		return;
	/* Forms that tell of the job are one. */
	if (!*event) {
		render(st, &out);
		*event = http_buf_new(out.data, out.len);
	}
	http_stream_send(s->task.req, *event);
}

/* A state that is new to the client. */
static void
stream_tell(struct stream *s, struct told *t)
{
	const struct render_status *st = &t->status;
	enum job_phase phase = st->state == JOB_RUNNING ? st->phase : PHASE_NONE;

	/* What comes after the steps overtakes the last of their output. */
	if (phase > PHASE_STEPS)
		phase = PHASE_STEPS;
	if (s->shown && s->shown_state == st->state && s->shown_phase == phase &&
	    s->shown_attempt == st->attempt)
		return;
	s->shown = true;
	s->shown_state = (uint8_t)st->state;
	s->shown_phase = (uint8_t)phase;
	s->shown_attempt = st->attempt;
	tell(s, &t->status_event, st, s->form->status);
}

/* Looking */

static bool
has_begun(const struct feed *f)
{
	const struct feed_group *g;

	TAILQ_FOREACH(g, &f->groups, link)
		if (g->offset > LOGREAD_START)
			return true;
	return false;
}

static void
feed_learn(struct feed *f, const struct job_view *v)
{
	bool was_over = f->over;

	f->over = v->job.attempt != f->attempt || job_state_is_final(v->job.state);
	f->queued = v->job.state == JOB_QUEUED && !f->over;
	f->news += was_over != f->over;
	/* An attempt that never got to its start goes back to the queue as itself, and
	 * begins anew. */
	if (f->queued && has_begun(f))
		feed_restart(f);
}

/* The job was removed. */
static void
feed_end(struct feed *f)
{
	struct web_task *t, *next;

	for (t = LIST_FIRST(&f->web->tasks); t; t = next) {
		next = LIST_NEXT(t, link);
		if (t->release == stream_release && ((struct stream *)t)->feed == f)
			stream_end((struct stream *)t);
	}
}

void
stream_look(struct feed *f)
{
	struct feed_group *g;
	struct job_view v;
	struct stream *s;
	struct told t;

	if (engine_view(f->web->d.engine, f->id, &v, NULL) != 1) {
		feed_end(f);
		return;
	}
	told_init(&t, &v);
	feed_learn(f, &v);
	/* A final state waits until the log was sent. */
	if (!f->over)
		TAILQ_FOREACH(g, &f->groups, link)
			TAILQ_FOREACH(s, &g->streams, link)
				stream_tell(s, &t);
	told_free(&t);
	feed_wake(f);
}

/* Settling */

static void
stream_finish(struct stream *s, struct told *t)
{
	stream_tell(s, t);
	tell(s, &t->end_event, &t->status, s->form->end);
	stream_end(s);
}

static void
stream_move(struct stream *s, struct feed *to, struct told *t,
	    const struct render *before)
{
	struct render r = *before;

	feed_leave(s);
	feed_unref(s->feed);
	s->feed = to;
	r.steps = &to->steps;
	render_restart(&r, to->attempt);
	if (!to->over)
		stream_tell(s, t);
	feed_join(to, s, LOGREAD_START, &r, false);
}

void
stream_settle(struct feed_group *g)
{
	struct feed *f = g->feed;
	struct told t, earlier;
	struct stream *s;
	struct job_view v;
	struct feed *to;

	if (engine_view(f->web->d.engine, f->id, &v, NULL) != 1) {
		feed_end(f);
		return;
	}
	told_init(&t, &v);
	earlier = t;
	if (v.job.attempt != f->attempt)
		told_earlier(&earlier, f);
	while ((s = TAILQ_FIRST(&g->streams))) {
		if (s->pinned || v.job.attempt <= f->attempt) {
			stream_finish(s, &earlier);
			continue;
		}
		to = feed_get(f->web, f->id, v.job.attempt, NULL, &v.attempt);
		feed_learn(to, &v);
		stream_move(s, to, &t, &g->render);
	}
	told_free(&t);
	told_free(&earlier);
}

/* Beginning */

static struct stream *
stream_new(struct web *w, const struct stream_opts *o)
{
	struct stream *s = slab_get(w->streams);

	s->task.slab = w->streams;
	s->task.release = stream_release;
	s->form = o->form;
	s->pinned = o->pinned;
	s->follow = o->follow;
	s->feed = feed_get(w, o->id, o->attempt, o->spec, &o->view->attempt);
	return s;
}

static void
stream_place(struct stream *s, const struct stream_opts *o)
{
	struct render r = { .form = o->form,
			    .steps = &s->feed->steps,
			    .step = o->step,
			    .times = o->times };

	render_restart(&r, o->attempt);
	if (o->offset > LOGREAD_START || o->tail)
		place_find(s, o, &r);
	else
		feed_join(s->feed, s, LOGREAD_START, &r, false);
}

void
stream_begin(struct web *w, struct http_req r, const struct stream_opts *o)
{
	struct stream *s = stream_new(w, o);
	struct told t;

	web_task_begin(&s->task, w, r);
	http_set_header(r, "Cache-Control", "no-cache");
	http_set_header(r, "X-Accel-Buffering", "no");
	http_stream_start(r, 200, o->form->type);
	if (o->form->beat)
		http_stream_set_beat(r, o->form->beat);
	/* A client that asked for the head only has its answer. */
	if (!http_req_alive(r))
		return;
	told_init(&t, o->view);
	feed_learn(s->feed, o->view);
	if (o->pinned && o->view->job.attempt != o->attempt)
		told_earlier(&t, s->feed);
	stream_tell(s, &t);
	told_free(&t);
	stream_place(s, o);
}
