/* The store's records: a job, an attempt, the state of the queue. What decodes encodes to
 * the same; a record of an older version, to one that does. */
#include <stdlib.h>

#include "fuzz.h"
#include "pause.h"
#include "slipway/job.h"

#define VERSION_SIZE 2

static bool
is_older(const uint8_t *data, const struct wire_w *w)
{
	return memcmp(w->data, data, VERSION_SIZE) != 0;
}

static void
check_job(const uint8_t *data, size_t size)
{
	struct job *j = calloc(1, sizeof(*j));
	struct wire_w w = { 0 };

	if (job_decode(j, data, size)) {
		job_encode(j, &w);
		fuzz_must(!w.failed);
		if (is_older(data, &w))
			check_job(w.data, w.len);
		else
			fuzz_must(w.len == size && !memcmp(w.data, data, size));
	}
	wire_w_free(&w);
	free(j);
}

static void
check_attempt(const uint8_t *data, size_t size)
{
	struct attempt *a = calloc(1, sizeof(*a));
	struct wire_w w = { 0 };

	if (attempt_decode(a, data, size)) {
		attempt_encode(a, &w);
		fuzz_must(!w.failed && w.len == size && !memcmp(w.data, data, size));
	}
	wire_w_free(&w);
	free(a);
}

static void
check_pause(const uint8_t *data, size_t size)
{
	struct engine_hold h;
	struct wire_w w = { 0 };

	if (pause_decode(&h, data, size)) {
		pause_encode(&h, &w);
		fuzz_must(!w.failed && w.len == size && !memcmp(w.data, data, size));
	}
	wire_w_free(&w);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] & 2)
		check_pause(data + 1, size - 1);
	else if (data[0] & 1)
		check_job(data + 1, size - 1);
	else
		check_attempt(data + 1, size - 1);
	return 0;
}
