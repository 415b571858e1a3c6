#include "body.h"
#include "web_priv.h"

#include <string.h>

#include "slipway/clock.h"
#include "slipway/id.h"
#include "slipway/mem.h"
#include "slipway/token.h"

/*
 *	create: body → a new text → store → 201, the only time the text is shown
 *	revoke: body → it opens nothing any more → store → 200
 */

#define EXPIRES_MAX_MS (INT64_C(3650) * 86400000)
#define AUDIT_LIMIT 100
#define AUDIT_LIMIT_MAX 1000

static const char *const no_queries[] = { NULL };

static void
add_scopes(struct json_object *o, enum token_scope scope)
{
	struct json_object *list = json_object_new_array();

	for (enum token_scope s = TOKEN_READ; s <= scope; s++)
		json_object_array_add(list,
				      json_object_new_string(token_scope_name(s)));
	json_object_object_add(o, "scopes", list);
}

static void
add_time(struct json_object *o, const char *key, int64_t ms)
{
	if (ms)
		json_object_object_add(o, key, json_object_new_int64(ms));
}

static void
on_token(void *arg, const struct token *t)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(t->name));
	add_scopes(o, t->scope);
	add_time(o, "createdAt", t->created_at);
	add_time(o, "expiresAt", t->expires_at);
	add_time(o, "lastUsedAt", t->used_at);
	if (token_is_expired(t, clock_wall_ms()))
		json_object_object_add(o, "expired", json_object_new_boolean(true));
	json_object_array_add(arg, o);
}

void
api_tokens(struct http_req r, void *arg)
{
	struct web *w = arg;
	struct json_object *list;

	if (!web_query_only(r, no_queries))
		return;
	list = json_object_new_array();
	auth_tokens_each(auth_table(w->auth), on_token, list);
	http_set_header(r, "Cache-Control", "no-store");
	web_reply_json(r, 200, list);
}

/* Strings of a body */

static int
read_text(struct json_object *body, const char *key, const char **out, struct err *e)
{
	struct json_object *v = json_object_object_get(body, key);

	*out = NULL;
	if (!v)
		return 0;
	if (!json_object_is_type(v, json_type_string))
		return err_field(e, ERR_INVALID, key, "%s must be a string", key);
	*out = json_object_get_string(v);
	return 0;
}

static int
read_name(struct json_object *body, char name[TOKEN_NAME_MAX + 1], struct err *e)
{
	const char *text;

	if (read_text(body, "name", &text, e))
		return -1;
	if (!text || !token_name_is_valid(text))
		return err_field(e, ERR_INVALID, "name",
				 "name must be 1 to %d letters, digits and . _ - @, "
				 "a letter or digit first",
				 TOKEN_NAME_MAX);
	str_copy(name, TOKEN_NAME_MAX + 1, text);
	return 0;
}

static int
read_scopes(struct json_object *body, enum token_scope *out, struct err *e)
{
	struct json_object *list = json_object_object_get(body, "scopes"), *item;
	bool is_list = json_object_is_type(list, json_type_array);

	for (size_t i = 0; is_list && i < json_object_array_length(list); i++) {
		enum token_scope s = TOKEN_NOTHING;

		item = json_object_array_get_idx(list, i);
		if (json_object_is_type(item, json_type_string))
			s = token_scope_parse(json_object_get_string(item));
		if (s == TOKEN_NOTHING)
			return err_field(e, ERR_INVALID, "scopes",
					 "a scope is read, submit or admin");
		*out = s > *out ? s : *out;
	}
	if (*out == TOKEN_NOTHING)
		return err_field(
			e, ERR_INVALID, "scopes",
			"scopes must be a list of some of read, submit, admin");
	return 0;
}

static int
read_expires(struct json_object *body, int64_t now, int64_t *out, struct err *e)
{
	const char *text;
	int64_t ms;

	*out = 0;
	if (read_text(body, "expires", &text, e) || !text)
		return e->code ? -1 : 0;
	if (conf_parse_duration(text, &ms, NULL) || ms <= 0 || ms > EXPIRES_MAX_MS)
		return err_field(e, ERR_INVALID, "expires",
				 "expires must be a duration up to 3650d, as in 30d");
	*out = now + ms;
	return 0;
}

/* create */

struct call {
	struct http_req req;
	struct token token;
	char text[TOKEN_LEN + 1];
};

static void
on_created(void *arg, const struct err *err)
{
	struct call *c = arg;
	struct json_object *o;

	if (err) {
		http_reply_err(c->req, err);
	} else if (http_req_alive(c->req)) {
		o = json_object_new_object();
		json_object_object_add(o, "name",
				       json_object_new_string(c->token.name));
		json_object_object_add(o, "token", json_object_new_string(c->text));
		add_scopes(o, c->token.scope);
		add_time(o, "expiresAt", c->token.expires_at);
		http_set_header(c->req, "Cache-Control", "no-store");
		web_reply_json(c->req, 201, o);
	}
	explicit_bzero(c->text, sizeof(c->text));
	free(c);
}

static int
create(struct web *w, struct call *c, struct json_object *body, struct err *e)
{
	struct token *t = &c->token;

	t->created_at = clock_wall_ms();
	if (read_name(body, t->name, e) || read_scopes(body, &t->scope, e) ||
	    read_expires(body, t->created_at, &t->expires_at, e))
		return -1;
	token_make(c->text);
	id_random_hex(t->id, TOKEN_ID_LEN);
	if (!token_hash(c->text, TOKEN_LEN, t->hash))
		return err_set(e, ERR_INTERNAL, "a token of our own is not one");
	return auth_tokens_create(auth_table(w->auth), t, on_created, c, e);
}

void
api_token_create(struct http_req r, void *arg)
{
	static const char *const fields[] = { "name", "scopes", "expires", NULL };
	struct json_object *body;
	struct err e = { 0 };
	struct call *c;

	if (!web_query_only(r, no_queries))
		return;
	body = body_object(r, fields, &e);
	c = xcalloc(1, sizeof(*c));
	c->req = r;
	if (!body || create(arg, c, body, &e)) {
		http_reply_err(r, &e);
		explicit_bzero(c->text, sizeof(c->text));
		free(c);
	}
	json_object_put(body);
}

/* revoke */

static void
on_revoked(void *arg, const struct err *err)
{
	struct call *c = arg;
	struct json_object *o;

	if (err) {
		http_reply_err(c->req, err);
	} else if (http_req_alive(c->req)) {
		o = json_object_new_object();
		json_object_object_add(o, "revoked", json_object_new_boolean(true));
		web_reply_json(c->req, 200, o);
	}
	free(c);
}

void
api_token_revoke(struct http_req r, void *arg)
{
	static const char *const fields[] = { "name", NULL };
	struct web *w = arg;
	struct json_object *body;
	struct err e = { 0 };
	struct call *c;

	if (!web_query_only(r, no_queries))
		return;
	body = body_object(r, fields, &e);
	c = xcalloc(1, sizeof(*c));
	c->req = r;
	if (!body || read_name(body, c->token.name, &e) ||
	    auth_tokens_revoke(auth_table(w->auth), c->token.name, on_revoked, c, &e)) {
		http_reply_err(r, &e);
		free(c);
	}
	json_object_put(body);
}

/* audit */

static void
on_audit_read(void *arg, const struct strbuf *text, const struct err *err)
{
	struct call *c = arg;

	http_set_header(c->req, "Cache-Control", "no-store");
	if (err)
		http_reply_err(c->req, err);
	else
		http_reply(c->req, 200, "application/json", text->data, text->len);
	free(c);
}

void
api_audit(struct http_req r, void *arg)
{
	static const char *const allowed[] = { "limit", NULL };
	uint64_t limit = AUDIT_LIMIT;
	struct web *w = arg;
	struct err e = { 0 };
	struct call *c;

	if (!web_query_only(r, allowed) ||
	    !web_query_uint(r, "limit", AUDIT_LIMIT_MAX, &limit))
		return;
	c = xcalloc(1, sizeof(*c));
	c->req = r;
	if (audit_read(w->audit, (unsigned)limit, on_audit_read, c, &e)) {
		http_reply_err(r, &e);
		free(c);
	}
}
