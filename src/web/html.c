#include "html.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

static const char *
entity_of(char c)
{
	switch (c) {
	case '&': return "&amp;";
	case '<': return "&lt;";
	case '>': return "&gt;";
	case '"': return "&quot;";
	case '\'': return "&#39;";
	case '\t':
	case '\n': return NULL;
	default: return (unsigned char)c < 0x20 || c == 0x7f ? "\xef\xbf\xbd" : NULL;
	}
}

void
html_text(struct strbuf *out, const char *text)
{
	cleanup_strbuf struct strbuf valid = { 0 };
	const char *p;

	strbuf_add_utf8(&valid, text, strlen(text));
	for (p = strbuf_str(&valid); *p; p++) {
		const char *entity = entity_of(*p);

		if (entity)
			strbuf_adds(out, entity);
		else
			strbuf_addc(out, *p);
	}
}

void
html_time(struct strbuf *out, int64_t ms)
{
	time_t s = (time_t)(ms / 1000);
	char machine[40], human[40];
	struct tm tm;

	if (ms <= 0)
		return;
	gmtime_r(&s, &tm);
	strftime(machine, sizeof(machine), "%Y-%m-%dT%H:%M:%SZ", &tm);
	strftime(human, sizeof(human), "%Y-%m-%d %H:%M:%S", &tm);
	strbuf_addf(out, "<time datetime=\"%s\">%s</time>", machine, human);
}

void
html_duration(struct strbuf *out, int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		strbuf_addf(out, "%lld ms", (long long)ms);
	else if (s < 60)
		strbuf_addf(out, "%lld.%lld s", (long long)s,
			    (long long)(ms % 1000 / 100));
	else if (s < 3600)
		strbuf_addf(out, "%lld min %lld s", (long long)(s / 60),
			    (long long)(s % 60));
	else
		strbuf_addf(out, "%lld h %lld min", (long long)(s / 3600),
			    (long long)(s / 60 % 60));
}

void
html_bytes(struct strbuf *out, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	uint64_t unit = 1024;
	unsigned i = 0;

	if (bytes < unit) {
		strbuf_addf(out, "%u bytes", (unsigned)bytes);
		return;
	}
	for (; i < 3 && bytes / 1024 >= unit; i++)
		unit *= 1024;
	strbuf_addf(out, "%llu", (unsigned long long)(bytes / unit));
	if (bytes / unit < 10)
		strbuf_addf(out, ".%u", (unsigned)(bytes % unit * 10 / unit));
	strbuf_addf(out, " %s", units[i]);
}
