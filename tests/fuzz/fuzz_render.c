#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/utf8.h"
#include "web/render.h"
#include "web/step_output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
render_piece(const struct render_form *form, struct render *r, const uint8_t *data,
	     size_t size, struct strbuf *out)
{
	struct render begun;
	cleanup_strbuf struct strbuf halves = { 0 };
	uint64_t at;

	r->form = form;
	render_restart(r, 1);
	r->skip = size ? data[0] % 4 : 0;
	begun = *r;
	memset(r->steps->started, 0, r->steps->n * sizeof(int64_t));
	at = render_frames(r, data, size, 0, SIZE_MAX, out);
	/* The same in two pieces. */
	*r = begun;
	memset(r->steps->started, 0, r->steps->n * sizeof(int64_t));
	at = render_frames(r, data, size, 0, 1, &halves);
	render_frames(r, data + at, size - at, at, SIZE_MAX, &halves);
	if (halves.len != out->len || memcmp(strbuf_str(&halves), strbuf_str(out), out->len))
		abort();
}

/* What a spool may hold, in both forms and as step outputs. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char a[] = "a", b[] = "b", *names[] = { a, b };
	int64_t started[2] = { 0 };
	struct render_steps steps = { 2, names, started };
	struct render r = { .step = RENDER_ALL_STEPS, .steps = &steps };
	cleanup_strbuf struct strbuf sse = { 0 }, text = { 0 };
	struct step_outputs o;
	bool open = false;

	render_piece(&render_sse, &r, data, size, &sse);
	if (!utf8_is_valid(strbuf_str(&sse), sse.len))
		abort();
	if (sse.len && (sse.len < 2 || memcmp(sse.data + sse.len - 2, "\n\n", 2) != 0))
		abort();
	render_piece(&render_text, &r, data, size, &text);
	if (render_count(&r, data, size, &open) > size)
		abort();
	step_outputs_init(&o, 2);
	step_outputs_add(&o, data, size);
	step_outputs_finish(&o);
	for (size_t i = 0; i < 2; i++)
		if (!utf8_is_valid(strbuf_str(&o.steps[i]), o.steps[i].len))
			abort();
	step_outputs_free(&o);
	return 0;
}
