/*
 *	start → send ... → [end of turn] flush ┬→ all taken: flowing
 *	                                       └→ socket full: stuck
 *	on_ready: writable → flush → flowing, on_drain;  hung up → gone
 *	on_tick:  flowing and silent → beat;  stuck too long → gone
 *	end → flush → closed
 *
 * All sockets hang in an epoll set of their own, of which the loop watches the one
 * descriptor: an event object for each would cost as much as all that is kept here.
 * They are watched on edges and for everything, always: a socket need not be touched
 * again when it fills up or runs empty.
 *
 * Both lists are ordered by the time of their last progress, so a tick looks only at
 * those whose time has come, and one timer is enough for all.
 */
#include "http_stream.h"

#include <errno.h>
#include <malloc.h>
#include <sys/epoll.h>

#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define EVENTS_AT_ONCE 256
#define TICK_MS 250   /* beats of many streams go out together, but .. */
#define TICK_MOST 256 /* .. not of too many at a time */
#define TICK_NEXT_MS 5
#define HURRY_MS 5000  /* for stuck clients, while the buffers are over their budget */
#define TRIM_AFTER 256 /* streams that began or ended */
#define TRIM_QUIET_MS 50 /* then memory goes back to the kernel */
#define DUMP_STUCK 20

static int64_t
stream_due(const struct http_streams *all, const struct http_stream *s)
{
	if (!s->stuck)
		return s->progress_ms + all->beat_ms;
	if (http_buf_total() > HTTP_BUF_BUDGET && HURRY_MS < all->stall_ms)
		return s->progress_ms + HURRY_MS;
	return s->progress_ms + all->stall_ms;
}

/* The tick comes no later than this stream needs it, and not much earlier. */
static void
tick_for(struct http_streams *all, const struct http_stream *s)
{
	int64_t due = stream_due(all, s), in, least = TICK_MS;

	if (loop_timer_is_set(all->tick) && all->tick_ms <= due)
		return;
	if (all->beat_ms / 4 < least)
		least = all->beat_ms / 4;
	if (all->stall_ms / 4 < least)
		least = all->stall_ms / 4;
	in = due - clock_mono_ms();
	loop_timer_set(all->tick, in < least ? least : in);
	all->tick_ms = due;
}

void
http_streams_progress(struct http_stream *s, int64_t now, bool stuck)
{
	struct http_streams *all = s->all;

	TAILQ_REMOVE(s->stuck ? &all->stuck : &all->flowing, s, link);
	s->progress_ms = now;
	s->stuck = stuck;
	TAILQ_INSERT_TAIL(stuck ? &all->stuck : &all->flowing, s, link);
	tick_for(all, s);
}

/* Writing */

static void
on_flush(void *arg)
{
	struct http_streams *all = arg;
	struct http_stream_queue dirty = STAILQ_HEAD_INITIALIZER(dirty);
	int64_t now = clock_mono_ms();
	struct http_stream *s;

	STAILQ_CONCAT(&dirty, &all->dirty);
	while ((s = STAILQ_FIRST(&dirty))) {
		STAILQ_REMOVE_HEAD(&dirty, next);
		s->dirty = false;
		if (s->fd >= 0)
			http_stream_flush(s, now);
	}
}

void
http_streams_touch(struct http_streams *all, struct http_stream *s)
{
	if (s->dirty || s->stuck)
		return;
	s->dirty = true;
	if (STAILQ_EMPTY(&all->dirty))
		loop_defer(all->loop, on_flush, all);
	STAILQ_INSERT_TAIL(&all->dirty, s, next);
}

/* Time */

/* The first is the oldest. Returns whether there are more whose time has come. */
static bool
beat_silent(struct http_streams *all, int64_t now)
{
	struct http_stream *s;

	for (unsigned n = 0; n < TICK_MOST; n++) {
		s = TAILQ_FIRST(&all->flowing);
		if (!s || now < stream_due(all, s))
			return false;
		http_streams_progress(s, now, false);
		if (s->beats && !s->ended)
			http_stream_append(s, all->beat);
	}
	return true;
}

static void
cut_stuck(struct http_streams *all, int64_t now)
{
	struct http_stream *s;

	while ((s = TAILQ_FIRST(&all->stuck)) && now >= stream_due(all, s)) {
		log_info(LOG_HTTP, "peer=%s takes nothing of its stream, closed",
			 http_stream_peer(s));
		all->cut++;
		http_stream_gone(s);
	}
}

static void
on_tick(void *arg)
{
	struct http_streams *all = arg;
	int64_t now = clock_mono_ms();
	struct http_stream *s;

	cut_stuck(all, now);
	if (beat_silent(all, now)) {
		loop_timer_set(all->tick, TICK_NEXT_MS);
		all->tick_ms = now;
		return;
	}
	loop_timer_stop(all->tick);
	if ((s = TAILQ_FIRST(&all->flowing)))
		tick_for(all, s);
	if ((s = TAILQ_FIRST(&all->stuck)))
		tick_for(all, s);
}

/* Sockets */

static void
on_ready(int fd, unsigned what, void *arg)
{
	struct epoll_event ev[EVENTS_AT_ONCE];
	int64_t now = clock_mono_ms();
	int n = epoll_wait(fd, ev, EVENTS_AT_ONCE, 0);

	if (n < 0 && errno != EINTR)
		log_fatal(LOG_HTTP, "epoll: %s", strerror(errno));
	for (int i = 0; i < n; i++) {
		struct http_stream *s = ev[i].data.ptr;

		if (s->fd >= 0)
			http_stream_ready(s, ev[i].events, now);
	}
}

static void
on_trim(void *arg)
{
	struct http_streams *all = arg;

	all->moved = 0;
	malloc_trim(0);
}

/* Many parsers or streams were freed between smaller things that live on: the allocator
 * keeps such pages unless it is asked. */
static void
streams_moved(struct http_streams *all)
{
	if (++all->moved >= TRIM_AFTER && !loop_timer_is_set(all->trim))
		loop_timer_set(all->trim, TRIM_QUIET_MS);
}

void
http_streams_add(struct http_streams *all, struct http_stream *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				  .data.ptr = s };

	if (epoll_ctl(all->epoll, EPOLL_CTL_ADD, s->fd, &ev) < 0)
		log_fatal(LOG_HTTP, "epoll: %s", strerror(errno));
	TAILQ_INSERT_TAIL(&all->flowing, s, link);
	all->n++;
	streams_moved(all);
	tick_for(all, s);
}

void
http_streams_remove(struct http_stream *s)
{
	struct http_streams *all = s->all;

	/* A child that is about to exec may hold the socket a little longer, and events
	 * would come for it. */
	epoll_ctl(all->epoll, EPOLL_CTL_DEL, s->fd, NULL);
	TAILQ_REMOVE(s->stuck ? &all->stuck : &all->flowing, s, link);
	all->n--;
	streams_moved(all);
}

/* All of them */

struct http_streams *
http_streams_new(struct loop *l, int64_t stall_ms, int64_t beat_ms, struct err *e)
{
	struct http_streams *all = xcalloc(1, sizeof(*all));

	all->loop = l;
	all->stall_ms = stall_ms;
	all->beat_ms = beat_ms;
	TAILQ_INIT(&all->flowing);
	TAILQ_INIT(&all->stuck);
	STAILQ_INIT(&all->dirty);
	all->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (all->epoll < 0) {
		err_sys(e, "epoll");
		free(all);
		return NULL;
	}
	all->slab = slab_new(sizeof(struct http_stream));
	all->watch = loop_fd_new(l, all->epoll, LOOP_READ, on_ready, all);
	all->tick = loop_timer_new(l, on_tick, all);
	all->trim = loop_timer_new(l, on_trim, all);
	return all;
}

static void
on_unused(void *arg)
{
	struct http_streams *all = arg;

	slab_destroy(all->slab);
	free(all);
}

void
http_streams_free(struct http_streams *all)
{
	struct http_stream *s;

	if (!all)
		return;
	while ((s = TAILQ_FIRST(&all->flowing)) || (s = TAILQ_FIRST(&all->stuck)))
		http_stream_gone(s);
	loop_fd_free(all->watch);
	loop_timer_free(all->tick);
	loop_timer_free(all->trim);
	close(all->epoll);
	http_buf_unref(all->beat);
	/* A flush may be due, and their memory is still to be freed. */
	loop_defer(all->loop, on_unused, all);
}

unsigned
http_streams_count(const struct http_streams *all)
{
	return all->n;
}

void
http_streams_dump(const struct http_streams *all, struct strbuf *out)
{
	const struct http_stream *s;
	int64_t now = clock_mono_ms();
	unsigned n = 0;

	strbuf_addf(out, "streams=%u buffers=%zu cut=%llu\n", all->n, http_buf_total(),
		    (unsigned long long)all->cut);
	TAILQ_FOREACH(s, &all->stuck, link) {
		if (n++ == DUMP_STUCK)
			break;
		strbuf_addf(out, "stream=%u peer=%s pending=%zu stuck for %lld ms\n",
			    s->slot, http_stream_peer(s), s->pending,
			    (long long)(now - s->progress_ms));
	}
}
