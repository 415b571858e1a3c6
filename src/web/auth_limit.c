#include "auth_limit.h"

#include <stdbool.h>
#include <sys/queue.h>
#include <uthash.h>

#include "slipway/mem.h"

#define WINDOW_MS 60000
#define FORGET_MS 600000 /* after a wait without another failure */
#define BURST_MIN 10

struct peer {
	struct netaddr who;
	int64_t since; /* of the failures counted */
	int64_t until; /* no attempt before */
	unsigned failures, waits;
	int64_t next; /* of the bucket */
	UT_hash_handle hh;
	TAILQ_ENTRY(peer) link;
};

struct auth_limit {
	struct peer *peers;	       /* by who */
	TAILQ_HEAD(peers, peer) heard; /* the longest ago first */
	size_t n, max;
};

struct auth_limit *
auth_limit_new(size_t max)
{
	struct auth_limit *l = xcalloc(1, sizeof(*l));

	TAILQ_INIT(&l->heard);
	l->max = max;
	return l;
}

static void
forget(struct auth_limit *l, struct peer *p)
{
	HASH_DEL(l->peers, p);
	TAILQ_REMOVE(&l->heard, p, link);
	l->n--;
	free(p);
}

void
auth_limit_free(struct auth_limit *l)
{
	struct peer *p;

	if (!l)
		return;
	while ((p = TAILQ_FIRST(&l->heard)))
		forget(l, p);
	free(l);
}

static struct peer *
find(const struct auth_limit *l, const struct netaddr *who)
{
	struct peer *p;

	HASH_FIND(hh, l->peers, who, sizeof(*who), p);
	return p;
}

static struct peer *
find_or_add(struct auth_limit *l, const struct netaddr *who)
{
	struct peer *p = find(l, who);

	if (p) {
		TAILQ_REMOVE(&l->heard, p, link);
		TAILQ_INSERT_TAIL(&l->heard, p, link);
		return p;
	}
	if (l->n == l->max)
		forget(l, TAILQ_FIRST(&l->heard));
	p = xcalloc(1, sizeof(*p));
	p->who = *who;
	HASH_ADD(hh, l->peers, who, sizeof(p->who), p);
	TAILQ_INSERT_TAIL(&l->heard, p, link);
	l->n++;
	return p;
}

int64_t
auth_limit_wait(struct auth_limit *l, const struct netaddr *who, int64_t now)
{
	const struct peer *p = find(l, who);

	return p && p->until > now ? p->until - now : 0;
}

void
auth_limit_failed(struct auth_limit *l, const struct netaddr *who, int64_t now)
{
	struct peer *p = find_or_add(l, who);
	int64_t wait = AUTH_LIMIT_WAIT_MS;

	if (p->waits && now - p->until >= FORGET_MS)
		p->waits = p->failures = 0;
	if (!p->waits) {
		if (!p->failures || now - p->since >= WINDOW_MS) {
			p->since = now;
			p->failures = 0;
		}
		if (++p->failures < AUTH_LIMIT_FAILURES)
			return;
	}
	for (unsigned i = 0; i < p->waits && wait < AUTH_LIMIT_WAIT_MAX; i++)
		wait *= 2;
	p->waits++;
	p->until = now + (wait < AUTH_LIMIT_WAIT_MAX ? wait : AUTH_LIMIT_WAIT_MAX);
}

int64_t
auth_limit_burst(int64_t per_minute)
{
	return per_minute / 6 > BURST_MIN ? per_minute / 6 : BURST_MIN;
}

int64_t
auth_limit_bucket(int64_t *next, int64_t now, int64_t per_minute, int64_t burst)
{
	int64_t each = INT64_C(60000000) / per_minute;
	int64_t now_us = now * 1000, wait;

	if (*next < now_us)
		*next = now_us;
	wait = *next - now_us - (burst - 1) * each;
	if (wait > 0)
		return (wait + 999) / 1000;
	*next += each;
	return 0;
}

int64_t
auth_limit_take(struct auth_limit *l, const struct netaddr *who, int64_t now,
		int64_t per_minute)
{
	return auth_limit_bucket(&find_or_add(l, who)->next, now, per_minute,
				 auth_limit_burst(per_minute));
}

size_t
auth_limit_known(const struct auth_limit *l)
{
	return l->n;
}
