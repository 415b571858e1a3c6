/*
 * fuzz: what the fuzz targets share.
 */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold, whatever NDEBUG says. */
#define fuzz_must(ok)                                                                  \
	do {                                                                           \
		if (!(ok))                                                             \
			abort();                                                       \
	} while (0)

/* The input as a string; free it. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	return text;
}
