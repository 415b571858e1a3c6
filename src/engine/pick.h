/*
 * pick: which queued job goes to which runner. Loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/job.h"
#include "slipway/runner.h"

struct engine;
struct entry;
struct sched_set;

/* Start what can be started now. */
void engine_pick(struct engine *en);
/* What a set needs, and which runners may serve it. */
struct set_tag {
	struct job_needs needs;
	unsigned generation; /* of the runners that it was made for */
	bool is_readable; /* the needs */
	bool *allowed; /* by runner: by its rules */
	bool *ok;	     /* by runner */
	char why[256]; /* when none */
};
void set_tag_free(void *tag);
/* The name of the set that j belongs to: its needs and the runners that allow it. */
void pick_set_name(struct engine *en, const struct job *j, char *out, size_t size);
/* Does what the set knows of runners still hold? */
bool pick_is_current(const struct engine *en, const struct sched_set *set);
struct set_tag *pick_tag_new(struct engine *en, const struct job *j);
/* Will it start by itself, as far as is known, once those ahead have run? */
bool pick_is_moving(const struct engine *en, const struct entry *ent);
/* What runners can do has changed. */
void pick_refresh(struct engine *en);
void pick_wait_reason(struct engine *en, const struct entry *ent, char *out,
		      size_t size);
