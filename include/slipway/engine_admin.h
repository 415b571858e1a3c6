/*
 * engine_admin: what an admin may ask of the engine. Loop thread only.
 *
 * As with the verbs of engine.h each call is answered once, from the loop and never from
 * inside the call; arg must survive until then.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/id.h"

struct engine;

/* What an admin asked of the queue. It survives restarts. */
enum engine_mode {
	ENGINE_OPEN,
	ENGINE_PAUSED,	 /* jobs are accepted, none starts */
	ENGINE_DRAINING, /* none is accepted, none starts, those that run go on */
	ENGINE_MODES
};

#define ENGINE_REASON_MAX 200
#define ENGINE_HOLD_TEXT_MAX 300

struct engine_hold {
	enum engine_mode mode;
	int64_t since;
	char by[64];
	char reason[ENGINE_REASON_MAX + 1];
};

const char *engine_mode_name(enum engine_mode mode);
/* Takes effect, and answers, once it is on disk. reason may be "". */
void engine_set_mode(struct engine *en, enum engine_mode mode, const char *by,
		     const char *reason, void (*fn)(void *arg), void *arg);
/* Look for work now; there is never a need to ask. */
void engine_schedule(struct engine *en);

#define ENGINE_FORGOTTEN_IDS 100

struct engine_forgotten {
	unsigned jobs; /* those that went, or would have gone */
	char ids[ENGINE_FORGOTTEN_IDS][JOB_ID_MAX + 1]; /* the first of them */
};
typedef void engine_forget_fn(void *arg, const struct err *err,
			      const struct engine_forgotten *f);
/* Retention, now: answers when it went over all jobs. dry: only tell what would go.
 * ERR_BUSY when too many ask at a time. */
void engine_forget_old(struct engine *en, bool dry, engine_forget_fn *fn, void *arg);
