/* The evidence that a sandbox leaves behind. */
#include "fuzz.h"
#include "local_status.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct local_status st = { 0 };

	if (local_status_parse(&st, (const char *)data, size) && st.has_exit)
		fuzz_must(st.exit_code >= 0 && st.exit_code <= 255);
	return 0;
}
