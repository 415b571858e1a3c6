#include "query.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool
query_uint(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		unsigned digit = (unsigned)(*s - '0');

		if (digit > 9 || v > max / 10 || v * 10 > max - digit)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

bool
query_bool(const char *s, bool *out)
{
	if (strcmp(s, "1") == 0 || strcmp(s, "true") == 0)
		*out = true;
	else if (strcmp(s, "0") == 0 || strcmp(s, "false") == 0)
		*out = false;
	else
		return false;
	return true;
}

bool
query_place(const char *s, unsigned *attempt, uint64_t *offset)
{
	const char *dash = strchr(s, '-');
	char number[11];
	uint64_t n = 0;

	*attempt = 0;
	if (dash) {
		size_t len = (size_t)(dash - s);

		if (len >= sizeof(number))
			return false;
		memcpy(number, s, len);
		number[len] = '\0';
		if (!query_uint(number, UINT32_MAX, &n) || n == 0)
			return false;
		*attempt = (unsigned)n;
		s = dash + 1;
	}
	return query_uint(s, INT64_MAX, offset);
}

bool
query_etag_matches(const char *header, const char *etag)
{
	size_t len = strlen(etag);

	while (*header) {
		header += strspn(header, " \t,");
		if (*header == '*')
			return true;
		if (strncmp(header, "W/", 2) == 0)
			header += 2;
		if (strncmp(header, etag, len) == 0 && strchr(" \t,", header[len]))
			return true;
		header += strcspn(header, ",");
	}
	return false;
}

static bool
quality_is_zero(const char *params, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++) {
		if (strncasecmp(params + i, "q=0", 3) != 0)
			continue;
		for (i += 3; i < len && strchr(".0 \t", params[i]); i++)
			;
		return i == len;
	}
	return false;
}

bool
query_accepts(const char *header, const char *type)
{
	size_t len = strlen(type);

	while (*header) {
		size_t item;

		header += strspn(header, " \t,");
		item = strcspn(header, ",");
		if (strncasecmp(header, type, len) == 0 &&
		    (item == len || strchr("; \t", header[len])))
			return !quality_is_zero(header + len, item - len);
		header += item;
	}
	return false;
}

bool
query_host_ok(const char *s)
{
	static const char host[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789.-_:[]";

	return *s && strlen(s) < 300 && s[strspn(s, host)] == '\0';
}

void
query_append(struct strbuf *url, const char *key, const char *value)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	strbuf_addc(url, url->data && strchr(url->data, '?') ? '&' : '?');
	strbuf_adds(url, key);
	strbuf_addc(url, '=');
	for (; *value; value++) {
		if (strchr(plain, *value))
			strbuf_addc(url, *value);
		else
			strbuf_addf(url, "%%%02X", (unsigned char)*value);
	}
}
