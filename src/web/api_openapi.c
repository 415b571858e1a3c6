#include "api_openapi.h"

#include <stdlib.h>
#include <string.h>

#include "slipway/mem.h"
#include "slipway/strbuf.h"
#include "slipway/version.h"
#include "web_priv.h"

static const char *const method_names[HTTP_METHODS] = {
	[HTTP_GET] = "get",
	[HTTP_POST] = "post",
	[HTTP_PUT] = "put",
	[HTTP_DELETE] = "delete",
};

static void
add_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, json_object_new_string(text));
}

static struct json_object *
add_object(struct json_object *o, const char *key)
{
	struct json_object *sub = json_object_new_object();

	json_object_object_add(o, key, sub);
	return sub;
}

static struct json_object *
add_array(struct json_object *o, const char *key)
{
	struct json_object *sub = json_object_new_array();

	json_object_object_add(o, key, sub);
	return sub;
}

/* Types */

/* "1..64" or "0..": the bounds under these names. What follows; NULL when it is none. */
static const char *
add_bounds(struct json_object *o, const char *s, const char *min, const char *max)
{
	char *end;
	long long n = strtoll(s, &end, 10);

	if (end == s || strncmp(end, "..", 2) != 0)
		return NULL;
	json_object_object_add(o, min, json_object_new_int64(n));
	s = end + 2;
	n = strtoll(s, &end, 10);
	if (end != s)
		json_object_object_add(o, max, json_object_new_int64(n));
	return end;
}

/* "(1..64)", or nothing. */
static bool
add_range(struct json_object *o, const char *s, const char *min, const char *max)
{
	if (!*s)
		return true;
	if (*s++ != '(')
		return false;
	s = add_bounds(o, s, min, max);
	return s && strcmp(s, ")") == 0;
}

static bool
add_enum(struct json_object *o, const char *words)
{
	struct json_object *list = add_array(o, "enum");
	size_t len;

	add_text(o, "type", "string");
	do {
		words++;
		len = strcspn(words, ",)");
		json_object_array_add(list,
				      json_object_new_string_len(words, (int)len));
		words += len;
	} while (*words == ',');
	return strcmp(words, ")") == 0;
}

static bool
add_plain(struct json_object *o, const char *type)
{
	static const struct {
		const char *name, *min, *max;
	} plain[] = {
		{ "string", "minLength", "maxLength" },
		{ "integer", "minimum", "maximum" },
		{ "number", "minimum", "maximum" },
		{ "boolean", "", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		size_t len = strlen(plain[i].name);

		if (strncmp(type, plain[i].name, len) != 0)
			continue;
		add_text(o, "type", plain[i].name);
		return add_range(o, type + len, plain[i].min, plain[i].max);
	}
	return strcmp(type, "any") == 0;
}

static bool
add_inner(struct json_object *o, const char *key, const char *type)
{
	struct json_object *inner = openapi_type(type);

	json_object_object_add(o, key, inner);
	return inner != NULL;
}

/* "[]T", "[1..200]T" */
static bool
add_list(struct json_object *o, const char *type)
{
	add_text(o, "type", "array");
	if (*++type != ']')
		type = add_bounds(o, type, "minItems", "maxItems");
	return type && *type == ']' && add_inner(o, "items", type + 1);
}

static bool
add_union(struct json_object *o, const char *type)
{
	struct json_object *list = add_array(o, "anyOf");
	bool ok = true;

	for (bool more = true; ok && more;) {
		size_t len = strcspn(type, "|");
		cleanup_free char *one = xstrndup(type, len);
		struct json_object *inner = openapi_type(one);

		ok = inner != NULL;
		json_object_array_add(list, inner);
		more = type[len] == '|';
		type += len + more;
	}
	return ok;
}

static bool
add_type(struct json_object *o, const char *type)
{
	cleanup_free char *ref = NULL;

	if (strchr(type, '|'))
		return add_union(o, type);
	if (*type == '[')
		return add_list(o, type);
	if (strncmp(type, "{}", 2) == 0) {
		add_text(o, "type", "object");
		return add_inner(o, "additionalProperties", type + 2);
	}
	if (*type == '=') {
		add_text(o, "const", type + 1);
		return true;
	}
	if (strncmp(type, "enum(", 5) == 0)
		return add_enum(o, type + 4);
	if (*type < 'A' || *type > 'Z')
		return add_plain(o, type);
	ref = xasprintf("#/components/schemas/%s", type);
	add_text(o, "$ref", ref);
	return true;
}

struct json_object *
openapi_type(const char *type)
{
	struct json_object *o = json_object_new_object();

	if (add_type(o, type))
		return o;
	json_object_put(o);
	return NULL;
}

/* Schemas */

/* Whether it is always there, and its name without the mark that tells so. */
static bool
field_name(const struct openapi_field *f, char *name, size_t size)
{
	size_t len = strlen(f->name);
	bool always = len > 0 && f->name[len - 1] == '!';

	snprintf(name, size, "%.*s", (int)(len - always), f->name);
	return always;
}

static void
add_fields(struct json_object *schema, const struct openapi_field *f)
{
	struct json_object *properties = add_object(schema, "properties");
	struct json_object *required = json_object_new_array();
	char name[64];

	for (; f->name; f++) {
		struct json_object *type = openapi_type(f->type);

		if (*f->what)
			add_text(type, "description", f->what);
		if (field_name(f, name, sizeof(name)))
			json_object_array_add(required, json_object_new_string(name));
		json_object_object_add(properties, name, type);
	}
	if (json_object_array_length(required) > 0)
		json_object_object_add(schema, "required", required);
	else
		json_object_put(required);
}

static void
add_schema(struct json_object *schemas, const struct openapi_schema *s)
{
	struct json_object *o = s->type ? openapi_type(s->type)
					: json_object_new_object();

	if (!s->type) {
		add_text(o, "type", "object");
		add_fields(o, s->fields);
	}
	if (s->closed)
		json_object_object_add(o, "additionalProperties",
				       json_object_new_boolean(false));
	add_text(o, "description", s->what);
	json_object_object_add(schemas, s->name, o);
}

/* Routes */

static void
add_content(struct json_object *o, const char *type)
{
	bool json = !strchr(type, '/');
	struct json_object *content = add_object(o, "content");
	struct json_object *media = add_object(content,
					       json ? "application/json" : type);

	json_object_object_add(media, "schema", openapi_type(json ? type : "string"));
}

/* "text/event-stream text/plain": one of several. */
static void
add_contents(struct json_object *o, const char *types)
{
	struct json_object *content = add_object(o, "content");

	while (*types) {
		size_t len = strcspn(types, " ");
		cleanup_free char *type = xstrndup(types, len);

		json_object_object_add(add_object(content, type), "schema",
				       openapi_type("string"));
		types += len + (types[len] == ' ');
	}
}

static void
add_answers(struct json_object *op, const struct openapi_route *r)
{
	struct json_object *answers = add_object(op, "responses"), *o;
	const char *error = r->page ? "#/components/responses/ErrorPage"
				    : "#/components/responses/Error";
	const char *errors = r->errors;
	char status[16];

	for (size_t i = 0; i < OPENAPI_ANSWERS && r->answers[i].status; i++) {
		snprintf(status, sizeof(status), "%d", r->answers[i].status);
		o = add_object(answers, status);
		add_text(o, "description", r->answers[i].what);
		if (r->answers[i].type && strchr(r->answers[i].type, ' '))
			add_contents(o, r->answers[i].type);
		else if (r->answers[i].type)
			add_content(o, r->answers[i].type);
	}
	while (errors && *errors) {
		size_t len = strcspn(errors, " ");

		snprintf(status, sizeof(status), "%.*s", (int)len, errors);
		/* An answer of its own, with an object that is no error, comes first. */
		if (!json_object_object_get_ex(answers, status, NULL))
			add_text(add_object(answers, status), "$ref", error);
		errors += len + (errors[len] == ' ');
	}
	add_text(add_object(answers, "default"), "$ref", error);
}

static void
add_parameter(struct json_object *list, const struct openapi_field *f, const char *in)
{
	struct json_object *o = json_object_new_object();
	char name[64];
	bool always = field_name(f, name, sizeof(name));

	add_text(o, "name", name);
	add_text(o, "in", in);
	add_text(o, "description", f->what);
	if (always)
		json_object_object_add(o, "required", json_object_new_boolean(true));
	json_object_object_add(o, "schema", openapi_type(f->type));
	json_object_array_add(list, o);
}

static void
add_parameters(struct json_object *op, const struct openapi_route *r)
{
	const struct openapi_field rest = { "rest!", "string(1..)", r->rest };
	const struct openapi_field *f = r->query;
	struct json_object *list;

	if (!f && !r->rest)
		return;
	list = add_array(op, "parameters");
	if (r->rest)
		add_parameter(list, &rest, "path");
	for (; f && f->name; f++)
		add_parameter(list, f, "query");
}

static void
add_security(struct json_object *op, const char *scope)
{
	struct json_object *list = add_array(op, "security"), *o, *scopes;

	if (!*scope)
		return;
	o = json_object_new_object();
	scopes = add_array(o, "token");
	json_object_array_add(scopes, json_object_new_string(scope));
	json_object_array_add(list, o);
}

static void
add_route(struct json_object *paths, const struct openapi_route *r)
{
	cleanup_free char *name = xasprintf("%s%s", r->path, r->rest ? "{rest}" : "");
	struct json_object *path, *op;

	if (!json_object_object_get_ex(paths, name, &path))
		path = add_object(paths, name);
	op = add_object(path, method_names[r->method]);
	add_text(op, "operationId", r->name);
	add_text(op, "summary", r->what);
	add_parameters(op, r);
	if (r->body)
		add_content(add_object(op, "requestBody"), r->body);
	add_answers(op, r);
	add_security(op, r->scope);
}

/* The document */

static void
add_error_answers(struct json_object *components)
{
	struct json_object *answers = add_object(components, "responses"), *o;

	o = add_object(answers, "Error");
	add_text(o, "description", "What was wrong");
	add_content(o, "Error");
	o = add_object(answers, "ErrorPage");
	add_text(o, "description", "What was wrong, for people or for programs");
	add_content(o, "Error");
	json_object_object_get_ex(o, "content", &o);
	json_object_object_add(add_object(o, "text/html"), "schema",
			       openapi_type("string"));
}

static void
add_components(struct json_object *doc)
{
	struct json_object *components = add_object(doc, "components"), *o;
	const struct openapi_schema *s;

	o = add_object(components, "schemas");
	for (s = openapi_schemas; s->name; s++)
		add_schema(o, s);
	add_error_answers(components);
	o = add_object(add_object(components, "securitySchemes"), "token");
	add_text(o, "type", "http");
	add_text(o, "scheme", "bearer");
	add_text(o, "description",
		 "A token with the scope that is named. Without tokens, and over the "
		 "daemon's unix socket, none is needed.");
}

struct json_object *
openapi_document(const char *base_url)
{
	struct json_object *doc = json_object_new_object(), *o;
	const struct openapi_route *r;

	add_text(doc, "openapi", "3.1.0");
	o = add_object(doc, "info");
	add_text(o, "title", "slipway");
	add_text(o, "version", SLIPWAY_VERSION);
	add_text(
		o, "description",
		"Jobs of a self-hosted CI engine. Times are milliseconds since 1970, "
		"durations milliseconds, time-outs seconds. Clients ignore fields that "
		"they do not know.");
	o = json_object_new_object();
	add_text(o, "url", base_url);
	json_object_array_add(add_array(doc, "servers"), o);
	o = add_object(doc, "paths");
	for (r = openapi_routes; r->path; r++)
		add_route(o, r);
	add_components(doc);
	return doc;
}

void
api_openapi(struct http_req r, void *arg)
{
	static const char *const allowed[] = { NULL };
	cleanup_strbuf struct strbuf base = { 0 };

	if (!web_query_only(r, allowed))
		return;
	web_base_url(arg, r, &base);
	web_reply_json(r, 200, openapi_document(strbuf_str(&base)));
}
