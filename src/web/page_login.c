#include "page.h"

#include <string.h>

#include "auth_session.h"
#include "query.h"
#include "slipway/mem.h"

/*
 *	GET /login → the form → POST /login → a session's cookie → the page asked for
 *
 * A link on another site brings no SameSite=Strict cookie along, so who follows one
 * seems to be logged out. From a page of ours the cookie comes along: so the first
 * answer then is one that goes to /login again.
 */

#define START "/dashboard"

static const char *
next_of(const char *next)
{
	return next && auth_next_is_local(next) ? next : START;
}

static void
reply_again(struct web *w, struct http_req r, const char *next)
{
	cleanup_strbuf struct strbuf url = { 0 };

	strbuf_adds(&url, "login");
	query_append(&url, "next", next);
	page_go_on(w, r, "", strbuf_str(&url));
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
		reply_again(w, r, next);
	else
		page_login_form(
			w, r, 200, next,
			http_req_query(r, "error")
				? "This token is not valid: it is wrong, has expired, "
				  "or was revoked."
				: NULL);
}

void
page_login_try(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	const char *token = http_req_form(r, "token");
	const char *next = next_of(http_req_form(r, "next"));
	cleanup_strbuf struct strbuf back = { 0 };
	struct web *w = arg;
	struct err e = { 0 };

	if (!web_query_only(r, allowed))
		return;
	if (auth_login(w->auth, r, token ? token : "", &e) == 0) {
		redirect(r, next);
	} else if (e.code == ERR_TOO_MANY) {
		page_login_form(w, r, 429, next, e.msg);
	} else {
		strbuf_adds(&back, "/login?error=1");
		query_append(&back, "next", next);
		redirect(r, strbuf_str(&back));
	}
}

void
page_logout(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	struct web *w = arg;

	if (!web_query_only(r, allowed))
		return;
	auth_logout(w->auth, r);
	redirect(r, "/login");
}
