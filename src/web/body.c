#include "body.h"

#include <stdbool.h>
#include <string.h>

#include "slipway/jsonscan.h"
#include "slipway/mem.h"

#define DEPTH 8

static struct json_object *
body_parse(const char *body, size_t len, struct err *e)
{
	struct json_tokener *tok;
	struct json_object *o;

	if (jsonscan_check(body, len, DEPTH, e))
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
body_check_keys(struct json_object *o, const char *const *allowed, struct err *e)
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
body_object(struct http_req r, const char *const *allowed, struct err *e)
{
	size_t len = 0;
	const char *text = http_req_body(r, &len);
	struct json_object *o = text && len ? body_parse(text, len, e)
					    : json_object_new_object();

	if (!o || body_check_keys(o, allowed, e) == 0)
		return o;
	json_object_put(o);
	return NULL;
}

static bool
has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return true;
	return false;
}

const char *
body_text(struct json_object *o, const char *key, size_t max, struct err *e)
{
	struct json_object *v = NULL;
	size_t len;

	if (!json_object_object_get_ex(o, key, &v))
		return "";
	len = json_object_is_type(v, json_type_string)
		      ? (size_t)json_object_get_string_len(v)
		      : max + 1;
	if (len <= max && !has_control(json_object_get_string(v), len))
		return json_object_get_string(v);
	err_field(e, ERR_INVALID, key,
		  "%s must be a text of at most %zu bytes, on one line", key, max);
	return NULL;
}
