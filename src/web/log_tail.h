/*
 * log_tail: reads the last part of an attempt's log into step outputs. Loop thread
 * only.
 */
#pragma once

#include "step_output.h"
#include "web_priv.h"

#define LOG_TAIL_MAX (2u << 20)

struct log_tail;

/* fn is called once, later, when out holds what was to be had (out is the caller's and
 * must live as long; it is finished already). Not after log_tail_free(). */
struct log_tail *log_tail_new(struct web *w, const char *id, unsigned attempt,
			      struct step_outputs *out, void (*fn)(void *), void *arg);
void log_tail_free(struct log_tail *t); /* NULL is fine */
