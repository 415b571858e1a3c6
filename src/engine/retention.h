/*
 * retention: forgets old jobs, records and logs, in small slices. Loop thread only.
 *
 * A final job goes when it is older than retention.jobs, unless it is among the last
 * retention.keep of its repository's branch. Runs soon after the start, hourly, and when
 * the configuration changed.
 */
#pragma once

#include "slipway/engine_admin.h"

struct engine;
struct retention;

struct retention *retention_new(struct engine *en);
/* Look again now. */
void retention_kick(struct retention *r);
/* A pass for whoever asks; see engine_forget_old(). */
void retention_ask(struct retention *r, bool dry, engine_forget_fn *fn, void *arg);
/* Who still waits for an answer gets ERR_CLOSED. */
void retention_free(struct retention *r);
