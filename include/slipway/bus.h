/*
 * bus: publish and subscribe inside the daemon. Loop thread only.
 *
 * Events tell that something of a job changed and is visible (committed, or in its
 * spool); subscribers read what they need from store, engine or log. Unsubscribing
 * inside a callback is safe; who subscribes during a publish misses that event.
 */
#pragma once

#include "slipway/loop.h"

enum bus_what {
	BUS_JOB,  /* state, phase, attempt, reason or a step's state changed */
	BUS_LOG,  /* the job's spool grew */
	BUS_SEAL, /* the log of the attempt moved to its sealed form */
	BUS_WHATS
};

struct bus_event {
	enum bus_what what;
	const char *job;
	unsigned attempt;
};

struct bus;
struct bus_sub;

struct bus *bus_new(void);
void bus_free(struct bus *b);
/* job NULL: events of all jobs. */
struct bus_sub *bus_subscribe(struct bus *b, const char *job,
			      void (*fn)(void *arg, const struct bus_event *ev), void *arg);
void bus_unsubscribe(struct bus_sub *s); /* NULL is fine */
void bus_publish(struct bus *b, const struct bus_event *ev);
