#include "http_stream.h"

#include "slipway/log.h"
#include "slipway/mem.h"

static size_t buf_total;

struct http_buf *
http_buf_new(const void *data, size_t len)
{
	char size[20];
	int head = snprintf(size, sizeof(size), "%zx\r\n", len);
	struct http_buf *b = malloc(sizeof(*b) + (size_t)head + len + 2);

	if (!b)
		log_fatal(LOG_HTTP, "out of memory for a stream");
	b->refs = 1;
	b->head = (uint8_t)head;
	b->raw = false;
	b->len = len;
	memcpy(b->data, size, b->head);
	memcpy(b->data + head, data, len);
	memcpy(b->data + head + len, "\r\n", 2);
	buf_total += len;
	return b;
}

void
http_buf_unref(struct http_buf *b)
{
	if (!b || --b->refs)
		return;
	buf_total -= b->len;
	free(b);
}

size_t
http_buf_total(void)
{
	return buf_total;
}

struct http_buf *
http_buf_new_raw(const void *data, size_t len)
{
	struct http_buf *b = http_buf_new(data, len);

	b->raw = true;
	return b;
}
