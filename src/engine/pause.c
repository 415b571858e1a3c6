#include "pause.h"

#include "engine_priv.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define KEY "pause"
#define FORMAT 1

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

void
pause_store(struct engine *en, const struct engine_hold *h)
{
	struct wire_w w = { 0 };

	pause_encode(h, &w);
	if (w.failed)
		log_fatal(LOG_ENGINE, "out of memory");
	db_put(en->d.db, DB_META, KEY, strlen(KEY), w.data, w.len);
	wire_w_free(&w);
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
