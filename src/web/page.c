#include "page.h"

#include <string.h>

#include "slipway/clock.h"
#include "slipway/mem.h"
#include "slipway/version.h"

static const char policy[] =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
	"connect-src 'self'; base-uri 'none'; form-action 'self'; "
	"frame-ancestors 'none'; require-trusted-types-for 'script'; "
	"trusted-types 'none'";

static void
add_asset(struct page *p, const char *before, const char *name, const char *after)
{
	strbuf_addf(&p->html, "%s%s", before, p->root);
	ui_path(&p->html, name);
	strbuf_adds(&p->html, after);
}

static void
add_head(struct page *p, const struct page_head *head)
{
	strbuf_addf(&p->html,
		    "<!doctype html>\n<html lang=\"en\" data-root=\"%s\" "
		    "data-view=\"%s\"",
		    p->root, head->view);
	if (head->version) {
		strbuf_adds(&p->html, " data-version=\"");
		html_text(&p->html, head->version);
		strbuf_addc(&p->html, '"');
	}
	strbuf_adds(&p->html, ">\n<head>\n<meta charset=\"utf-8\">\n"
			      "<meta name=\"viewport\" content=\"width=device-width,"
			      "initial-scale=1\">\n<meta name=\"color-scheme\" "
			      "content=\"light dark\">\n<title>");
	html_text(&p->html, head->title);
	strbuf_adds(&p->html, " · slipway</title>\n");
	if (head->go) {
		strbuf_adds(&p->html, "<meta http-equiv=\"refresh\" content=\"0;url=");
		html_text(&p->html, head->go);
		strbuf_adds(&p->html, "\">\n");
	}
	if (head->refresh)
		strbuf_addf(&p->html,
			    "<noscript><meta http-equiv=\"refresh\" content=\"%u\">"
			    "</noscript>\n",
			    head->refresh);
	add_asset(p, "<link rel=\"icon\" type=\"image/svg+xml\" href=\"", "icon.svg",
		  "\">\n");
	add_asset(p, "<link rel=\"stylesheet\" href=\"", "app.css", "\">\n");
	add_asset(p, "<link rel=\"stylesheet\" href=\"", "ansi.css", "\">\n");
	add_asset(p, "<script type=\"module\" src=\"", "app.js", "\"></script>\n");
	strbuf_adds(&p->html, "</head>\n");
}

static void
add_user(struct page *p, const char *user)
{
	strbuf_addf(&p->html,
		    "<form class=\"user\" method=\"post\" action=\"%slogout\">"
		    "<span>",
		    p->root);
	html_text(&p->html, user);
	strbuf_adds(&p->html, "</span><button class=\"quiet\">Log out</button></form>");
}

void
page_begin(struct page *p, struct web *w, struct http_req r, const char *root,
	   const struct page_head *head)
{
	*p = (struct page){ .web = w, .req = r, .root = root, .now = clock_wall_ms() };
	add_head(p, head);
	strbuf_addf(&p->html,
		    "<body>\n<a class=\"skip\" href=\"#main\">Skip to content</a>\n"
		    "<header class=\"top\"><a class=\"brand\" href=\"%sdashboard\">",
		    root);
	page_icon(&p->html, "boat");
	strbuf_adds(&p->html, "slipway</a>");
	if (!head->bare)
		strbuf_addf(&p->html,
			    "<nav aria-label=\"Site\"><a href=\"%sdashboard\"%s>Jobs"
			    "</a></nav>",
			    root,
			    strcmp(head->view, "jobs") == 0 ? " aria-current=\"page\""
							    : "");
	if (auth_has_session(w->auth, r))
		add_user(p, "logged in");
	strbuf_adds(&p->html, "</header>\n<main id=\"main\">\n");
}

void
page_reply(struct page *p, int status)
{
	strbuf_adds(&p->html,
		    "</main>\n<p class=\"sr\" role=\"status\" id=\"told\"></p>\n"
		    "<footer>slipway " SLIPWAY_VERSION "</footer>\n</body>\n</html>\n");
	http_set_header(p->req, "Content-Security-Policy", policy);
	http_set_header(p->req, "Referrer-Policy", "same-origin");
	http_set_header(p->req, "Cache-Control", "no-cache");
	http_reply(p->req, status, "text/html; charset=utf-8", p->html.data,
		   p->html.len);
	strbuf_free(&p->html);
}

void
page_error(struct web *w, struct http_req r, const char *root, const struct err *e)
{
	int status = err_http_status(e->code);
	const struct page_head head = {
		.title = status == 404 ? "Not found" : "That did not work",
		.view = "",
	};
	struct page p;

	page_begin(&p, w, r, root, &head);
	strbuf_adds(&p.html, "<section class=\"empty\">");
	page_icon(&p.html, status == 404 ? "search" : "failure");
	strbuf_addf(&p.html, "<h1>%s</h1><p>", head.title);
	html_text(&p.html, e->msg);
	strbuf_addf(&p.html,
		    "</p><p><a href=\"%sdashboard\">All jobs</a></p></section>\n",
		    root);
	page_reply(&p, status);
}

void
page_login_form(struct web *w, struct http_req r, int status, const char *next,
		const char *wrong)
{
	static const struct page_head head = { .title = "Log in",
					       .view = "login",
					       .bare = true };
	struct page p;

	page_begin(&p, w, r, "", &head);
	strbuf_adds(&p.html, "<form class=\"login\" method=\"post\" action=\"login\">"
			     "<h1>Log in</h1>\n");
	if (wrong) {
		strbuf_adds(&p.html, "<p class=\"alert\" role=\"alert\">");
		html_text(&p.html, wrong);
		strbuf_adds(&p.html, "</p>\n");
	}
	strbuf_adds(&p.html,
		    "<label for=\"token\">Access token</label>"
		    "<input id=\"token\" name=\"token\" type=\"password\" required "
		    "autofocus autocomplete=\"current-password\" spellcheck=\"false\">"
		    "<input type=\"hidden\" name=\"next\" value=\"");
	html_text(&p.html, next);
	strbuf_adds(&p.html,
		    "\"><button class=\"main\">Log in</button>\n"
		    "<p class=\"dim\">On the server, <code>slipway token create "
		    "--name NAME --scope read,submit</code> makes a token.</p>"
		    "</form>\n");
	page_reply(&p, status);
}

void
page_go_on(struct web *w, struct http_req r, const char *root, const char *url)
{
	const struct page_head head = {
		.title = "Log in", .view = "", .bare = true, .go = url
	};
	struct page p;

	page_begin(&p, w, r, root, &head);
	strbuf_adds(&p.html, "<p><a href=\"");
	html_text(&p.html, url);
	strbuf_adds(&p.html, "\">Go on</a></p>\n");
	page_reply(&p, 200);
}
