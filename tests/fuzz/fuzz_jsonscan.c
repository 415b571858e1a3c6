/* Strict JSON: what passes, json-c must be able to read, too. */
#include <json-c/json.h>

#include "fuzz.h"
#include "slipway/jsonscan.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_tokener *tok;
	struct err e;

	if (jsonscan_check((const char *)data, size, 16, &e))
		return 0;
	tok = json_tokener_new_ex(32);
	json_object_put(json_tokener_parse_ex(tok, (const char *)data, (int)size));
	fuzz_must(json_tokener_get_error(tok) == json_tokener_success ||
		  json_tokener_get_error(tok) == json_tokener_continue);
	json_tokener_free(tok);
	return 0;
}
