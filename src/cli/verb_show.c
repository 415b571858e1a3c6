#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "slipway/clock.h"
#include "slipway/mem.h"
#include "term.h"
#include "wait.h"

/* status, list, health: verbs that show what the server tells. */

static void
add_state(const struct cli *cli, struct strbuf *out, const char *state, int width)
{
	cleanup_strbuf struct strbuf safe = { 0 };

	term_text(&safe, state);
	if (cli->out_colour)
		strbuf_adds(out, term_state_colour(state));
	strbuf_addf(out, "%-*s", width, strbuf_str(&safe));
	if (cli->out_colour)
		strbuf_adds(out, TERM_RESET);
}

static void
add_cell(struct strbuf *out, const char *text, size_t width)
{
	size_t from = out->len, shown = 0;

	term_text(out, text);
	for (size_t i = from; i < out->len; i++)
		shown += (out->data[i] & 0xc0) != 0x80;
	for (; shown < width; shown++)
		strbuf_addc(out, ' ');
	strbuf_addc(out, ' ');
}

static void
add_field(struct strbuf *out, const char *name, const char *value)
{
	if (!*value)
		return;
	strbuf_addf(out, "%-10s ", name);
	term_text(out, value);
	strbuf_addc(out, '\n');
}

static void
add_age(struct strbuf *out, int64_t since)
{
	int64_t age = clock_wall_ms() - since;

	if (since > 0 && age < 1000) {
		strbuf_adds(out, "just now");
	} else if (since > 0) {
		term_duration(out, age);
		strbuf_adds(out, " ago");
	}
}

static void
add_step(const struct cli *cli, struct strbuf *out, size_t i, struct json_object *step)
{
	strbuf_addf(out, "  %2zu  ", i);
	add_state(cli, out, json_text(step, "status"), 9);
	strbuf_addc(out, ' ');
	term_text(out, json_text(step, "name"));
	if (json_object_object_get_ex(step, "duration", NULL)) {
		strbuf_adds(out, "  ");
		term_duration(out, json_number(step, "duration"));
	}
	if (json_number(step, "exitCode"))
		strbuf_addf(out, "  exit code %d", (int)json_number(step, "exitCode"));
	strbuf_addc(out, '\n');
}

static void
add_waiting(struct strbuf *out, struct json_object *job)
{
	int64_t position = json_number(job, "queuePosition");
	char text[32];

	add_field(out, "waits", json_text(job, "waitReason"));
	if (position) {
		snprintf(text, sizeof(text), "%lld", (long long)position);
		add_field(out, "position", text);
	}
}

static void
status_print(const struct cli *cli, struct json_object *job, struct strbuf *out)
{
	struct json_object *steps = json_list(job, "steps");

	term_text(out, json_text(job, "id"));
	strbuf_adds(out, "  ");
	add_state(cli, out, json_text(job, "status"), 0);
	if (json_number(job, "attempt") > 1)
		strbuf_addf(out, "  attempt %lld",
			    (long long)json_number(job, "attempt"));
	if (json_object_object_get_ex(job, "duration", NULL)) {
		strbuf_adds(out, "  ");
		term_duration(out, json_number(job, "duration"));
	}
	strbuf_addc(out, '\n');
	add_field(out, "repo", json_text(job, "repo"));
	add_field(out, "commit", json_text(job, "commit"));
	add_field(out, "branch", json_text(job, "branch"));
	add_field(out, "runner", json_text(job, "runner"));
	add_field(out, "phase", json_text(job, "phase"));
	add_field(out, "reason", json_text(job, "reason"));
	add_field(out, "error", json_text(job, "error"));
	add_waiting(out, job);
	for (size_t i = 0; steps && i < json_object_array_length(steps); i++)
		add_step(cli, out, i, json_object_array_get_idx(steps, i));
}

static int
print_json(const struct cli *cli, struct json_object *o)
{
	cleanup_strbuf struct strbuf out = { 0 };

	strbuf_adds(&out, json_object_to_json_string_ext(
				  o, JSON_C_TO_STRING_PLAIN |
					     JSON_C_TO_STRING_NOSLASHESCAPE));
	strbuf_addc(&out, '\n');
	return cli_print(cli, &out);
}

/* A line per change: what is new, and nothing else. */
static void
on_change(struct cli *cli, struct json_object *job)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct json_object *steps = json_list(job, "steps"), *current = NULL, *step;
	const char *phase = json_text(job, "phase");

	if (cli->json) {
		print_json(cli, job);
		return;
	}
	add_state(cli, &out, json_text(job, "status"), 0);
	if (json_object_object_get_ex(job, "currentStep", &current) && steps) {
		step = json_object_array_get_idx(steps,
						 (size_t)json_object_get_int(current));
		strbuf_addf(&out, "  step %d of %zu, ",
			    json_object_get_int(current) + 1,
			    json_object_array_length(steps));
		term_text(&out, json_text(step, "name"));
	} else if (*phase) {
		strbuf_adds(&out, "  ");
		term_text(&out, phase);
	}
	if (*json_text(job, "waitReason")) {
		strbuf_adds(&out, "  ");
		term_text(&out, json_text(job, "waitReason"));
	}
	strbuf_addc(&out, '\n');
	cli_print(cli, &out);
}

int
verb_status(struct cli *cli)
{
	cleanup_strbuf struct strbuf path = { 0 }, out = { 0 };
	cleanup_response struct response r = { 0 };
	struct json_object *job = NULL;
	int code;

	if (cli->watch) {
		interrupt_catch();
		code = wait_job(cli, cli->arg, on_change, &job);
		json_object_put(job);
		return code;
	}
	cli_path(&path, "/jobs/status", cli->arg);
	code = cli_call(cli, path.data, NULL, 0, &r);
	if (code || !(job = cli_parse(cli, &r)))
		return code ? code : CLI_PROTOCOL;
	if (cli->json) {
		code = print_json(cli, job);
	} else {
		status_print(cli, job, &out);
		code = cli_print(cli, &out);
	}
	json_object_put(job);
	return code;
}

/* list */

/* What people call a repository: the last two parts of its URL. */
static const char *
short_repo(const char *repo)
{
	const char *p = repo + strlen(repo);
	int slashes = 0;

	while (p > repo && slashes < 2)
		slashes += *--p == '/' || *p == ':';
	return slashes == 2 ? p + 1 : repo;
}

static void
list_row(const struct cli *cli, struct json_object *job, struct strbuf *out)
{
	add_state(cli, out, json_text(job, "status"), 9);
	strbuf_addc(out, ' ');
	add_cell(out, json_text(job, "id"), 26);
	add_cell(out, short_repo(json_text(job, "repo")), 24);
	add_cell(out, json_text(job, "branch"), 12);
	add_age(out, json_number(job, "queuedAt"));
	if (json_object_object_get_ex(job, "duration", NULL)) {
		strbuf_adds(out, ", took ");
		term_duration(out, json_number(job, "duration"));
	}
	if (*json_text(job, "waitReason")) {
		strbuf_adds(out, ", ");
		term_text(out, json_text(job, "waitReason"));
	}
	strbuf_addc(out, '\n');
}

int
verb_list(struct cli *cli)
{
	cleanup_strbuf struct strbuf path = { 0 }, out = { 0 };
	cleanup_response struct response r = { 0 };
	const struct {
		const char *key, *value;
	} queries[] = { { "status", cli->status },
			{ "repo", cli->repo },
			{ "branch", cli->branch },
			{ "limit", cli->limit } };
	struct json_object *jobs;
	int code;

	strbuf_adds(&path, "/jobs");
	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		if (queries[i].value)
			cli_query(&path, queries[i].key, queries[i].value);
	code = cli_call(cli, path.data, NULL, 0, &r);
	if (code || !(jobs = cli_parse(cli, &r)))
		return code ? code : CLI_PROTOCOL;
	if (cli->json) {
		code = print_json(cli, jobs);
	} else if (json_object_is_type(jobs, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(jobs); i++)
			list_row(cli, json_object_array_get_idx(jobs, i), &out);
		code = cli_print(cli, &out);
		if (!json_object_array_length(jobs) && cli->err_tty)
			report(cli, 0, "no such jobs");
	}
	json_object_put(jobs);
	return code;
}

int
verb_health(struct cli *cli)
{
	cleanup_response struct response r = { 0 };
	cleanup_strbuf struct strbuf out = { 0 };
	struct err e = { 0 };
	struct json_object *o;
	bool able;
	int code;

	if (client_call(cli->client, "/health", NULL, 0, &r, &e))
		return report_unreachable(cli, &e);
	if (r.status != 200 && r.status != 503)
		return report_refusal(cli, &r);
	o = cli_parse(cli, &r);
	if (!o)
		return CLI_PROTOCOL;
	if (cli->json) {
		code = print_json(cli, o);
	} else {
		add_field(&out, "status", json_text(o, "status"));
		add_field(&out, "reason", json_text(o, "reason"));
		add_field(&out, "version", json_text(o, "version"));
		add_field(&out, "mode", json_text(o, "mode"));
		strbuf_addf(&out, "%-10s %lld queued, %lld of %lld slots in use\n",
			    "jobs", (long long)json_number(o, "queued"),
			    (long long)json_number(o, "running"),
			    (long long)json_number(o, "slots"));
		code = cli_print(cli, &out);
	}
	able = strcmp(json_text(o, "status"), "ok") == 0;
	json_object_put(o);
	return code ? code : able ? CLI_OK : CLI_FAILURE;
}
