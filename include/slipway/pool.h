/*
 * pool: threads for what may block, in lanes that cannot starve each other.
 *
 * A task is {work, done, arg}: work runs on a thread of its lane, done on the loop
 * afterwards, always exactly once each. arg is a private copy of the inputs plus an
 * id; it never points at live objects, done looks them up and drops the result when
 * they are gone. Queues are bounded: submit refuses, it never waits.
 */
#pragma once

#include "slipway/err.h"
#include "slipway/loop.h"

enum pool_lane {
	POOL_IO,       /* short calls: fdatasync, mkdir, rename (2 threads) */
	POOL_TRANSFER, /* sealing, reading sealed logs, cleaning (one per core) */
	POOL_FETCH,    /* git (8 threads) */
	POOL_LANES
};

struct pool;

struct pool *pool_new(struct loop *l, struct err *e);
/* Takes no more tasks, waits for those running and queued, calls their done. */
void pool_stop(struct pool *p);
/* Stops it first, if that was not done. */
void pool_free(struct pool *p);
/* ERR_BUSY when 4096 tasks wait in the lane, ERR_CLOSED when the pool is stopping. On
 * failure nothing was taken. */
int pool_submit(struct pool *p, enum pool_lane lane, void (*work)(void *),
		void (*done)(void *), void *arg, struct err *e);
/* Is the pool being stopped? Long work asks now and then and gives up. */
int pool_is_stopping(const struct pool *p);
/* Tasks waiting or running in a lane; loop thread only, for dumps. */
unsigned pool_load(const struct pool *p, enum pool_lane lane);
