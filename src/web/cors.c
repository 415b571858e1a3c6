#include "cors.h"

#include <string.h>

#include "web_priv.h"

static bool
is_allowed(const struct web *w, const char *origin)
{
	const struct conf_strings *list = &w->conf->http_cors_origins;

	for (size_t i = 0; origin && i < list->n; i++)
		if (!strcmp(list->v[i], origin))
			return true;
	return false;
}

void
cors_begin(const struct web *w, struct http_req r)
{
	const char *origin = http_req_header(r, "Origin");

	if (!w->conf->http_cors_origins.n)
		return;
	/* Caches must not give one site's answer to another. */
	http_set_header(r, "Vary", "Origin");
	if (!is_allowed(w, origin))
		return;
	http_set_header(r, "Access-Control-Allow-Origin", origin);
	http_set_header(r, "Access-Control-Expose-Headers",
			"ETag, Link, Location, Retry-After, WWW-Authenticate");
}

void
cors_preflight(struct http_req r, void *arg)
{
	if (is_allowed(arg, http_req_header(r, "Origin"))) {
		http_set_header(r, "Access-Control-Allow-Methods",
				"GET, HEAD, POST, PUT, DELETE");
		http_set_header(r, "Access-Control-Allow-Headers",
				"Authorization, Content-Type, If-None-Match, "
				"Last-Event-ID");
		http_set_header(r, "Access-Control-Max-Age", "600");
	}
	http_reply(r, 204, NULL, NULL, 0);
}
