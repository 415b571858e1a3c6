#include "feed.h"

#include <string.h>

#include "place.h"
#include "slipway/bus.h"
#include "slipway/db_job.h"
#include "slipway/http_stream.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	join → group at this place, or a new one → go
 *	go   → group whose turn it is: read → on_read → render → a buffer to each stream
 *	                                              → too much in flight: blocked
 *	                                    → nothing more: settle | at the end
 *	on_event → at the end → go;   on_drain → blocked → join
 *
 * The attempt is known to be over only from committed state, and its log to be read
 * fully only by a read that began after that was known.
 */

#define PIECE (64u << 10)
#define RENDERED_MAX (96u << 10)  /* of a piece, and one frame more */
#define IN_FLIGHT_MAX (96u << 10) /* then a stream is blocked; a piece comes on top */
#define READS_PER_TURN 2
#define SHORT_OF_MEMORY_MS 20

static void feed_go(struct feed *f);

/* Groups */

static struct feed_group *
group_new(struct feed *f, uint64_t offset, const struct render *r)
{
	struct feed_group *g = xcalloc(1, sizeof(*g));

	g->feed = f;
	g->offset = offset;
	g->render = *r;
	g->doing = FEED_AT_END;
	g->behind = true;
	TAILQ_INIT(&g->streams);
	TAILQ_INSERT_HEAD(&f->groups, g, link);
	return g;
}

static void
group_set(struct feed_group *g, enum feed_doing doing)
{
	if (g->doing == FEED_READY)
		TAILQ_REMOVE(&g->feed->ready, g, turn);
	g->doing = doing;
	if (doing == FEED_READY)
		TAILQ_INSERT_TAIL(&g->feed->ready, g, turn);
}

static void
group_free_unused(struct feed_group *g)
{
	if (!TAILQ_EMPTY(&g->streams) || g->doing == FEED_READING)
		return;
	group_set(g, FEED_AT_END);
	TAILQ_REMOVE(&g->feed->groups, g, link);
	free(g);
}

static bool
groups_meet(const struct feed_group *a, const struct feed_group *b)
{
	return a != b && a->offset == b->offset && a->damaged == b->damaged &&
	       (a->doing == FEED_BLOCKED) == (b->doing == FEED_BLOCKED) &&
	       render_same(&a->render, &b->render);
}

static struct feed_group *
group_find(const struct feed_group *like)
{
	struct feed_group *g;

	TAILQ_FOREACH(g, &like->feed->groups, link)
		if (groups_meet(g, like))
			return g;
	return NULL;
}

static void
group_put(struct feed_group *g, struct stream *s)
{
	s->group = g;
	TAILQ_INSERT_TAIL(&g->streams, s, link);
}

static void
group_take(struct stream *s)
{
	TAILQ_REMOVE(&s->group->streams, s, link);
	s->group = NULL;
}

/* Where it meets another group its streams go over to that one, which is returned. */
static struct feed_group *
group_merge(struct feed_group *g)
{
	struct feed_group *other = group_find(g);
	struct stream *s;

	if (!other)
		return g;
	TAILQ_FOREACH(s, &g->streams, link)
		s->group = other;
	TAILQ_CONCAT(&other->streams, &g->streams, link);
	return other;
}

/* At the end of the log */

static void
stream_stay(struct stream *s)
{
	if (s->follow)
		http_stream_await(s->task.req);
	else
		stream_end(s);
}

/* These tell what the group does next. */

static enum feed_doing
group_at_end(struct feed_group *g)
{
	struct feed *f = g->feed;
	struct stream *s, *next;

	g->behind = false;
	if (g->read_over) {
		stream_settle(g);
		return FEED_AT_END;
	}
	if (f->over || f->news != g->read_news)
		return FEED_READY;
	for (s = TAILQ_FIRST(&g->streams); s; s = next) {
		next = TAILQ_NEXT(s, link);
		stream_stay(s);
	}
	group_merge(g);
	return FEED_AT_END;
}

/* Sending */

static void
on_drain(void *arg)
{
	struct stream *s = arg;
	struct feed_group *g = s->group;

	http_stream_on_drain(s->task.req, NULL, NULL);
	group_take(s);
	feed_join(g->feed, s, g->offset, &g->render, g->damaged);
	group_free_unused(g);
}

static void
stream_block(struct stream *s, struct feed_group *from)
{
	struct feed_group like = *from, *g;

	like.doing = FEED_BLOCKED;
	g = group_find(&like);
	if (!g) {
		g = group_new(from->feed, from->offset, &from->render);
		g->damaged = from->damaged;
		group_set(g, FEED_BLOCKED);
	}
	group_take(s);
	group_put(g, s);
	http_stream_on_drain(s->task.req, on_drain, s);
}

static void
group_send(struct feed_group *g, const struct strbuf *out)
{
	struct http_buf *b;
	struct stream *s;

	if (!out->len)
		return;
	b = http_buf_new(out->data, out->len);
	TAILQ_FOREACH(s, &g->streams, link)
		http_stream_send(s->task.req, b);
	http_buf_unref(b);
}

/* The rest of the group goes on without them. */
static void
group_leave_behind(struct feed_group *g)
{
	struct stream *s, *next;

	for (s = TAILQ_FIRST(&g->streams); s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (http_stream_pending(s->task.req) > IN_FLIGHT_MAX)
			stream_block(s, g);
	}
}

static enum feed_doing
group_go_on(struct feed_group *g)
{
	struct feed_group *other;

	group_leave_behind(g);
	if (TAILQ_EMPTY(&g->streams))
		return FEED_AT_END;
	other = group_merge(g);
	if (other->doing == FEED_AT_END)
		group_set(other, FEED_READY);
	return FEED_READY;
}

/* Reading */

static enum feed_doing
group_damaged(struct feed_group *g)
{
	static const char text[] = "the log is damaged here and cannot be read on";
	cleanup_strbuf struct strbuf out = { 0 };

	g->render.form->note(&g->render, text, sizeof(text) - 1, true, &out);
	g->render.in_line = false;
	g->damaged = true;
	group_send(g, &out);
	return group_go_on(g);
}

static enum feed_doing
group_failed(struct feed_group *g, const struct err *err)
{
	struct stream *s;

	if (err->code == ERR_NOT_FOUND)
		return group_at_end(g);
	if (err->code == ERR_CORRUPT)
		return group_damaged(g);
	log_warn(LOG_WEB, "job=%s attempt=%u its log cannot be sent on: %s",
		 g->feed->id, g->feed->attempt, err->msg);
	while ((s = TAILQ_FIRST(&g->streams)))
		stream_end(s);
	return FEED_AT_END;
}

static enum feed_doing
group_got(struct feed_group *g, const uint8_t *data, size_t len)
{
	cleanup_strbuf struct strbuf out = { 0 };

	g->behind = len > PIECE / 4;
	g->offset = render_frames(&g->render, data, len, g->offset, RENDERED_MAX, &out);
	group_send(g, &out);
	return group_go_on(g);
}

/* Streams that end leave the group; it stays while it is reading. */
static void
group_done(struct feed_group *g, enum feed_doing next)
{
	group_set(g, next);
	group_free_unused(g);
}

static void
on_read(void *arg, const struct err *err, const uint8_t *data, size_t len,
	uint64_t next)
{
	struct feed *f = arg;
	struct feed_group *g = STEAL(f->reading);

	if (TAILQ_EMPTY(&g->streams))
		group_done(g, FEED_AT_END);
	else if (err)
		group_done(g, group_failed(g, err));
	else if (len == 0)
		group_done(g, group_at_end(g));
	else
		group_done(g, group_got(g, data, len));
	feed_go(f);
}

static void
group_read(struct feed_group *g)
{
	struct feed *f = g->feed;

	g->read_over = f->over;
	g->read_news = f->news;
	group_set(g, FEED_READING);
	if (g->damaged || f->queued) {
		group_done(g, group_at_end(g));
		return;
	}
	f->reading = g;
	f->reads++;
	logread_get(f->log, g->offset, PIECE, on_read, f);
}

/* While memory is short, only who is nearly at the end reads on. */
static struct feed_group *
feed_next(const struct feed *f)
{
	struct feed_group *g = TAILQ_FIRST(&f->ready);

	if (http_buf_total() <= HTTP_BUF_BUDGET)
		return g;
	while (g && g->behind)
		g = TAILQ_NEXT(g, turn);
	return g;
}

/* Sealed logs answer in a later turn, others in this one: so many of them that others
 * get theirs. */
static void
feed_go(struct feed *f)
{
	struct feed_group *g;

	while (f->refs && !f->reading && f->reads < READS_PER_TURN &&
	       (g = feed_next(f)))
		group_read(g);
	if (f->refs && !f->reading && !TAILQ_EMPTY(&f->ready) &&
	    !loop_timer_is_set(f->again))
		loop_timer_set(f->again,
			       f->reads < READS_PER_TURN ? SHORT_OF_MEMORY_MS : 0);
}

static void
on_again(void *arg)
{
	struct feed *f = arg;

	f->reads = 0;
	feed_go(f);
}

void
feed_wake(struct feed *f)
{
	struct feed_group *g;

	f->news++;
	TAILQ_FOREACH(g, &f->groups, link)
		if (g->doing == FEED_AT_END)
			group_set(g, FEED_READY);
	feed_go(f);
}

/* Who publishes may be in the midst of changing things: look when it is done. */
static void
on_look(void *arg)
{
	struct feed *f = arg;

	f->looking = false;
	if (f->refs)
		stream_look(f);
}

static void
on_event(void *arg, const struct bus_event *ev)
{
	struct feed *f = arg;

	if (ev->what == BUS_JOB && !f->looking) {
		f->looking = true;
		loop_defer(f->web->d.loop, on_look, f);
	} else if (ev->what == BUS_LOG) {
		f->reads = 0;
		feed_wake(f);
	} else {
		f->news++;
	}
}

/* Life */

static void
steps_free(struct render_steps *st)
{
	for (size_t i = 0; i < st->n; i++)
		free(st->names[i]);
	free(st->names);
	free(st->started);
}

static void
steps_init(struct render_steps *st, const struct jobspec *spec, const struct attempt *a)
{
	st->n = spec ? spec->nsteps : 0;
	st->names = xcalloc(st->n + 1, sizeof(*st->names));
	st->started = xcalloc(st->n + 1, sizeof(*st->started));
	for (size_t i = 0; i < st->n; i++)
		st->names[i] = xstrdup(spec->steps[i].name);
	/* Who comes in later has not seen these begin. */
	for (size_t i = 0; a && i < st->n && i < a->nsteps; i++)
		st->started[i] = a->steps[i].started_at;
}

static struct feed *
feed_new(struct web *w, const char *key, const char *id, unsigned attempt)
{
	size_t len = strlen(key) + 1;
	struct feed *f = xcalloc(1, sizeof(*f) + len);

	memcpy(f->key, key, len);
	f->web = w;
	STR_COPY(f->id, id);
	f->attempt = attempt;
	TAILQ_INIT(&f->groups);
	TAILQ_INIT(&f->ready);
	f->log = logread_new(w->d.loop, w->d.pool, w->conf->state_dir, id, attempt);
	f->again = loop_timer_new(w->d.loop, on_again, f);
	f->sub = bus_subscribe(w->d.bus, f->id, on_event, f);
	HASH_ADD_STR(w->feeds, key, f);
	return f;
}

struct feed *
feed_get(struct web *w, const char *id, unsigned attempt, const struct jobspec *spec,
	 const struct attempt *a)
{
	char key[JOB_ID_MAX + 16];
	struct jobspec *loaded = NULL;
	struct feed *f;

	snprintf(key, sizeof(key), "%u/%s", attempt, id);
	HASH_FIND_STR(w->feeds, key, f);
	if (!f) {
		f = feed_new(w, key, id, attempt);
		if (!spec)
			spec = loaded = web_spec_load(w, id, NULL);
		steps_init(&f->steps, spec, a && a->number == attempt ? a : NULL);
		jobspec_free(loaded);
	}
	f->refs++;
	return f;
}

static void
feed_free(void *arg)
{
	struct feed *f = arg;
	struct feed_group *g;

	while ((g = TAILQ_FIRST(&f->groups))) {
		TAILQ_REMOVE(&f->groups, g, link);
		free(g);
	}
	steps_free(&f->steps);
	placing_free(f->placing);
	free(f);
}

/* Maybe from inside one of its callbacks. */
void
feed_unref(struct feed *f)
{
	if (--f->refs)
		return;
	HASH_DEL(f->web->feeds, f);
	bus_unsubscribe(f->sub);
	loop_timer_free(f->again);
	logread_free(f->log);
	f->reading = NULL;
	loop_defer(f->web->d.loop, feed_free, f);
}

void
feed_join(struct feed *f, struct stream *s, uint64_t offset, const struct render *r,
	  bool damaged)
{
	struct feed_group *g,
		like = { .feed = f, .offset = offset, .damaged = damaged };

	like.render = *r;
	g = group_find(&like);
	if (!g) {
		g = group_new(f, offset, r);
		g->damaged = damaged;
		group_set(g, FEED_READY);
	}
	group_put(g, s);
	if (g->doing == FEED_AT_END)
		stream_stay(s);
	else
		feed_go(f);
}

void
feed_leave(struct stream *s)
{
	struct feed_group *g = s->group;

	if (!g)
		return;
	group_take(s);
	group_free_unused(g);
}

void
feed_restart(struct feed *f)
{
	struct web *w = f->web;
	struct feed_group *g;

	logread_free(f->log);
	f->log = logread_new(w->d.loop, w->d.pool, w->conf->state_dir, f->id,
			     f->attempt);
	if (f->reading)
		group_done(STEAL(f->reading), FEED_AT_END);
	TAILQ_FOREACH(g, &f->groups, link) {
		g->offset = LOGREAD_START;
		g->damaged = false;
		render_restart(&g->render, f->attempt);
	}
	feed_wake(f);
}

void
feeds_dump(const struct web *w, struct strbuf *out)
{
	static const char *const doing[] = {
		[FEED_READY] = "ready",
		[FEED_READING] = "reading",
		[FEED_AT_END] = "waiting at the end",
		[FEED_BLOCKED] = "blocked",
	};
	const struct feed_group *g;
	struct feed *f, *next;

	HASH_ITER(hh, w->feeds, f, next) {
		strbuf_addf(out, "log job=%s attempt=%u readers=%u%s\n", f->id,
			    f->attempt, f->refs, f->over ? " over" : "");
		TAILQ_FOREACH(g, &f->groups, link) {
			const struct stream *s;
			unsigned n = 0;

			TAILQ_FOREACH(s, &g->streams, link)
				n++;
			strbuf_addf(out, "  readers=%u at %llu %s\n", n,
				    (unsigned long long)g->offset, doing[g->doing]);
		}
	}
}
