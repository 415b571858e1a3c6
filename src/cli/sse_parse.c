#include "sse_parse.h"

#include <string.h>

static void
event_reset(struct sse_parser *p)
{
	strbuf_reset(&p->data);
	strbuf_reset(&p->name);
	strbuf_reset(&p->next_id);
	p->has_data = p->has_id = p->partial = false;
}

static void
event_dispatch(struct sse_parser *p)
{
	struct sse_event ev = { .partial = p->partial };

	if (p->has_id) {
		strbuf_reset(&p->id);
		strbuf_add(&p->id, p->next_id.data, p->next_id.len);
	}
	if (p->has_data) {
		ev.id = strbuf_str(&p->id);
		ev.name = p->name.len ? p->name.data : "message";
		ev.data = strbuf_str(&p->data);
		ev.len = p->data.len;
		p->on_event(p->arg, &ev);
	}
	event_reset(p);
}

static bool
field_is(const char *line, size_t len, const char *name)
{
	return len == strlen(name) && memcmp(line, name, len) == 0;
}

static int
field_apply(struct sse_parser *p, const char *name, size_t nlen, const char *value,
	    size_t vlen)
{
	if (field_is(name, nlen, "data")) {
		if (p->data.len + vlen + 1 > SSE_DATA_MAX)
			return -1;
		if (p->has_data)
			strbuf_addc(&p->data, '\n');
		strbuf_add(&p->data, value, vlen);
		p->has_data = true;
	} else if (memchr(value, '\0', vlen)) {
		return 0; /* ids and names are strings here */
	} else if (field_is(name, nlen, "event")) {
		strbuf_reset(&p->name);
		strbuf_add(&p->name, value, vlen);
	} else if (field_is(name, nlen, "id")) {
		strbuf_reset(&p->next_id);
		strbuf_add(&p->next_id, value, vlen);
		p->has_id = true;
	}
	return 0;
}

static int
line_apply(struct sse_parser *p)
{
	const char *line = strbuf_str(&p->line);
	size_t len = p->line.len, nlen, at;
	const char *colon;

	if (!p->begun && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3;
		len -= 3;
	}
	p->begun = true;
	if (len == 0) {
		event_dispatch(p);
		return 0;
	}
	if (*line == ':') {
		p->partial = p->partial || field_is(line, len, ": partial");
		return 0;
	}
	colon = memchr(line, ':', len);
	nlen = colon ? (size_t)(colon - line) : len;
	at = colon ? nlen + 1 : len;
	if (at < len && line[at] == ' ')
		at++;
	return field_apply(p, line, nlen, line + at, len - at);
}

static int
line_end(struct sse_parser *p)
{
	int rc = line_apply(p);

	strbuf_reset(&p->line);
	return rc;
}

int
sse_parser_feed(struct sse_parser *p, const char *data, size_t len)
{
	const char *end = data + len;

	while (data < end) {
		const char *from = data;

		if (p->after_cr && *data == '\n')
			from = ++data;
		p->after_cr = false;
		while (data < end && *data != '\n' && *data != '\r')
			data++;
		if (p->line.len + (size_t)(data - from) > SSE_LINE_MAX)
			return -1;
		strbuf_add(&p->line, from, (size_t)(data - from));
		if (data == end)
			break;
		p->after_cr = *data++ == '\r';
		if (line_end(p))
			return -1;
	}
	return 0;
}

void
sse_parser_restart(struct sse_parser *p)
{
	event_reset(p);
	strbuf_reset(&p->line);
	p->begun = p->after_cr = false;
}

void
sse_parser_free(struct sse_parser *p)
{
	strbuf_free(&p->line);
	strbuf_free(&p->data);
	strbuf_free(&p->name);
	strbuf_free(&p->id);
	strbuf_free(&p->next_id);
}
