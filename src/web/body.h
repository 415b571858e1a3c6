/*
 * body: the small JSON bodies of verbs. Loop thread only.
 */
#pragma once

#include <json-c/json.h>

#include "slipway/err.h"
#include "slipway/http.h"

/* The request's body, an object with none but the allowed fields (ends with NULL); no
 * body is an empty object. NULL with *e set otherwise. The caller puts it. */
struct json_object *body_object(struct http_req r, const char *const *allowed,
				struct err *e);
/* A text field of at most max bytes without control characters, "" when absent; NULL
 * with *e set otherwise. Lives as long as o. */
const char *body_text(struct json_object *o, const char *key, size_t max,
		      struct err *e);
