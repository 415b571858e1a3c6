#include "web_priv.h"

#include <string.h>

#include "slipway/jsonscan.h"

/* The small bodies of verbs. */

#define DEPTH 8

static struct json_object *
parse(const char *body, size_t len, struct err *e)
{
	struct json_tokener *tok;
	struct json_object *o;

	if (jsonscan_check(body ? body : "", len, DEPTH, e))
		return NULL;
	tok = json_tokener_new_ex(DEPTH + 1);
	if (!tok) {
		err_set(e, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	o = json_tokener_parse_ex(tok, body, (int)len);
	json_tokener_free(tok);
	if (json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	err_set(e, ERR_INVALID, "the body must be a JSON object");
	return NULL;
}

static int
check_keys(struct json_object *o, const char *const *allowed, struct err *e)
{
	json_object_object_foreach(o, key, value) {
		const char *const *a = allowed;

		(void)value;
		while (*a && strcmp(*a, key) != 0)
			a++;
		if (!*a)
			return err_field(e, ERR_INVALID, key, "unknown field");
	}
	return 0;
}

struct json_object *
web_body(struct http_req r, const char *const *allowed, struct err *e)
{
	size_t len;
	const char *text = http_req_body(r, &len);
	struct json_object *o = parse(text, len, e);

	if (!o || check_keys(o, allowed, e) == 0)
		return o;
	json_object_put(o);
	return NULL;
}
