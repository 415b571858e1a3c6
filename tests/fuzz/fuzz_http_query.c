/*
 * Path, query and header values of a request. The first byte tells which; what decodes
 * must keep the promises of http_query.h.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http_check.h"
#include "http_query.h"
#include "slipway/mem.h"
#include "slipway/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool promise)
{
	if (!promise)
		abort();
}

static bool
has_dot_segment(const char *path)
{
	for (const char *s = path; (s = strchr(s, '/')); s++) {
		size_t len = strcspn(s + 1, "/");

		if ((len == 1 && s[1] == '.') || (len == 2 && !strncmp(s + 1, "..", 2)))
			return true;
	}
	return false;
}

static void
fuzz_path(const char *raw, size_t len)
{
	cleanup_strbuf struct strbuf path = { 0 };

	if (http_path_decode(raw, len, &path, NULL) < 0)
		return;
	require(path.len <= len && strlen(path.data) == path.len);
	require(path.data[0] == '/' && !strstr(path.data, "//"));
	require(utf8_is_valid(path.data, path.len) && !has_dot_segment(path.data));
}

static void
fuzz_query(const char *raw, size_t len)
{
	struct http_query q;

	if (http_query_parse(raw, len, &q, NULL) == 0) {
		require(q.n <= HTTP_QUERY_MAX);
		for (size_t i = 0; i < q.n; i++) {
			const char *value = http_query_get(&q, q.pairs[i].key);

			require(q.pairs[i].key[0] && value == q.pairs[i].value);
			require(utf8_is_valid(value, strlen(value)));
		}
	}
	http_query_free(&q);
}

static void
fuzz_header(const char *raw, size_t len)
{
	cleanup_free char *value = xstrndup(raw, len);
	char local[] = "localhost", local6[] = "::1";
	char *names[] = { local, local6 };
	const struct http_hosts hosts = { names, ARRAY_LEN(names) };
	char name[HTTP_HOST_MAX];

	if (http_host_name(value, name))
		require(name[0] && strlen(name) < sizeof(name));
	if (http_check_origin(value, &hosts))
		require(strcasestr(value, "localhost") || strstr(value, "::1"));
	if (http_check_json(value))
		require(!strncasecmp(value, "application/json", 16));
	if (http_check_header("X", value))
		require(!strpbrk(value, "\r\n"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(const char *, size_t) = { fuzz_path, fuzz_query,
								 fuzz_header };

	if (size)
		targets[data[0] % ARRAY_LEN(targets)]((const char *)data + 1, size - 1);
	return 0;
}
