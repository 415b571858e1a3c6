/*
 * http_route: from method and decoded path to a route. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/http.h"

/* Room for http_route_allow(). */
#define HTTP_ALLOW_LEN 40

/*
 * The route for a path: an exact one wins over prefixes, a longer prefix over a
 * shorter. NULL with *known_path true when only the method does not fit.
 */
const struct http_route *http_route_find(const struct http_route *routes,
					 enum http_method method, const char *path,
					 bool *known_path);
/* "GET, HEAD, POST": the value of Allow for a path; "" when nothing matches it. */
void http_route_allow(const struct http_route *routes, const char *path,
		      char allow[HTTP_ALLOW_LEN]);
/* What follows the route's prefix in path; "" for an exact route. */
const char *http_route_rest(const struct http_route *route, const char *path);
/* The largest body the route takes; usual is for those which say nothing, and for NULL. */
size_t http_route_max_body(const struct http_route *route, size_t usual);
