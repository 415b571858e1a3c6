#include "page.h"

#include <string.h>

/* GET /login: the form that POST /login takes. */

/* Where to go after it: a path of this site, and nothing that a browser could take for
 * the address of another. */
static bool
next_is_ours(const char *next)
{
	if (next[0] != '/' || next[1] == '/' || strlen(next) > 512)
		return false;
	for (; *next; next++)
		if (*next == '\\' || (unsigned char)*next < 0x20)
			return false;
	return true;
}

void
page_login(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "next", "error", NULL };
	const char *next = http_req_query(r, "next");

	if (!web_query_only(r, allowed))
		return;
	page_login_form(arg, r, 200, next && next_is_ours(next) ? next : "/dashboard",
			http_req_query(r, "error")
				? "This token is not valid: it is wrong, has expired, "
				  "or was revoked."
				: NULL);
}
