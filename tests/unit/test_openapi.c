#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../../src/web/api_openapi.h"
#include "../../src/web/web_priv.h"

static const struct openapi_route *
described(const struct web_route *route)
{
	const struct openapi_route *r;

	for (r = openapi_routes; r->path; r++)
		if (r->method == route->method && strcmp(r->path, route->path) == 0)
			return r;
	return NULL;
}

static const struct openapi_schema *
schema(const char *name)
{
	const struct openapi_schema *s;

	for (s = openapi_schemas; s->name; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

Test(openapi, describes_every_route)
{
	for (const struct web_route *r = web_routes; r->path; r++)
		cr_expect_not_null(described(r),
				   "%s has no row in openapi_routes[] for method %d",
				   r->path, (int)r->method);
}

Test(openapi, describes_no_other_route)
{
	const struct openapi_route *d;
	const struct web_route *r;

	for (d = openapi_routes; d->path; d++) {
		for (r = web_routes; r->path && described(r) != d; r++)
			;
		cr_expect_not_null(r->path, "%s is described, and no route", d->path);
	}
}

Test(openapi, tells_the_scope_that_the_route_asks_for)
{
	static const char *const names[] = { [WEB_ADMIN] = "admin",
					     [WEB_SUBMIT] = "submit",
					     [WEB_READ] = "read",
					     [WEB_OPEN] = "" };

	for (const struct web_route *r = web_routes; r->path; r++) {
		const struct openapi_route *d = described(r);

		if (d)
			cr_expect_str_eq(d->scope, names[r->needs], "%s", r->path);
	}
}

Test(openapi, says_what_follows_a_prefix)
{
	for (const struct web_route *r = web_routes; r->path; r++) {
		const struct openapi_route *d = described(r);

		if (d)
			cr_expect_eq(!d->rest, !(r->flags & HTTP_ROUTE_PREFIX), "%s",
				     r->path);
	}
}

Test(openapi, changes_are_those_with_a_body)
{
	for (const struct web_route *r = web_routes; r->path; r++) {
		const struct openapi_route *d = described(r);

		if (d && r->method == HTTP_POST)
			cr_expect_eq(!d->body, !(r->flags & HTTP_ROUTE_CHANGES), "%s",
				     r->path);
	}
}

static void
check_type(const char *where, const char *type)
{
	struct json_object *o;

	if (!type || strchr(type, '/'))
		return;
	o = openapi_type(type);
	cr_expect_not_null(o, "%s: \"%s\" is no type", where, type);
	json_object_put(o);
}

Test(openapi, all_types_can_be_read)
{
	const struct openapi_field *f;

	for (const struct openapi_schema *s = openapi_schemas; s->name; s++) {
		check_type(s->name, s->type);
		for (f = s->fields; f && f->name; f++)
			check_type(s->name, f->type);
	}
	for (const struct openapi_route *r = openapi_routes; r->path; r++) {
		check_type(r->path, r->body);
		for (f = r->query; f && f->name; f++)
			check_type(r->path, f->type);
		for (size_t i = 0; i < OPENAPI_ANSWERS; i++)
			check_type(r->path, r->answers[i].type);
	}
}

static void
check_refs(struct json_object *o)
{
	static const char prefix[] = "#/components/schemas/";

	if (json_object_is_type(o, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(o); i++)
			check_refs(json_object_array_get_idx(o, i));
	} else if (json_object_is_type(o, json_type_object)) {
		json_object_object_foreach(o, key, value) {
			const char *text = json_object_get_string(value);

			check_refs(value);
			if (strcmp(key, "$ref") == 0 &&
			    strncmp(text, prefix, strlen(prefix)) == 0)
				cr_expect_not_null(schema(text + strlen(prefix)), "%s",
						   text);
		}
	}
}

Test(openapi, refers_only_to_schemas_that_are_there)
{
	struct json_object *doc = openapi_document("http://localhost");

	check_refs(doc);
	json_object_put(doc);
}

static const char *
type_text(const char *type)
{
	static char text[512];
	struct json_object *o = openapi_type(type);

	if (!o)
		return NULL;
	snprintf(text, sizeof(text), "%s",
		 json_object_to_json_string_ext(
			 o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}

Test(openapi, types_become_schemas)
{
	static const struct {
		const char *type, *text;
	} cases[] = {
		{ "any", "{}" },
		{ "boolean", "{\"type\":\"boolean\"}" },
		{ "string(1..64)",
		  "{\"type\":\"string\",\"minLength\":1,\"maxLength\":64}" },
		{ "integer(0..)", "{\"type\":\"integer\",\"minimum\":0}" },
		{ "=yes", "{\"const\":\"yes\"}" },
		{ "enum(a,b)", "{\"enum\":[\"a\",\"b\"],\"type\":\"string\"}" },
		{ "[]Job", "{\"type\":\"array\",\"items\":"
			   "{\"$ref\":\"#/components/schemas/Job\"}}" },
		{ "[1..2]any", "{\"type\":\"array\",\"minItems\":1,\"maxItems\":2,"
			       "\"items\":{}}" },
		{ "{}string", "{\"type\":\"object\",\"additionalProperties\":"
			      "{\"type\":\"string\"}}" },
		{ "boolean|=no",
		  "{\"anyOf\":[{\"type\":\"boolean\"},{\"const\":\"no\"}]}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		cr_expect_str_eq(type_text(cases[i].type), cases[i].text, "%s",
				 cases[i].type);
}

Test(openapi, a_type_that_is_none_is_told)
{
	static const char *const none[] = { "",		 "text",	"string(",
					    "string(1)", "string(1..2", "enum(a",
					    "[]",	 "[1..2any",	"{}",
					    "string|x",	 "integer)" };

	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		cr_expect_null(openapi_type(none[i]), "%s", none[i]);
}
