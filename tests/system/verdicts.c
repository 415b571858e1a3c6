/*
 * verdicts: what http_guard says, for test_guard.py to hold its own model against. Reads
 * from standard input records of a length (4 bytes, little endian) and so many bytes,
 * and prints a line for each: "more", "head END METHOD LENGTH" or a status.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_guard.h"

#define RECORD_MAX (1u << 20)

static void
print_verdict(const void *bytes, size_t len)
{
	struct http_guard g = { 0 };

	switch (http_guard_check(&g, bytes, len)) {
	case HTTP_GUARD_MORE: puts("more"); break;
	case HTTP_GUARD_REFUSED: printf("%d\n", g.refusal->status); break;
	case HTTP_GUARD_HEAD:
		printf("head %d %s %" PRIu64 "\n", g.end, g.method, g.content_length);
		break;
	}
}

int
main(void)
{
	static unsigned char size[4], record[RECORD_MAX];

	while (fread(size, sizeof(size), 1, stdin) == 1) {
		size_t len = size[0] | (size_t)size[1] << 8 | (size_t)size[2] << 16 |
			     (size_t)size[3] << 24;

		if (len > RECORD_MAX || (len && fread(record, len, 1, stdin) != 1))
			return EXIT_FAILURE;
		print_verdict(record, len);
	}
	return ferror(stdin) || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
