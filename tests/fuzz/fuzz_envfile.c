#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fuzz_check_good(const struct envfile_line *line)
{
	if (!line->name_len || memchr(line->name, 0, line->name_len) ||
	    memchr(line->name, '=', line->name_len))
		abort();
	if (line->name_len >= 8 && memcmp(line->name, "SLIPWAY_", 8) == 0)
		abort();
	if (memchr(line->value, 0, line->value_len) ||
	    memchr(line->value, '\n', line->value_len))
		abort();
	if (line->name[line->name_len] != '=')
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envfile_parser parser = { .p = data, .end = data + size };
	struct envfile_line line;
	unsigned before = 0;

	while (envfile_next(&parser, &line)) {
		if (parser.line <= before)
			abort();
		before = parser.line;
		if (!line.bad)
			fuzz_check_good(&line);
	}
	return 0;
}
