#include "page.h"

#include <stdio.h>
#include <string.h>

#include "lines_view.h"
#include "query.h"
#include "slipway/mem.h"
#include "ui_files.h"

/*
 * A page names its files by their content's hash, so browsers may keep them for ever,
 * and an upgrade is seen at once. A name with another hash comes from a page of another
 * version: it gets what there is, but may not keep it.
 */

static const struct {
	const char *end, *type;
} types[] = {
	{ ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".svg", "image/svg+xml" },
};

/* The rules of the palette are made, not written. */
static const struct ui_file *
palette(void)
{
	static struct strbuf css;
	static struct ui_file file = { .name = "ansi.css" };
	static char hash[17];
	uint64_t h = 0xcbf29ce484222325;

	if (file.data)
		return &file;
	ansi_css(&css);
	for (size_t i = 0; i < css.len; i++)
		h = (h ^ (unsigned char)css.data[i]) * 0x100000001b3;
	snprintf(hash, sizeof(hash), "%012llx",
		 (unsigned long long)(h ^ h >> 48) & 0xffffffffffff);
	file.hash = hash;
	file.data = (unsigned char *)css.data;
	file.len = css.len;
	return &file;
}

static const struct ui_file *
ui_find(const char *name)
{
	for (const struct ui_file *f = ui_files; f->name; f++)
		if (strcmp(f->name, name) == 0)
			return f;
	return strcmp(name, "ansi.css") == 0 ? palette() : NULL;
}

void
ui_path(struct strbuf *out, const char *name)
{
	const struct ui_file *f = ui_find(name);

	strbuf_addf(out, "ui/%s/%s", f ? f->hash : "0", name);
}

static const char *
type_of(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		size_t n = strlen(types[i].end);

		if (len > n && strcmp(name + len - n, types[i].end) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

void
page_ui(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	const char *rest = http_req_rest(r), *slash = strchr(rest, '/');
	const struct ui_file *f = slash ? ui_find(slash + 1) : NULL;
	const char *known = http_req_header(r, "If-None-Match");
	struct err e = { 0 };
	char etag[32];

	if (!web_query_only(r, allowed))
		return;
	if (!f) {
		err_set(&e, ERR_NOT_FOUND, "there is no such file");
		http_reply_err(r, &e);
		return;
	}
	snprintf(etag, sizeof(etag), "\"%s\"", f->hash);
	http_set_header(r, "ETag", etag);
	http_set_header(r, "Cache-Control",
			strncmp(rest, f->hash, strlen(f->hash)) == 0
				? "public, max-age=31536000, immutable"
				: "no-cache");
	if (known && query_etag_matches(known, etag))
		http_reply(r, 304, NULL, NULL, 0);
	else
		http_reply(r, 200, type_of(f->name), f->data, f->len);
}
