#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "slipway/clock.h"
#include "slipway/mem.h"
#include "term.h"

#define DAY_MS INT64_C(86400000)

/* token create, list, revoke: who may use the server. */

static void
add_scopes(struct json_object *body, const char *list)
{
	struct json_object *scopes = json_object_new_array();
	cleanup_free char *copy = xstrdup(list);

	for (char *rest = copy, *word; (word = strsep(&rest, ","));)
		if (*word)
			json_object_array_add(scopes, json_object_new_string(word));
	json_object_object_add(body, "scopes", scopes);
}

static void
add_json(struct strbuf *out, struct json_object *o)
{
	strbuf_adds(out, json_object_to_json_string_ext(
				 o, JSON_C_TO_STRING_PLAIN |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
}

/* Posts body, which it puts; the answer's object, or NULL with *code. */
static struct json_object *
post(struct cli *cli, const char *path, struct json_object *body, int *code)
{
	cleanup_response struct response r = { 0 };
	cleanup_strbuf struct strbuf text = { 0 };
	struct json_object *o = NULL;

	add_json(&text, body);
	json_object_put(body);
	*code = cli_call(cli, path, &text, 0, &r);
	if (!*code && !(o = cli_parse(cli, &r)))
		*code = CLI_PROTOCOL;
	if (r.body.data)
		explicit_bzero(r.body.data, r.body.len);
	return o;
}

int
verb_token_create(struct cli *cli)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct json_object *body, *o;
	int code;

	if (!cli->name || !cli->scope)
		return report(
			cli, CLI_USAGE,
			"token create needs --name NAME and --scope LIST (of read, "
			"submit, admin)");
	body = json_object_new_object();
	json_object_object_add(body, "name", json_object_new_string(cli->name));
	add_scopes(body, cli->scope);
	if (cli->expires)
		json_object_object_add(body, "expires",
				       json_object_new_string(cli->expires));
	o = post(cli, "/admin/tokens", body, &code);
	if (!o)
		return code;
	if (cli->json)
		add_json(&out, o);
	else
		term_text(&out, json_text(o, "token"));
	strbuf_addc(&out, '\n');
	code = cli_print(cli, &out);
	if (out.data)
		explicit_bzero(out.data, out.len);
	if (code == CLI_OK && !cli->json && cli->err_tty)
		report(cli, 0, "keep it now, it is not shown again");
	json_object_put(o);
	return code;
}

static void
add_when(struct strbuf *out, const char *what, int64_t ms)
{
	int64_t now = clock_wall_ms(), span;

	if (!ms)
		return;
	strbuf_addf(out, "  %s ", what);
	if (ms > now)
		strbuf_adds(out, "in ");
	span = ms > now ? ms - now : now - ms;
	if (span >= 2 * DAY_MS)
		strbuf_addf(out, "%lld days", (long long)(span / DAY_MS));
	else
		term_duration(out, span);
	if (ms <= now)
		strbuf_adds(out, " ago");
}

static void
add_row(struct strbuf *out, struct json_object *t)
{
	struct json_object *scopes = json_list(t, "scopes");
	size_t from = out->len, n = scopes ? json_object_array_length(scopes) : 0;
	bool expired = json_object_get_boolean(json_object_object_get(t, "expired"));

	term_text(out, json_text(t, "name"));
	while (out->len - from < 24)
		strbuf_addc(out, ' ');
	/* The highest says it all. */
	from = out->len;
	strbuf_addc(out, ' ');
	if (n)
		term_text(out, json_object_get_string(
				       json_object_array_get_idx(scopes, n - 1)));
	while (out->len - from < 8)
		strbuf_addc(out, ' ');
	add_when(out, "created", json_number(t, "createdAt"));
	add_when(out, expired ? "expired" : "expires", json_number(t, "expiresAt"));
	add_when(out, "used", json_number(t, "lastUsedAt"));
	strbuf_addc(out, '\n');
}

int
verb_token_list(struct cli *cli)
{
	cleanup_response struct response r = { 0 };
	cleanup_strbuf struct strbuf out = { 0 };
	int code = cli_call(cli, "/admin/tokens", NULL, 0, &r);
	struct json_object *list;

	if (code || !(list = cli_parse(cli, &r)))
		return code ? code : CLI_PROTOCOL;
	if (cli->json) {
		add_json(&out, list);
		strbuf_addc(&out, '\n');
	} else if (json_object_is_type(list, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(list); i++)
			add_row(&out, json_object_array_get_idx(list, i));
		if (!out.len && cli->err_tty)
			report(cli, 0, "there are no tokens");
	}
	json_object_put(list);
	return cli_print(cli, &out);
}

int
verb_token_revoke(struct cli *cli)
{
	struct json_object *body = json_object_new_object(), *o;
	cleanup_strbuf struct strbuf out = { 0 };
	int code;

	json_object_object_add(body, "name", json_object_new_string(cli->arg));
	o = post(cli, "/admin/tokens/revoke", body, &code);
	if (o && cli->json) {
		add_json(&out, o);
		strbuf_addc(&out, '\n');
		code = cli_print(cli, &out);
	}
	json_object_put(o);
	return code;
}
