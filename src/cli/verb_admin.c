#include "cli.h"

#include <string.h>

#include "slipway/mem.h"
#include "term.h"
#include "wait.h"

/* pause, drain, resume, maintenance: verbs for those who run the server. */

#define REASON_MAX 200

static struct json_object *
post(struct cli *cli, const char *path, long timeout_s, int *code)
{
	cleanup_response struct response r = { 0 };
	cleanup_strbuf struct strbuf body = { 0 };
	struct json_object *o = json_object_new_object();

	if (cli->reason)
		json_object_object_add(o, "reason",
				       json_object_new_string(cli->reason));
	strbuf_adds(&body, json_object_to_json_string(o));
	json_object_put(o);
	*code = cli_call(cli, path, &body, timeout_s, &r);
	if (*code)
		return NULL;
	o = cli_parse(cli, &r);
	*code = o ? CLI_OK : CLI_PROTOCOL;
	return o;
}

static int
print_json(const struct cli *cli, struct json_object *o)
{
	cleanup_strbuf struct strbuf out = { 0 };

	strbuf_addf(&out, "%s\n",
		    json_object_to_json_string_ext(
			    o,
			    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	return cli_print(cli, &out);
}

static void
add_jobs(struct strbuf *out, int64_t n, const char *verb_one, const char *verb_more)
{
	strbuf_addf(out, "%lld job%s %s", (long long)n, n == 1 ? "" : "s",
		    n == 1 ? verb_one : verb_more);
}

/* "paused; 2 jobs run, 5 jobs wait" */
static int
print_state(const struct cli *cli, struct json_object *o)
{
	cleanup_strbuf struct strbuf out = { 0 };

	if (cli->json)
		return print_json(cli, o);
	term_text(&out, json_text(o, "state"));
	strbuf_adds(&out, "; ");
	add_jobs(&out, json_number(o, "running"), "runs", "run");
	strbuf_adds(&out, ", ");
	add_jobs(&out, json_number(o, "queued"), "waits", "wait");
	strbuf_addc(&out, '\n');
	return cli_print(cli, &out);
}

static int
set_state(struct cli *cli, const char *path)
{
	struct json_object *o;
	int code;

	if (cli->reason && strlen(cli->reason) > REASON_MAX)
		return report(cli, CLI_USAGE, "--reason: at most %d bytes", REASON_MAX);
	o = post(cli, path, 0, &code);
	if (code == 0)
		code = print_state(cli, o);
	json_object_put(o);
	return code;
}

int
verb_pause(struct cli *cli)
{
	return set_state(cli, "/admin/pause");
}

int
verb_resume(struct cli *cli)
{
	return set_state(cli, "/admin/resume");
}

/* Draining */

static int
health_once(struct cli *cli, struct json_object **health)
{
	cleanup_response struct response r = { 0 };
	struct err e = { 0 };

	*health = NULL;
	if (client_call(cli->client, "/health", NULL, 0, &r, &e))
		return e.code == ERR_CONNECT ? 0 : report_unreachable(cli, &e);
	if (r.status == 429 || r.status == 502 || r.status == 504)
		return 0;
	if (r.status != 200 && r.status != 503)
		return report_refusal(cli, &r);
	*health = json_tokener_parse(strbuf_str(&r.body));
	return 0;
}

static void
tell_running(struct cli *cli, int64_t n)
{
	cleanup_strbuf struct strbuf path = { 0 }, text = { 0 };
	cleanup_response struct response r = { 0 };
	struct json_object *jobs = NULL;

	strbuf_adds(&path, "/jobs?status=running&limit=5");
	if (client_call(cli->client, path.data, NULL, 0, &r, NULL) == 0 &&
	    r.status == 200)
		jobs = json_tokener_parse(strbuf_str(&r.body));
	add_jobs(&text, n, "runs", "run");
	for (size_t i = 0; json_object_is_type(jobs, json_type_array) &&
			   i < json_object_array_length(jobs);
	     i++)
		strbuf_addf(&text, "%s %s", i ? "," : ":",
			    json_text(json_object_array_get_idx(jobs, i), "id"));
	if (n > 5)
		strbuf_adds(&text, ", ...");
	report(cli, 0, "%s", text.data);
	json_object_put(jobs);
}

/* The server may be restarted meanwhile: drained it stays. */
static int
drain_wait(struct cli *cli)
{
	struct patience p = { 0 };
	int64_t told = -1;

	interrupt_catch();
	for (;;) {
		struct json_object *health;
		int code = health_once(cli, &health);
		int64_t running = json_number(health, "running");
		bool draining = strcmp(json_text(health, "status"), "draining") == 0;
		bool there = health != NULL;

		json_object_put(health);
		if (code)
			return code;
		if (there && !draining)
			return report(
				cli, CLI_FAILURE,
				"the server drains no longer: somebody else said so");
		if (there && running == 0)
			return CLI_OK;
		if (there && running != told)
			tell_running(cli, told = running);
		if (there)
			p = (struct patience){ 0 };
		if (!patience_wait(&p))
			return interrupted()
				       ? report(cli, CLI_INTERRUPTED,
						"interrupted; the server goes on "
						"draining (slipway resume ends that)")
				       : report(cli, CLI_UNREACHABLE,
						"gave up: %s does not answer",
						client_where(cli->client));
	}
}

int
verb_drain(struct cli *cli)
{
	int code = set_state(cli, "/admin/drain");

	return code || !cli->wait ? code : drain_wait(cli);
}

/* Maintenance */

int
verb_maintenance(struct cli *cli)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct json_object *o, *jobs = NULL;
	int code;

	o = post(cli, cli->dry ? "/admin/maintenance?dryRun=1" : "/admin/maintenance",
		 600, &code);
	if (code)
		return code;
	if (cli->json) {
		code = print_json(cli, o);
	} else {
		json_object_object_get_ex(o, "jobs", &jobs);
		add_jobs(&out, json_number(jobs, "deleted"),
			 cli->dry ? "would be deleted" : "deleted",
			 cli->dry ? "would be deleted" : "deleted");
		strbuf_addc(&out, '\n');
		code = cli_print(cli, &out);
	}
	json_object_put(o);
	return code;
}
