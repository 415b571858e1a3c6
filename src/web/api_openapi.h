/*
 * api_openapi: the description of the HTTP API, as tables, and the OpenAPI 3.1 document
 * made of them. Pure, any thread.
 *
 * A route of web_routes[] gets a row in openapi_routes[]; an object that an answer or a
 * body newly has, a row in openapi_schemas[]. A test holds rows against the routes, and
 * answers of a daemon against the rows.
 *
 * A type is written as
 *     string  string(1..64)  integer  integer(0..)  number  boolean  any
 *     enum(a,b)  =text (this very text)  []T [1..200]T (lists)  {}T (object of any names)  T|U
 *     Name (of openapi_schemas[])
 * and types with a slash, text/plain, are the media types of what is no JSON.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>

#include "slipway/http.h"

/* A field of an object, a parameter of a query. A name that ends in ! is always there. */
struct openapi_field {
	const char *name, *type, *what;
};

/* Either fields (ends with name NULL) or the type of what is no plain object. */
struct openapi_schema {
	const char *name, *what;
	const struct openapi_field *fields;
	const char *type;
	bool closed; /* other fields are refused */
};
extern const struct openapi_schema openapi_schemas[]; /* ends with name NULL */

struct openapi_answer {
	int status;
	const char *type, *what;
};

#define OPENAPI_ANSWERS 3

struct openapi_route {
	enum http_method method;
	const char *path;
	const char *scope; /* of the token: "read", "submit", "admin"; "" for none */
	const char *name;  /* what clients call it */
	const char *what;
	const struct openapi_field *query; /* ends with name NULL; may be NULL */
	const char *rest;		   /* of a prefix: what follows the path */
	const char *body;		   /* its type, or NULL */
	struct openapi_answer answers[OPENAPI_ANSWERS]; /* the good ones */
	const char *errors;				/* "400 404" */
	bool page; /* what is wrong may be told as a page */
};
extern const struct openapi_route openapi_routes[]; /* ends with path NULL */

/* The whole document; base_url is where the server is. */
struct json_object *openapi_document(const char *base_url);
/* The schema of a type; NULL when it cannot be read. */
struct json_object *openapi_type(const char *type);
