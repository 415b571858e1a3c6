/* Both directions between the daemon and slipway-worker. */
#include "fuzz.h"
#include "slipway/worker_task.h"

static void
check_fetch(const uint8_t *data, size_t size)
{
	struct worker_fetch t;
	struct wire_w w = { 0 };
	struct err e;

	if (worker_fetch_decode(data, size, &t, &e))
		return;
	fuzz_must(!worker_fetch_encode(&t, &w, &e));
	fuzz_must(w.len == size && !memcmp(w.data, data, size));
	wire_w_free(&w);
	worker_fetch_free(&t);
}

static void
check_output(const uint8_t *data, size_t size)
{
	struct worker_frame f;
	struct err e;
	char sha[WORKER_SHA_LEN + 1], text[128];
	size_t used;

	while (worker_frame_next(data, size, &f, &used) == 1) {
		fuzz_must(used <= size && f.len <= WORKER_FRAME_MAX);
		worker_error_decode(f.data, f.len, &e);
		worker_result_decode(f.data, f.len, sha);
		worker_note_clean(f.data, f.len, text, sizeof(text));
		fuzz_must(strlen(text) < sizeof(text));
		data += used;
		size -= used;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_fetch(data, size);
	check_output(data, size);
	return 0;
}
