/*
 * loop: the reactor, over libevent. The only thread that touches jobs, requests
 * and the bus; everything here must be called on it, except loop_post().
 *
 * A turn: callbacks of timers, fds, signals and posts; then what was deferred
 * (loop_defer, until none is left); then the turn-end hooks, in order of their
 * registration; if those deferred something, again. Callbacks record, work that
 * spans objects happens in defer and at turn end. Objects are never freed inside
 * their own callback: they are handed to loop_defer().
 */
#pragma once

#include <stdint.h>

#include "slipway/err.h"

struct loop;
struct loop_timer;
struct loop_fd;
struct loop_signal;

#define LOOP_READ 1u
#define LOOP_WRITE 2u

struct loop *loop_new(struct err *e);
void loop_free(struct loop *l);
/* Runs until loop_stop(); the turn in which it was called is finished first. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Is the caller on the loop's thread? For assertions. */
int loop_is_current(const struct loop *l);

/* One-shot timers. set re-arms; a stopped or fired one may be set again. */
struct loop_timer *loop_timer_new(struct loop *l, void (*on_fire)(void *), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t ms);
void loop_timer_stop(struct loop_timer *t);
int loop_timer_is_set(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is fine */

/* Level-triggered watch; the fd stays the caller's. */
struct loop_fd *loop_fd_new(struct loop *l, int fd, unsigned what,
			    void (*on_ready)(int fd, unsigned what, void *arg),
			    void *arg);
void loop_fd_set(struct loop_fd *f, unsigned what); /* 0 pauses */
void loop_fd_free(struct loop_fd *f);		    /* NULL is fine */

struct loop_signal *loop_signal_new(struct loop *l, int signo,
				    void (*on_signal)(int signo, void *arg), void *arg);
void loop_signal_free(struct loop_signal *s);

/* Run fn once, after the callbacks of this turn, before its end. */
void loop_defer(struct loop *l, void (*fn)(void *), void *arg);
/* Call fn at the end of every turn. */
void loop_on_turn_end(struct loop *l, void (*fn)(void *), void *arg);
/* From any thread: run fn on the loop, in order of posting. */
void loop_post(struct loop *l, void (*fn)(void *), void *arg);
/* For loop/ only: the libevent base. */
struct event_base;
struct event_base *loop_base(struct loop *l);
