/*
 * out: what a task tells the daemon, as frames on a pipe. Everything passes a mask of
 * the task's tokens first. Lines are bounded in length and number: a server can send
 * progress without end.
 */
#pragma once

#include <stdbool.h>

#include "slipway/err.h"
#include "slipway/worker_task.h"

struct out;

struct out *out_new(int fd, const struct worker_fetch *task);
void out_free(struct out *o);
void out_note(struct out *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void out_warn(struct out *o, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void out_error(struct out *o, const struct err *e);
void out_result(struct out *o, const char *sha);
