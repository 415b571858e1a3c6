#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "slipway/fs.h"
#include "slipway/mem.h"
#include "term.h"

int
report(const struct cli *cli, int code, const char *fmt, ...)
{
	cleanup_strbuf struct strbuf safe = { 0 };
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	term_text(&safe, text);
	fprintf(stderr, "%sslipway:%s %s\n", cli->err_colour ? TERM_BOLD : "",
		cli->err_colour ? TERM_RESET : "", strbuf_str(&safe));
	return code;
}

int
report_unreachable(const struct cli *cli, const struct err *e)
{
	report(cli, 0, "%s", e->msg);
	if (e->code != ERR_CONNECT)
		return CLI_PROTOCOL;
	return report(cli, CLI_UNREACHABLE,
		      "is slipwayd running there? (--server URL or unix:PATH, or "
		      "SLIPWAY_URL, say where else to look)");
}

static const struct {
	long status;
	int code;
	const char *advice;
} refusals[] = {
	{ 400, CLI_INVALID, NULL },
	{ 401, CLI_DENIED,
	  "give a token with --token-file FILE or in SLIPWAY_TOKEN; on the server, "
	  "slipway token create makes one" },
	{ 403, CLI_DENIED, NULL },
	{ 404, CLI_NOT_FOUND, "slipway list shows the jobs there are" },
	{ 409, CLI_INVALID, NULL },
	{ 413, CLI_INVALID, NULL },
	{ 429, CLI_BUSY, "too much at a time; try again later" },
	{ 503, CLI_BUSY, "try again later; slipway health tells more" },
};

int
report_refusal(const struct cli *cli, const struct response *r)
{
	struct json_object *o = json_tokener_parse(strbuf_str(&r->body));
	const char *text = json_text(o, "error"), *field = json_text(o, "field");
	int code = CLI_PROTOCOL;
	const char *advice = NULL;

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		if (refusals[i].status == r->status) {
			code = refusals[i].code;
			advice = refusals[i].advice;
		}
	}
	/* Most texts name the field themselves. */
	if (*text && r->status == 400 && !strstr(text, field))
		report(cli, 0, "%s: %s", field, text);
	else if (*text)
		report(cli, 0, "%s", text);
	else
		report(cli, 0, "%s answered with status %ld", client_where(cli->client),
		       r->status);
	/* Not every 404 is about a job. */
	if (advice && (r->status != 404 || strcmp(field, "name") != 0))
		report(cli, 0, "%s", advice);
	json_object_put(o);
	return code;
}

int
cli_call(struct cli *cli, const char *path, const struct strbuf *body, long timeout_s,
	 struct response *r)
{
	struct err e = { 0 };

	if (client_call(cli->client, path, body, timeout_s, r, &e))
		return report_unreachable(cli, &e);
	if (r->status < 200 || r->status > 299)
		return report_refusal(cli, r);
	return 0;
}

struct json_object *
cli_parse(const struct cli *cli, const struct response *r)
{
	struct json_object *o = json_tokener_parse(strbuf_str(&r->body));

	if (!o)
		report(cli, 0, "what %s answered is not JSON: is it slipwayd?",
		       client_where(cli->client));
	return o;
}

int
cli_print(const struct cli *cli, const struct strbuf *text)
{
	struct err e = { 0 };

	if (fs_write_all(STDOUT_FILENO, strbuf_str(text), text->len, &e) == 0)
		return CLI_OK;
	return report(cli, CLI_IO, "standard output: %s", e.msg);
}

void
cli_query(struct strbuf *out, const char *key, const char *value)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	strbuf_addc(out, out->data && strchr(out->data, '?') ? '&' : '?');
	strbuf_addf(out, "%s=", key);
	for (; *value; value++) {
		if (strchr(plain, *value))
			strbuf_addc(out, *value);
		else
			strbuf_addf(out, "%%%02X", (unsigned char)*value);
	}
}

void
cli_path(struct strbuf *out, const char *path, const char *id)
{
	strbuf_adds(out, path);
	cli_query(out, "id", id);
}

const char *
json_text(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

int64_t
json_number(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

struct json_object *
json_list(struct json_object *o, const char *key)
{
	struct json_object *v = NULL;

	if (!json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, json_type_array))
		return NULL;
	return v;
}

static const struct {
	const char *state;
	int code;
} finals[] = {
	{ "success", CLI_OK },
	{ "failure", CLI_FAILURE },
	{ "timeout", CLI_TIMEOUT },
	{ "cancelled", CLI_CANCELLED },
};

int
exit_of_state(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(finals); i++)
		if (strcmp(finals[i].state, state) == 0)
			return finals[i].code;
	return CLI_OK;
}

bool
state_is_final(const char *state)
{
	for (size_t i = 0; i < ARRAY_LEN(finals); i++)
		if (strcmp(finals[i].state, state) == 0)
			return true;
	return false;
}
