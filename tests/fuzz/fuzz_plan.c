/* What slipway-init reads. What decodes encodes to the same. */
#include <stdlib.h>

#include "fuzz.h"
#include "slipway/plan.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan plan = { 0 }, again = { 0 };
	uint8_t *first = NULL, *second = NULL;
	size_t n1, n2;
	const char *why;

	if (!plan_decode(&plan, data, size, &why))
		return 0;
	fuzz_must(plan_encode(&plan, &first, &n1));
	fuzz_must(plan_decode(&again, first, n1, &why));
	fuzz_must(plan_encode(&again, &second, &n2));
	fuzz_must(n1 == n2 && !memcmp(first, second, n1));
	free(first);
	free(second);
	plan_clear(&again);
	plan_clear(&plan);
	return 0;
}
