/* The configuration file. What parses prints as what parses to the same. */
#include "fuzz.h"
#include "slipway/conf.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_strbuf struct strbuf first = { 0 }, second = { 0 };
	struct conf *conf, *again;
	struct err e;

	conf = conf_parse((const char *)data, size, "fuzz", false, NULL, 0, &e);
	if (!conf)
		return 0;
	conf_print(conf, &first);
	again = conf_parse(strbuf_str(&first), first.len, "again", false, NULL, 0, &e);
	fuzz_must(again != NULL);
	conf_print(again, &second);
	fuzz_must(first.len == second.len && !memcmp(first.data, second.data, first.len));
	conf_free(again);
	conf_free(conf);
	return 0;
}
