#include "http_head.h"

#include <json-c/json.h>
#include <string.h>

#include "slipway/log.h"
#include "slipway/mem.h"

static const struct status {
	int status;
	const char *text;
} statuses[] = {
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Content Too Large" },
	{ 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Content" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *
status_text(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].text;
	}
	return "Unknown";
}

static const char *
decimal(size_t n, char buf[24])
{
	char *p = buf + 23;

	*p = '\0';
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	return p;
}

bool
http_status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

/* Answers are many: no formatting here. */
void
http_head_add(struct strbuf *out, const struct http_head *h)
{
	char digits[24];

	strbuf_adds(out, h->http10 ? "HTTP/1.0 " : "HTTP/1.1 ");
	strbuf_adds(out, decimal((size_t)h->status, digits));
	strbuf_addc(out, ' ');
	strbuf_adds(out, status_text(h->status));
	if (h->type) {
		strbuf_adds(out, "\r\nContent-Type: ");
		strbuf_adds(out, h->type);
	}
	if (h->framing == HTTP_FRAME_LENGTH) {
		strbuf_adds(out, "\r\nContent-Length: ");
		strbuf_adds(out, decimal(h->length, digits));
	} else if (h->framing == HTTP_FRAME_CHUNKED) {
		strbuf_adds(out, "\r\nTransfer-Encoding: chunked");
	}
	if (!h->keep)
		strbuf_adds(out, "\r\nConnection: close");
	else if (h->http10)
		strbuf_adds(out, "\r\nConnection: keep-alive");
	strbuf_adds(out, "\r\nX-Content-Type-Options: nosniff\r\n");
	strbuf_add(out, strbuf_str(h->extra), h->extra->len);
	strbuf_adds(out, "\r\n");
}

static void
add_text(struct json_object *o, const char *key, const char *text)
{
	/* Messages may quote what a client sent. */
	cleanup_strbuf struct strbuf valid = { 0 };
	struct json_object *value;

	strbuf_add_utf8(&valid, text, strlen(text));
	value = json_object_new_string_len(strbuf_str(&valid), (int)valid.len);
	if (!value || json_object_object_add(o, key, value) < 0)
		log_fatal(LOG_HTTP, "out of memory for an error's text");
}

void
http_error_add(struct strbuf *out, const char *msg, const char *code, const char *field)
{
	struct json_object *o = json_object_new_object();

	if (!o)
		log_fatal(LOG_HTTP, "out of memory for an error's text");
	add_text(o, "error", msg);
	add_text(o, "code", code);
	if (field && *field)
		add_text(o, "field", field);
	strbuf_adds(out, json_object_to_json_string_ext(
				 o, JSON_C_TO_STRING_PLAIN |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}
