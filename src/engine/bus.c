#include "slipway/bus.h"

#include <sys/queue.h>
#include <uthash.h>

#include "slipway/mem.h"

/*
 * Subscribers of one job hang on a topic found by the job's id; those of all jobs on
 * one more list. Publishing walks lists that may change under it: who leaves is only
 * marked dead and swept when no publish is under way, who joins carries a generation
 * younger than the event.
 */

struct bus_sub {
	TAILQ_ENTRY(bus_sub) link;
	struct topic *topic;
	void (*fn)(void *arg, const struct bus_event *ev);
	void *arg;
	uint64_t born;
	bool dead;
};
TAILQ_HEAD(bus_subs, bus_sub);

struct topic {
	UT_hash_handle hh;
	struct bus *bus;
	struct bus_subs subs;
	char job[];
};

struct bus {
	struct topic *topics;
	struct topic *all;
	uint64_t generation;
	unsigned depth;
	bool has_dead;
};

static struct topic *
topic_new(struct bus *b, const char *job)
{
	size_t len = strlen(job) + 1;
	struct topic *t = xcalloc(1, sizeof(*t) + len);

	t->bus = b;
	TAILQ_INIT(&t->subs);
	memcpy(t->job, job, len);
	return t;
}

struct bus *
bus_new(void)
{
	struct bus *b = xcalloc(1, sizeof(*b));

	b->all = topic_new(b, "");
	return b;
}

static void
topic_sweep(struct topic *t, bool everything)
{
	struct bus_sub *s, *next;

	for (s = TAILQ_FIRST(&t->subs); s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (s->dead || everything) {
			TAILQ_REMOVE(&t->subs, s, link);
			free(s);
		}
	}
}

static void
bus_sweep(struct bus *b, bool everything)
{
	struct topic *t, *next;

	topic_sweep(b->all, everything);
	HASH_ITER(hh, b->topics, t, next) {
		topic_sweep(t, everything);
		if (TAILQ_EMPTY(&t->subs)) {
			HASH_DEL(b->topics, t);
			free(t);
		}
	}
	b->has_dead = false;
}

void
bus_free(struct bus *b)
{
	if (!b)
		return;
	bus_sweep(b, true);
	free(b->all);
	free(b);
}

struct bus_sub *
bus_subscribe(struct bus *b, const char *job,
	      void (*fn)(void *arg, const struct bus_event *ev), void *arg)
{
	struct topic *t = b->all;
	struct bus_sub *s;

	if (job) {
		HASH_FIND_STR(b->topics, job, t);
		if (!t) {
			t = topic_new(b, job);
			HASH_ADD_STR(b->topics, job, t);
		}
	}
	s = xcalloc(1, sizeof(*s));
	s->topic = t;
	s->fn = fn;
	s->arg = arg;
	s->born = ++b->generation;
	TAILQ_INSERT_TAIL(&t->subs, s, link);
	return s;
}

void
bus_unsubscribe(struct bus_sub *s)
{
	struct topic *t;
	struct bus *b;

	if (!s)
		return;
	t = s->topic;
	b = t->bus;
	if (b->depth > 0) {
		s->dead = true;
		b->has_dead = true;
		return;
	}
	TAILQ_REMOVE(&t->subs, s, link);
	free(s);
	if (t != b->all && TAILQ_EMPTY(&t->subs)) {
		HASH_DEL(b->topics, t);
		free(t);
	}
}

static void
topic_publish(struct topic *t, uint64_t generation, const struct bus_event *ev)
{
	struct bus_sub *s;

	TAILQ_FOREACH(s, &t->subs, link)
		if (!s->dead && s->born <= generation)
			s->fn(s->arg, ev);
}

void
bus_publish(struct bus *b, const struct bus_event *ev)
{
	uint64_t generation = b->generation;
	struct topic *t;

	b->depth++;
	HASH_FIND_STR(b->topics, ev->job, t);
	if (t)
		topic_publish(t, generation, ev);
	topic_publish(b->all, generation, ev);
	b->depth--;
	if (b->depth == 0 && b->has_dead)
		bus_sweep(b, false);
}
