#include "http_route.h"

#include <stdio.h>
#include <string.h>

static const char *const method_names[HTTP_METHODS] = {
	[HTTP_GET] = "GET, HEAD", [HTTP_POST] = "POST",	      [HTTP_PUT] = "PUT",
	[HTTP_DELETE] = "DELETE", [HTTP_OPTIONS] = "OPTIONS",
};

/* How well a route's path fits: 0 not at all, more is better. */
static size_t
route_fit(const struct http_route *route, const char *path)
{
	size_t len = strlen(route->path);

	if (!strcmp(route->path, path))
		return len + 2;
	if (route->flags & HTTP_ROUTE_PREFIX && !strncmp(route->path, path, len))
		return len + 1;
	return 0;
}

static size_t
best_fit(const struct http_route *routes, const char *path, bool options)
{
	size_t best = 0;

	for (; routes->path; routes++) {
		size_t fit = route_fit(routes, path);

		if (fit > best && (routes->method == HTTP_OPTIONS) == options)
			best = fit;
	}
	return best;
}

const struct http_route *
http_route_find(const struct http_route *routes, enum http_method method,
		const char *path, bool *known_path)
{
	size_t best = method == HTTP_OPTIONS ? best_fit(routes, path, true) : 0;

	if (!best)
		best = best_fit(routes, path, false);
	*known_path = best > 0;
	if (!best)
		return NULL;
	for (; routes->path; routes++) {
		if (routes->method == method && route_fit(routes, path) == best)
			return routes;
	}
	return NULL;
}

void
http_route_allow(const struct http_route *routes, const char *path,
		 char allow[HTTP_ALLOW_LEN])
{
	size_t best = best_fit(routes, path, false), len = 0;
	bool has[HTTP_METHODS] = { false };

	for (; best && routes->path; routes++) {
		if (routes->method != HTTP_OPTIONS && route_fit(routes, path) == best)
			has[routes->method] = true;
	}
	allow[0] = '\0';
	for (int m = 0; m < HTTP_METHODS; m++) {
		if (has[m])
			len += (size_t)snprintf(allow + len, HTTP_ALLOW_LEN - len,
						"%s%s", len ? ", " : "",
						method_names[m]);
	}
}

const char *
http_route_rest(const struct http_route *route, const char *path)
{
	return path +
	       (route->flags & HTTP_ROUTE_PREFIX ? strlen(route->path) : strlen(path));
}

size_t
http_route_max_body(const struct http_route *route, size_t usual)
{
	size_t mib = route ? route->flags >> HTTP_ROUTE_BODY_SHIFT : 0;

	return mib ? mib << 20 : usual;
}
