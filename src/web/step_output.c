#include "step_output.h"

#include "render.h"
#include "slipway/mem.h"

void
step_outputs_init(struct step_outputs *o, size_t nsteps)
{
	o->steps = xcalloc(nsteps ? nsteps : 1, sizeof(*o->steps));
	o->n = nsteps;
	o->from_start = true;
}

void
step_outputs_free(struct step_outputs *o)
{
	for (size_t i = 0; i < o->n; i++)
		strbuf_free(&o->steps[i]);
	free(o->steps);
	*o = (struct step_outputs){ 0 };
}

/* Keep the last max bytes, from the beginning of a character on. */
static void
keep_tail(struct strbuf *b, size_t max)
{
	size_t cut;

	if (b->len <= max)
		return;
	cut = b->len - max;
	for (int i = 0; i < 3 && cut < b->len && (b->data[cut] & 0xc0) == 0x80; i++)
		cut++;
	strbuf_consume(b, cut);
}

void
step_outputs_add(struct step_outputs *o, const uint8_t *data, size_t len)
{
	struct frame_walk w;
	const uint8_t *p;
	struct frame f;

	frame_walk_init(&w, data, len, 0);
	while (frame_walk_next(&w, &f, &p)) {
		if (!frame_is_output(&f) || f.step >= o->n)
			continue;
		strbuf_add(&o->steps[f.step], p, f.len);
		/* Now and then, so that a byte is not moved for each that comes. */
		if (o->steps[f.step].len > 4 * STEP_OUTPUT_MAX)
			keep_tail(&o->steps[f.step], STEP_OUTPUT_MAX);
	}
}

void
step_outputs_finish(struct step_outputs *o)
{
	size_t left = STEP_OUTPUTS_MAX;

	for (size_t i = o->n; i-- > 0;) {
		struct strbuf *b = &o->steps[i], valid = { 0 };
		size_t max = left < STEP_OUTPUT_MAX ? left : STEP_OUTPUT_MAX;

		if (!b->len)
			continue;
		keep_tail(b, STEP_OUTPUT_MAX);
		strbuf_add_utf8(&valid, b->data, b->len);
		keep_tail(&valid, max);
		strbuf_free(b);
		*b = valid;
		left -= b->len;
		if (!b->len)
			o->from_start = false;
	}
}

const struct strbuf *
step_outputs_get(const struct step_outputs *o, size_t step)
{
	if (step >= o->n || (!o->steps[step].len && !o->from_start))
		return NULL;
	return &o->steps[step];
}
