#include "http_check.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "slipway/mem.h"

void
http_hosts_add(struct http_hosts *h, const char *name)
{
	if (http_hosts_has(h, name))
		return;
	h->names = xreallocarray(h->names, h->n + 1, sizeof(*h->names));
	h->names[h->n++] = xstrdup(name);
}

bool
http_hosts_has(const struct http_hosts *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++) {
		if (!strcasecmp(h->names[i], name))
			return true;
	}
	return false;
}

void
http_hosts_free(struct http_hosts *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->names[i]);
	free(h->names);
	h->names = NULL;
	h->n = 0;
}

static bool
is_port(const char *s)
{
	size_t digits = strspn(s, "0123456789");

	return digits > 0 && digits <= 5 && !s[digits];
}

static bool
is_name_char(char c, bool v6)
{
	if (v6)
		return isxdigit((unsigned char)c) || c == ':' || c == '.';
	return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_';
}

bool
http_host_name(const char *value, char name[HTTP_HOST_MAX])
{
	bool v6 = value[0] == '[';
	const char *start = value + v6, *end = start + strcspn(start, v6 ? "]" : ":");
	const char *after = end;
	size_t len = (size_t)(end - start);

	if (v6 && *after++ != ']')
		return false;
	if (*after && (*after != ':' || !is_port(after + 1)))
		return false;
	if (!len || len >= HTTP_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_name_char(start[i], v6))
			return false;
		name[i] = (char)tolower((unsigned char)start[i]);
	}
	name[len] = '\0';
	return true;
}

bool
http_check_host(const char *value, const struct http_hosts *allowed)
{
	char name[HTTP_HOST_MAX];

	return http_host_name(value, name) && http_hosts_has(allowed, name);
}

bool
http_check_origin(const char *value, const struct http_hosts *allowed)
{
	if (!strncasecmp(value, "http://", 7))
		return http_check_host(value + 7, allowed);
	if (!strncasecmp(value, "https://", 8))
		return http_check_host(value + 8, allowed);
	return false;
}

static bool
is_type(const char *value, const char *type)
{
	size_t len = strlen(type);

	if (!value || strncasecmp(value, type, len) != 0)
		return false;
	value += len;
	value += strspn(value, " \t");
	return !*value || *value == ';';
}

bool
http_check_json(const char *content_type)
{
	return is_type(content_type, "application/json");
}

bool
http_check_form(const char *content_type)
{
	return is_type(content_type, "application/x-www-form-urlencoded");
}

bool
http_check_length(const char *value, uint64_t *len)
{
	uint64_t n = 0;

	if (!*value)
		return false;
	for (; *value; value++) {
		if (*value < '0' || *value > '9' || __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*value - '0'), &n))
			return false;
	}
	*len = n;
	return true;
}

bool
http_check_header(const char *name, const char *value)
{
	static const char separators[] = "()<>@,;:\\\"/[]?={} \t";

	if (!*name)
		return false;
	for (; *name; name++) {
		if (*name <= 0x20 || *name >= 0x7f || strchr(separators, *name))
			return false;
	}
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}
