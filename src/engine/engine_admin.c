#include "slipway/engine_admin.h"

#include "engine_priv.h"
#include "pause.h"
#include "retention.h"
#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	engine_set_mode → unit → on_mode_stored → in force, kick, answer
 *	engine_forget_old → retention
 */

struct mode_change {
	struct engine *en;
	struct engine_hold hold;
	void (*fn)(void *arg);
	void *arg;
};

const char *
engine_mode_name(enum engine_mode mode)
{
	static const char *const names[ENGINE_MODES] = {
		[ENGINE_OPEN] = "open",
		[ENGINE_PAUSED] = "paused",
		[ENGINE_DRAINING] = "draining",
	};

	return (unsigned)mode < ENGINE_MODES ? names[mode] : "";
}

static void
on_mode_stored(void *arg, const struct err *err)
{
	struct mode_change *c = arg;
	struct engine *en = c->en;

	(void)err; /* a plain unit does not fail */
	en->hold = c->hold;
	log_info(LOG_ENGINE, "the queue is %s, by %s%s%s",
		 engine_mode_name(en->hold.mode), en->hold.by,
		 *en->hold.reason ? ": " : "", en->hold.reason);
	if (!en->closed)
		engine_kick(en);
	c->fn(c->arg);
	free(c);
}

void
engine_set_mode(struct engine *en, enum engine_mode mode, const char *by,
		const char *reason, void (*fn)(void *arg), void *arg)
{
	struct mode_change *c = xcalloc(1, sizeof(*c));

	c->en = en;
	c->fn = fn;
	c->arg = arg;
	c->hold.mode = mode;
	c->hold.since = clock_wall_ms();
	STR_COPY(c->hold.by, by);
	STR_COPY(c->hold.reason, reason);
	db_begin(en->d.db, 0);
	pause_store(en, &c->hold);
	db_end(en->d.db, on_mode_stored, c);
}

void
engine_schedule(struct engine *en)
{
	engine_kick(en);
}

void
engine_forget_old(struct engine *en, bool dry, engine_forget_fn *fn, void *arg)
{
	retention_ask(en->retention, dry, fn, arg);
}
