#include "pause.h"

#include "engine_priv.h"
#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	engine_set_mode → unit → on_mode_stored → in force, kick, answer
 *	start-up: pause_load → in force
 */

#define KEY "pause"
#define FORMAT 1

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

void
pause_encode(const struct engine_hold *h, struct wire_w *w)
{
	wire_w_u8(w, FORMAT);
	wire_w_u8(w, (uint8_t)h->mode);
	wire_w_i64(w, h->since);
	wire_w_str(w, h->by);
	wire_w_str(w, h->reason);
}

bool
pause_decode(struct engine_hold *h, const void *data, size_t len)
{
	struct wire_r r;
	uint8_t format, mode;

	memset(h, 0, sizeof(*h));
	wire_r_init(&r, data, len);
	format = wire_r_u8(&r);
	mode = wire_r_u8(&r);
	h->since = wire_r_i64(&r);
	wire_r_str_into(&r, h->by, sizeof(h->by));
	wire_r_str_into(&r, h->reason, sizeof(h->reason));
	if (wire_r_done(&r) && format == FORMAT && mode < ENGINE_MODES) {
		h->mode = (enum engine_mode)mode;
		return true;
	}
	memset(h, 0, sizeof(*h));
	return false;
}

int
pause_load(struct engine *en, struct err *e)
{
	struct db_val v;
	char text[ENGINE_HOLD_TEXT_MAX];
	int found = db_get(en->d.db, DB_META, KEY, strlen(KEY), &v, e);

	if (found <= 0)
		return found;
	/* Jobs that start against somebody's will are worse than jobs that wait. */
	if (!pause_decode(&en->hold, v.data, v.len))
		return err_set(e, ERR_CORRUPT, "the stored state of the queue (pause)");
	pause_describe(&en->hold, text, sizeof(text));
	if (*text)
		log_info(LOG_ENGINE, "nothing starts: %s", text);
	return 0;
}

void
pause_describe(const struct engine_hold *h, char *out, size_t size)
{
	if (h->mode == ENGINE_OPEN)
		str_copy(out, size, "");
	else
		snprintf(out, size, "%s by %s%s%s",
			 h->mode == ENGINE_DRAINING ? "draining, as asked" : "paused",
			 h->by, *h->reason ? ": " : "", h->reason);
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
	struct wire_w w = { 0 };

	c->en = en;
	c->fn = fn;
	c->arg = arg;
	c->hold.mode = mode;
	c->hold.since = clock_wall_ms();
	STR_COPY(c->hold.by, by);
	STR_COPY(c->hold.reason, reason);
	pause_encode(&c->hold, &w);
	if (w.failed)
		log_fatal(LOG_ENGINE, "out of memory");
	db_begin(en->d.db, 0);
	db_put(en->d.db, DB_META, KEY, strlen(KEY), w.data, w.len);
	db_end(en->d.db, on_mode_stored, c);
	wire_w_free(&w);
}

void
engine_schedule(struct engine *en)
{
	engine_kick(en);
}
