#include "page.h"

#include <stdio.h>
#include <string.h>

#include "slipway/clock.h"
#include "slipway/mem.h"

/* Drawn by lines in a square of 16. */
static const struct {
	const char *name, *shape;
} icons[] = {
	{ "success", "<circle cx=\"8\" cy=\"8\" r=\"6.5\"/>"
		     "<path d=\"m5 8.3 2.1 2.1L11.2 6\"/>" },
	{ "failure", "<circle cx=\"8\" cy=\"8\" r=\"6.5\"/>"
		     "<path d=\"m5.8 5.8 4.4 4.4m0-4.4-4.4 4.4\"/>" },
	{ "timeout",
	  "<circle cx=\"8\" cy=\"8\" r=\"6.5\"/><path d=\"M8 4.5V8l2.4 1.6\"/>" },
	{ "cancelled",
	  "<circle cx=\"8\" cy=\"8\" r=\"6.5\"/><path d=\"m3.6 12.4 8.8-8.8\"/>" },
	{ "skipped", "<circle cx=\"8\" cy=\"8\" r=\"6.5\"/><path d=\"M5.2 8h5.6\"/>" },
	{ "queued", "<circle cx=\"8\" cy=\"8\" r=\"6.5\" stroke-dasharray=\"2.3 2.8\"/>"
		    "<path d=\"M8 7.99V8\"/>" },
	{ "pending",
	  "<circle cx=\"8\" cy=\"8\" r=\"6.5\" stroke-dasharray=\"2.3 2.8\"/>" },
	{ "running", "<circle cx=\"8\" cy=\"8\" r=\"6.5\" opacity=\".3\"/>"
		     "<path d=\"M8 1.5A6.5 6.5 0 0 1 14.5 8\"/>" },
	{ "branch",
	  "<circle cx=\"4.5\" cy=\"3.5\" r=\"1.7\"/><circle cx=\"4.5\" cy=\"12.5\" "
	  "r=\"1.7\"/><circle cx=\"11.5\" cy=\"5\" r=\"1.7\"/>"
	  "<path d=\"M4.5 5.2v5.6m7-4.1c0 2.6-4 2.3-6.4 4.2\"/>" },
	{ "commit",
	  "<circle cx=\"8\" cy=\"8\" r=\"2.8\"/><path d=\"M1 8h4.2m5.6 0H15\"/>" },
	{ "runner", "<rect x=\"1.8\" y=\"2.8\" width=\"12.4\" height=\"4.4\" rx=\"1\"/>"
		    "<rect x=\"1.8\" y=\"8.8\" width=\"12.4\" height=\"4.4\" rx=\"1\"/>"
		    "<path d=\"M4.5 5h.01m-.01 6h.01\"/>" },
	{ "search",
	  "<circle cx=\"7\" cy=\"7\" r=\"4.8\"/><path d=\"m10.6 10.6 3.9 3.9\"/>" },
	{ "boat",
	  "<path d=\"M1.2 14.6 14.8 11M2.6 8.2l10.8-2.9c.3 2.3-.7 4-2.4 4.5l-5 1.3"
	  "c-1.6.4-2.9-.6-3.4-2.9ZM7.3 6.8 6.1 2.2l3.7 3.9\"/>" },
};

void
page_icon(struct strbuf *out, const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(icons); i++)
		if (strcmp(icons[i].name, name) == 0)
			strbuf_addf(out,
				    "<svg class=\"icon icon-%s\" viewBox=\"0 0 16 16\" "
				    "aria-hidden=\"true\">%s</svg>",
				    name, icons[i].shape);
}

void
page_badge(struct strbuf *out, enum job_state state)
{
	const char *name = job_state_name(state);

	strbuf_addf(out, "<span class=\"badge s-%s\">", name);
	page_icon(out, name);
	strbuf_addf(out, "<span>%s</span></span>", name);
}

static void
add_ago(struct strbuf *out, int64_t ms)
{
	static const struct {
		int64_t ms;
		const char *unit;
	} units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "min" } };

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (ms < units[i].ms)
			continue;
		strbuf_addf(out, "%lld %s ago", (long long)(ms / units[i].ms),
			    units[i].unit);
		return;
	}
	strbuf_adds(out, "just now");
}

void
page_ago(struct page *p, int64_t ms)
{
	char iso[CLOCK_ISO_SIZE];

	if (ms <= 0)
		return;
	clock_format_iso(ms, iso);
	strbuf_addf(&p->html,
		    "<time data-ago datetime=\"%s\" title=\"%.10s %.8s UTC\">", iso,
		    iso, iso + 11);
	add_ago(&p->html, p->now - ms);
	strbuf_adds(&p->html, "</time>");
}

void
page_duration(struct page *p, int64_t from, int64_t to)
{
	if (from <= 0 || (to > 0 && to < from))
		return;
	if (to > 0) {
		html_duration(&p->html, to - from);
		return;
	}
	/* Clocks differ: what passed until now is told, and counted on from there. */
	strbuf_addf(&p->html, "<span data-elapsed=\"%lld\">",
		    (long long)(p->now > from ? p->now - from : 0));
	html_duration(&p->html, p->now > from ? p->now - from : 0);
	strbuf_adds(&p->html, "</span>");
}

void
page_repo_name(struct strbuf *out, const char *repo)
{
	cleanup_free char *name = xstrdup(repo);
	size_t len = strlen(name);
	char *p;

	while (len > 1 && name[len - 1] == '/')
		name[--len] = '\0';
	if (len > 4 && strcmp(name + len - 4, ".git") == 0)
		name[len -= 4] = '\0';
	p = name + len;
	for (unsigned parts = 0; p > name; p--) {
		/* Who logs in to fetch it is no part of the name. */
		if (strchr("/:@", p[-1]) && ++parts == 2)
			break;
	}
	html_text(out, *p ? p : repo);
}

void
page_commit(struct strbuf *out, const char *commit)
{
	char shown[256];
	bool sha = strlen(commit) >= 40 &&
		   strspn(commit, "0123456789abcdef") == strlen(commit);

	snprintf(shown, sizeof(shown), sha ? "%.10s" : "%s", commit);
	strbuf_adds(out, "<code title=\"");
	html_text(out, commit);
	strbuf_adds(out, "\">");
	html_text(out, shown);
	strbuf_adds(out, "</code>");
}

void
page_number(struct strbuf *out, uint64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			strbuf_addc(out, ',');
		strbuf_addc(out, digits[i]);
	}
}

void
page_href(struct strbuf *out, const struct strbuf *url)
{
	strbuf_adds(out, " href=\"");
	html_text(out, strbuf_str(url));
	strbuf_addc(out, '"');
}
