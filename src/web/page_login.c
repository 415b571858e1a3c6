#include "web_priv.h"

#include <string.h>

#include "auth_session.h"
#include "html.h"
#include "query.h"
#include "slipway/mem.h"
#include "slipway/version.h"

/*
 *	GET /login → the form → POST /login → a session's cookie → the page asked for
 *
 * A link on another site brings no SameSite=Strict cookie along, so who follows one
 * seems to be logged out. From a page of ours the cookie comes along: so the first
 * answer then is one that goes to /login again.
 */

#define START "/dashboard"

static const char policy[] =
	"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; "
	"frame-ancestors 'none'";

static const char *
next_of(const char *next)
{
	return next && auth_next_is_local(next) ? next : START;
}

static void
reply_page(struct http_req r, int status, const struct strbuf *main, const char *again)
{
	cleanup_strbuf struct strbuf out = { 0 };

	strbuf_adds(&out, "<!doctype html>\n<html lang=\"en\"><head>"
			  "<meta charset=\"utf-8\">\n"
			  "<meta name=\"viewport\" content=\"width=device-width,"
			  "initial-scale=1\">\n<title>Log in - slipway</title>\n");
	if (again) {
		strbuf_adds(&out, "<meta http-equiv=\"refresh\" content=\"0;url=");
		html_text(&out, again);
		strbuf_adds(&out, "\">\n");
	}
	strbuf_adds(&out,
		    "<link rel=\"stylesheet\" href=\"/dashboard.css?v=" SLIPWAY_VERSION
		    "\"></head><body>\n"
		    "<header><h1>slipway</h1></header>\n<main>\n");
	strbuf_add(&out, main->data, main->len);
	strbuf_adds(&out, "</main></body></html>\n");
	http_set_header(r, "Content-Security-Policy", policy);
	/* Not no-referrer: browsers then tell no Origin with the form. */
	http_set_header(r, "Referrer-Policy", "same-origin");
	http_set_header(r, "Cache-Control", "no-store");
	http_reply(r, status, "text/html; charset=utf-8", out.data, out.len);
}

static void
reply_form(struct http_req r, int status, const char *next, const char *wrong)
{
	cleanup_strbuf struct strbuf main = { 0 };

	strbuf_adds(&main, "<h2>Log in</h2>\n");
	if (wrong) {
		strbuf_adds(&main, "<p class=\"failure\" role=\"alert\">");
		html_text(&main, wrong);
		strbuf_adds(&main, "</p>\n");
	}
	strbuf_adds(&main, "<form method=\"post\" action=\"/login\">\n"
			   "<input type=\"hidden\" name=\"next\" value=\"");
	html_text(&main, next);
	strbuf_adds(
		&main,
		"\">\n<p><label>Access token<br>\n"
		"<input type=\"password\" name=\"token\" required autofocus "
		"size=\"50\" autocomplete=\"current-password\" spellcheck=\"false\">"
		"</label></p>\n<p><button>Log in</button></p>\n</form>\n"
		"<p><small>On the server, <code>slipway token create --name NAME "
		"--scope read</code> makes a token.</small></p>\n");
	reply_page(r, status, &main, NULL);
}

static void
reply_again(struct http_req r, const char *next)
{
	cleanup_strbuf struct strbuf main = { 0 }, url = { 0 };

	strbuf_adds(&url, "/login");
	query_append(&url, "next", next);
	strbuf_adds(&main, "<p><a href=\"");
	html_text(&main, strbuf_str(&url));
	strbuf_adds(&main, "\">Go on</a></p>\n");
	reply_page(r, 200, &main, strbuf_str(&url));
}

static void
redirect(struct http_req r, const char *where)
{
	http_set_header(r, "Location", where);
	http_set_header(r, "Cache-Control", "no-store");
	http_reply(r, 303, "text/plain; charset=utf-8", "", 0);
}

void
page_login(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "next", "error", NULL };
	const char *next = next_of(http_req_query(r, "next"));
	const char *site = http_req_header(r, "Sec-Fetch-Site");
	struct web *w = arg;

	if (!web_query_only(r, allowed))
		return;
	if (auth_has_session(w->auth, r))
		redirect(r, next);
	else if (site && !strcmp(site, "cross-site"))
		reply_again(r, next);
	else
		reply_form(
			r, 200, next,
			http_req_query(r, "error")
				? "This token is not valid: it is wrong, has expired, "
				  "or was revoked."
				: NULL);
}

void
page_login_try(struct http_req r, void *arg)
{
	const char *token = http_req_form(r, "token");
	const char *next = next_of(http_req_form(r, "next"));
	cleanup_strbuf struct strbuf back = { 0 };
	struct web *w = arg;
	struct err e = { 0 };

	if (auth_login(w->auth, r, token ? token : "", &e) == 0) {
		redirect(r, next);
	} else if (e.code == ERR_TOO_MANY) {
		reply_form(r, 429, next, e.msg);
	} else {
		strbuf_adds(&back, "/login?error=1");
		query_append(&back, "next", next);
		redirect(r, strbuf_str(&back));
	}
}

void
page_logout(struct http_req r, void *arg)
{
	struct web *w = arg;

	auth_logout(w->auth, r);
	redirect(r, "/login");
}
