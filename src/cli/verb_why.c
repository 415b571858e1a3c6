#include "cli.h"

#include <string.h>

#include "slipway/mem.h"
#include "term.h"

/* why: one chain of causes, from the answers that the server has anyway. */

#define LAST_LINES 20

static void
why_queued(struct json_object *job, struct strbuf *out)
{
	const char *reason = json_text(job, "waitReason");
	int64_t position = json_number(job, "queuePosition");

	strbuf_adds(out, "It waits");
	if (*reason) {
		strbuf_adds(out, ": ");
		term_text(out, reason);
	}
	strbuf_adds(out, ".\n");
	if (position)
		strbuf_addf(out,
			    "It is number %lld in the queue, with priority %lld.\n",
			    (long long)position,
			    (long long)json_number(job, "priority"));
}

static void
why_running(struct json_object *job, struct strbuf *out)
{
	struct json_object *current = NULL, *step;

	if (json_object_object_get_ex(job, "currentStep", &current)) {
		step = json_object_array_get_idx(json_list(job, "steps"),
						 (size_t)json_object_get_int(current));
		strbuf_addf(out, "It is at step %d, ",
			    json_object_get_int(current) + 1);
		term_text(out, json_text(step, "name"));
	} else {
		strbuf_adds(out, "It is in phase ");
		term_text(out, json_text(job, "phase"));
	}
	strbuf_adds(out, ", on runner ");
	term_text(out, json_text(job, "runner"));
	strbuf_adds(out, ".\n");
}

static void
why_final(struct json_object *job, struct strbuf *out)
{
	const char *error = json_text(job, "error"), *reason = json_text(job, "reason");
	bool tells = *reason && strcmp(reason, json_text(job, "status")) != 0;
	int64_t warnings = json_number(job, "warnings");

	if (*error) {
		term_text(out, error);
		if (tells) {
			strbuf_adds(out, " (");
			term_text(out, reason);
			strbuf_addc(out, ')');
		}
		strbuf_adds(out, ".\n");
	}
	if (warnings)
		strbuf_addf(out, "%lld step%s failed that may fail.\n",
			    (long long)warnings, warnings == 1 ? "" : "s");
}

static void
why_attempt(struct json_object *a, struct strbuf *out)
{
	strbuf_addf(out, "  %lld  ", (long long)json_number(a, "number"));
	term_text(out, json_text(a, "status"));
	if (*json_text(a, "reason")) {
		strbuf_adds(out, ", ");
		term_text(out, json_text(a, "reason"));
	}
	if (*json_text(a, "runner")) {
		strbuf_adds(out, ", on ");
		term_text(out, json_text(a, "runner"));
	}
	if (json_object_object_get_ex(a, "duration", NULL)) {
		strbuf_adds(out, ", ");
		term_duration(out, json_number(a, "duration"));
	}
	if (*json_text(a, "error")) {
		strbuf_adds(out, ": ");
		term_text(out, json_text(a, "error"));
	}
	strbuf_addc(out, '\n');
}

static void
why_attempts(struct json_object *job, struct strbuf *out)
{
	struct json_object *list = json_list(job, "attempts");

	if (!list || !json_object_array_length(list))
		return;
	strbuf_adds(out, "\nAttempts:\n");
	for (size_t i = 0; i < json_object_array_length(list); i++)
		why_attempt(json_object_array_get_idx(list, i), out);
}

/* Where the last lines of text begin. */
static const char *
last_lines(const char *text, unsigned lines)
{
	const char *p = text + strlen(text);

	if (p > text && p[-1] == '\n')
		p--;
	while (p > text && (p[-1] != '\n' || --lines > 0))
		p--;
	return p;
}

static void
why_output(const struct cli *cli, const char *output, struct strbuf *out)
{
	struct term_filter filter = { .colours = cli->out_colour };
	const char *p = last_lines(output, LAST_LINES);

	while (*p) {
		size_t len = strcspn(p, "\n");

		strbuf_adds(out, "  | ");
		if (cli->out_tty)
			term_filter(&filter, p, len, out);
		else
			strbuf_add(out, p, len);
		if (filter.coloured)
			strbuf_adds(out, TERM_RESET);
		strbuf_addc(out, '\n');
		p += len + (p[len] == '\n');
	}
}

static void
why_step(const struct cli *cli, struct json_object *job, struct strbuf *out)
{
	struct json_object *steps = json_list(job, "steps");

	for (size_t i = 0; steps && i < json_object_array_length(steps); i++) {
		struct json_object *step = json_object_array_get_idx(steps, i);

		if (strcmp(json_text(step, "status"), "failure") != 0 ||
		    json_object_object_get_ex(step, "continueOnError", NULL))
			continue;
		strbuf_addf(out, "\nThe first step that failed is number %zu, ", i + 1);
		term_text(out, json_text(step, "name"));
		if (json_object_object_get_ex(step, "exitCode", NULL))
			strbuf_addf(out, ", with exit code %d",
				    (int)json_number(step, "exitCode"));
		if (json_object_object_get_ex(step, "duration", NULL)) {
			strbuf_adds(out, ", after ");
			term_duration(out, json_number(step, "duration"));
		}
		/* Without the field, later steps printed so much that it is not told. */
		if (!json_object_object_get_ex(step, "output", NULL))
			strbuf_adds(out, ".\n");
		else
			strbuf_adds(out, *json_text(step, "output")
						 ? ". It last printed:\n"
						 : ". It printed nothing.\n");
		why_output(cli, json_text(step, "output"), out);
		strbuf_addf(out, "\nAll of it: slipway logs --step %zu %s\n", i,
			    json_text(job, "id"));
		return;
	}
}

static void
why_print(const struct cli *cli, struct json_object *job, struct strbuf *out)
{
	const char *state = json_text(job, "status");

	strbuf_adds(out, "Job ");
	term_text(out, json_text(job, "id"));
	strbuf_adds(out, ": ");
	if (cli->out_colour)
		strbuf_adds(out, term_state_colour(state));
	term_text(out, state);
	if (cli->out_colour)
		strbuf_adds(out, TERM_RESET);
	strbuf_adds(out, ".\n");
	if (strcmp(state, "queued") == 0)
		why_queued(job, out);
	else if (strcmp(state, "running") == 0)
		why_running(job, out);
	else
		why_final(job, out);
	why_attempts(job, out);
	why_step(cli, job, out);
}

int
verb_why(struct cli *cli)
{
	cleanup_strbuf struct strbuf path = { 0 }, out = { 0 };
	cleanup_response struct response r = { 0 };
	struct json_object *job;
	int code;

	cli_path(&path, "/jobs/status", cli->arg);
	code = cli_call(cli, path.data, NULL, 0, &r);
	if (code || !(job = cli_parse(cli, &r)))
		return code ? code : CLI_PROTOCOL;
	if (cli->json)
		strbuf_addf(&out, "%s\n",
			    json_object_to_json_string_ext(
				    job, JSON_C_TO_STRING_PLAIN |
						 JSON_C_TO_STRING_NOSLASHESCAPE));
	else
		why_print(cli, job, &out);
	json_object_put(job);
	return cli_print(cli, &out);
}
