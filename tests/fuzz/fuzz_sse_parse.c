#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/sse_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_event(void *arg, const struct sse_event *ev)
{
	struct strbuf *seen = arg;

	if (strlen(ev->id) > SSE_LINE_MAX || ev->len > SSE_DATA_MAX ||
	    ev->data[ev->len] != '\0' || !*ev->name)
		abort();
	strbuf_addf(seen, "%s|%s|%d|", ev->name, ev->id, ev->partial);
	strbuf_add(seen, ev->data, ev->len);
	strbuf_addc(seen, '\n');
}

static void
parse(const uint8_t *data, size_t size, size_t piece, struct strbuf *seen)
{
	struct sse_parser p = { .on_event = on_event, .arg = seen };

	for (size_t at = 0; at < size; at += piece)
		if (sse_parser_feed(&p, (const char *)data + at,
				    size - at < piece ? size - at : piece))
			break;
	sse_parser_free(&p);
}

/* In whatever pieces the bytes come, the events are the same. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_strbuf struct strbuf whole = { 0 }, pieces = { 0 };

	if (size < 2)
		return 0;
	parse(data + 1, size - 1, size, &whole);
	parse(data + 1, size - 1, 1 + data[0] % 16, &pieces);
	if (whole.len != pieces.len ||
	    (whole.len && memcmp(whole.data, pieces.data, whole.len) != 0))
		abort();
	return 0;
}
