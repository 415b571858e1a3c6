/* A spool: headers, their order, and the payloads that have a form. */
#include "fuzz.h"
#include "slipway/frame.h"

static void
payload_read(struct frame_seq *seq, const struct frame *f, const uint8_t *p)
{
	struct step_end end;

	if (f->type == FRAME_JOB_START && f->len >= 2)
		frame_seq_job_start(seq, (uint16_t)(p[0] | p[1] << 8));
	if (f->type == FRAME_STEP_END)
		step_end_decode(&end, p, f->len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frame_seq seq = { 0 };
	struct frame f;

	if (size < SPOOL_HEADER_LEN || !spool_header_ok(data))
		return 0;
	for (size_t at = SPOOL_HEADER_LEN; size - at >= FRAME_HEADER_LEN;) {
		frame_decode(&f, data + at);
		if (frame_check(&seq, &f))
			return 0;
		fuzz_must(f.len <= FRAME_PAYLOAD_MAX && f.type < FRAME_TYPES);
		at += FRAME_HEADER_LEN;
		if (f.len > size - at)
			return 0;
		payload_read(&seq, &f, data + at);
		at += f.len;
	}
	return 0;
}
