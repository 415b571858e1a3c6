/* A job as submitted. What parses has a canonical form that parses to itself. */
#include <stdlib.h>

#include "fuzz.h"
#include "slipway/jobspec.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_strbuf struct strbuf first = { 0 }, second = { 0 };
	cleanup_jobspec struct jobspec *spec = NULL, *again = NULL;
	struct job_needs needs;
	char text[512];
	struct err e;

	spec = jobspec_parse((const char *)data, size, &e);
	if (!spec)
		return 0;
	jobspec_to_json(spec, &first);
	again = jobspec_parse(strbuf_str(&first), first.len, &e);
	fuzz_must(again != NULL);
	jobspec_to_json(again, &second);
	fuzz_must(first.len == second.len && !memcmp(first.data, second.data, first.len));
	if (jobspec_needs(spec, NETWORK_ISOLATED, text, sizeof(text)))
		fuzz_must(job_needs_parse(&needs, text));
	return 0;
}
