/*
 * runs: what the engine does with the attempts under way; what they are is in run.h.
 * Loop thread only.
 */
#pragma once

#include <stddef.h>

#include "slipway/engine.h"
#include "slipway/job.h"

struct engine;
struct entry;
struct run;

/* Start the queued job j (its record, committed) on runner index r. */
void run_begin(struct engine *en, struct entry *ent, const struct job *j, size_t r);
/* Recovery: adopt the attempt; its record says how far it got. */
void run_adopt(struct engine *en, struct entry *ent, const struct job *j,
	       const struct attempt *a, size_t r);
void run_cancel(struct run *run, const char *by);
void run_view(const struct run *run, struct job_view *out);
void run_describe(const struct run *run, char *out, size_t size);
/* Drop the handle, leave the sandbox alone. */
void run_detach(struct run *run);
struct run *run_next(struct run *run); /* NULL after the last */
