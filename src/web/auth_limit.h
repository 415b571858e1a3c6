/*
 * auth_limit: how fast somebody may go, and how often be wrong. Loop thread only.
 *
 * Who is told apart by 16 bytes, mostly netaddr_site(). At most as many as told at the
 * start are remembered, those heard of last; the clock is the caller's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "slipway/netaddr.h"

#define AUTH_LIMIT_FAILURES 5	   /* free within a minute */
#define AUTH_LIMIT_WAIT_MS 5000	   /* the first wait, doubled with each failure after */
#define AUTH_LIMIT_WAIT_MAX 300000 /* it */

struct auth_limit;

struct auth_limit *auth_limit_new(size_t max);
void auth_limit_free(struct auth_limit *l);

/* Failed attempts: ms until the next one is listened to, 0 for now. */
int64_t auth_limit_wait(struct auth_limit *l, const struct netaddr *who, int64_t now);
void auth_limit_failed(struct auth_limit *l, const struct netaddr *who, int64_t now);

/* Requests: 0 when there is room for one, and then it is taken; else the ms until
 * there is. auth_limit_burst() of them may come at once: a sixth of a minute's. */
int64_t auth_limit_take(struct auth_limit *l, const struct netaddr *who, int64_t now,
			int64_t per_minute);
/* The same for those who are remembered elsewhere; *next is 0 at the beginning. */
int64_t auth_limit_bucket(int64_t *next, int64_t now, int64_t per_minute,
			  int64_t burst);
int64_t auth_limit_burst(int64_t per_minute);
size_t auth_limit_known(const struct auth_limit *l);
