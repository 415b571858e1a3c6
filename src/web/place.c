#include "place.h"

#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	offset → queue → walk from the last place known → on_boundary → join
 *	tail   → on_tail → count the lines → on_counted ... → join, with the rest to skip
 */

#define COUNT_PIECE (256u << 10)

struct place {
	TAILQ_ENTRY(place) link; /* of those with an offset, in its order */
	struct stream *stream;
	struct render render;
	uint64_t offset;
	/* tail= only: a reader of its own. */
	struct logread *log;
	struct loop_timer *again;
	uint64_t tail, tail_from, counted;
	bool open; /* the line that was counted last */
};
TAILQ_HEAD(place_list, place);

/* Of a feed. */
struct placing {
	struct feed *feed;
	struct logread *log;
	struct place_list waiting;
	uint64_t known; /* a frame begins here */
	uint64_t target;
	bool walking;
};

static void placing_go(struct placing *all);

static bool
place_is_queued(const struct place *p)
{
	return !p->log;
}

static void
place_free(struct place *p)
{
	if (place_is_queued(p))
		TAILQ_REMOVE(&p->stream->feed->placing->waiting, p, link);
	logread_free(p->log);
	loop_timer_free(p->again);
	free(p);
}

void
place_forget(struct place *p)
{
	p->stream->place = NULL;
	place_free(p);
}

static void
place_join(struct place *p, uint64_t offset)
{
	struct stream *s = p->stream;
	struct render r = p->render;

	place_forget(p);
	feed_join(s->feed, s, offset, &r, false);
}

/* Better no answer than one that begins at the wrong place: the client comes again. */
static void
place_fail(struct place *p, const struct err *err)
{
	struct stream *s = p->stream;

	log_warn(LOG_WEB, "job=%s attempt=%u the place to begin in its log: %s",
		 s->feed->id, s->feed->attempt, err->msg);
	place_forget(p);
	stream_end(s);
}

/* Offsets */

static void
on_boundary(void *arg, const struct err *err, const uint8_t *data, size_t len,
	    uint64_t next)
{
	struct placing *all = arg;
	struct place *p, *after;

	all->walking = false;
	if (err && err->code == ERR_NOT_FOUND)
		next = LOGREAD_START;
	else if (!err)
		all->known = next;
	for (p = TAILQ_FIRST(&all->waiting); p && p->offset <= all->target; p = after) {
		after = TAILQ_NEXT(p, link);
		if (p->offset < all->target)
			continue;
		if (err && err->code != ERR_NOT_FOUND)
			place_fail(p, err);
		else
			place_join(p, next);
	}
	placing_go(all);
}

/* The next one behind what is known, else the first of all. */
static void
placing_go(struct placing *all)
{
	struct place *p;

	if (all->walking || TAILQ_EMPTY(&all->waiting) || !all->feed->refs)
		return;
	TAILQ_FOREACH(p, &all->waiting, link)
		if (p->offset >= all->known)
			break;
	if (!p) {
		p = TAILQ_FIRST(&all->waiting);
		all->known = LOGREAD_START;
	}
	all->target = p->offset;
	all->walking = true;
	logread_find_boundary_from(all->log, all->known, p->offset, on_boundary, all);
}

static struct placing *
placing_of(struct feed *f)
{
	struct web *w = f->web;
	struct placing *all = f->placing;

	if (all)
		return all;
	all = f->placing = xcalloc(1, sizeof(*all));
	all->feed = f;
	all->known = LOGREAD_START;
	TAILQ_INIT(&all->waiting);
	all->log = logread_new(w->d.loop, w->d.pool, w->conf->state_dir, f->id,
			       f->attempt);
	return all;
}

void
placing_free(struct placing *all)
{
	if (!all)
		return;
	logread_free(all->log);
	free(all);
}

static void
place_queue(struct place *p)
{
	struct placing *all = placing_of(p->stream->feed);
	struct place *before;

	TAILQ_FOREACH_REVERSE(before, &all->waiting, place_list, link)
		if (before->offset <= p->offset)
			break;
	if (before)
		TAILQ_INSERT_AFTER(&all->waiting, before, p, link);
	else
		TAILQ_INSERT_HEAD(&all->waiting, p, link);
	placing_go(all);
}

/* Tails */

static void
on_counted(void *arg, const struct err *err, const uint8_t *data, size_t len,
	   uint64_t next)
{
	struct place *p = arg;

	if (!err && len > 0) {
		p->counted += render_count(&p->render, data, len, &p->open);
		p->offset = next;
		/* Others have their turn in between. */
		loop_timer_set(p->again, 0);
		return;
	}
	p->render.skip = p->counted > p->tail ? p->counted - p->tail : 0;
	place_join(p, p->tail_from);
}

static void
on_count(void *arg)
{
	struct place *p = arg;

	logread_get(p->log, p->offset, COUNT_PIECE, on_counted, p);
}

static void
on_tail(void *arg, const struct err *err, const uint8_t *data, size_t len,
	uint64_t next)
{
	struct place *p = arg;

	if (err && err->code != ERR_NOT_FOUND) {
		place_fail(p, err);
		return;
	}
	p->offset = p->tail_from = err ? LOGREAD_START : next;
	on_count(p);
}

static void
place_find_tail(struct place *p)
{
	struct feed *f = p->stream->feed;
	struct web *w = f->web;

	p->log = logread_new(w->d.loop, w->d.pool, w->conf->state_dir, f->id,
			     f->attempt);
	p->again = loop_timer_new(w->d.loop, on_count, p);
	p->offset = p->tail_from = LOGREAD_START;
	/* Where a step's last lines are cannot be told from the log's end. */
	if (p->render.step == RENDER_ALL_STEPS)
		logread_find_tail(p->log, (unsigned)p->tail, on_tail, p);
	else
		on_count(p);
}

void
place_find(struct stream *s, const struct stream_opts *o, const struct render *r)
{
	struct place *p = xcalloc(1, sizeof(*p));

	p->stream = s;
	p->render = *r;
	p->offset = o->offset;
	p->tail = o->tail;
	s->place = p;
	if (o->offset > LOGREAD_START)
		place_queue(p);
	else
		place_find_tail(p);
}
