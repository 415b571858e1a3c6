#include "cli.h"

#include <string.h>

#include "live.h"
#include "slipway/mem.h"
#include "sse_parse.h"
#include "wait.h"

/*
 *	status (is there such a job, how many steps) → read events → "end"
 *	  → the stream broke: wait a little, read on behind the last event that came
 */

struct follow {
	struct cli *cli;
	const char *id;
	struct live live;
	struct sse_parser parser;
	struct patience patience;
	char state[16];
	int64_t attempt;
	bool ended, bad;
	int code;
};

static void
on_message(struct follow *f, const struct sse_event *ev, struct json_object *o)
{
	live_output(&f->live, ev->data, ev->len, ev->partial);
}

static void
on_note(struct follow *f, const struct sse_event *ev, struct json_object *o)
{
	cleanup_free char *text = xasprintf("* %s", json_text(o, "text"));

	live_line(&f->live, json_number(o, "error") ? TERM_RED : TERM_DIM, text);
}

static void
step_ended(struct follow *f, struct json_object *o, const char *status)
{
	cleanup_strbuf struct strbuf text = { 0 };
	bool failed = strcmp(status, "failure") == 0;

	strbuf_addf(&text, "%s: %s", json_text(o, "name"), status);
	if (failed)
		strbuf_addf(&text, " (exit code %d)", (int)json_number(o, "exitCode"));
	if (json_object_object_get_ex(o, "duration", NULL)) {
		strbuf_adds(&text, " after ");
		term_duration(&text, json_number(o, "duration"));
	}
	live_remark(&f->live, term_state_colour(status), text.data);
	live_step(&f->live, -1, "");
}

static void
on_step(struct follow *f, const struct sse_event *ev, struct json_object *o)
{
	const char *status = json_text(o, "status"), *name = json_text(o, "name");
	cleanup_free char *head = NULL;

	if (strcmp(status, "running") != 0) {
		step_ended(f, o, status);
		return;
	}
	head = xasprintf("[%s]", name);
	live_line(&f->live, TERM_BOLD, head);
	live_step(&f->live, (int)json_number(o, "index"), name);
}

static void
on_status(struct follow *f, const struct sse_event *ev, struct json_object *o)
{
	cleanup_strbuf struct strbuf text = { 0 };
	const char *state = json_text(o, "status"), *why = json_text(o, "waitReason");
	int64_t attempt = json_number(o, "attempt");
	bool changed = strcmp(f->state, state) != 0 || f->attempt != attempt;

	STR_COPY(f->state, state);
	f->attempt = attempt;
	if (changed && !state_is_final(state)) {
		strbuf_addf(&text, "job %s is %s", f->id, state);
		if (attempt > 1)
			strbuf_addf(&text, ", attempt %lld", (long long)attempt);
		if (*why)
			strbuf_addf(&text, ": %s", why);
		live_remark(&f->live, TERM_DIM, text.data);
	}
	if (!state_is_final(state))
		live_state(&f->live, state);
}

static void
on_end(struct follow *f, const struct sse_event *ev, struct json_object *o)
{
	cleanup_strbuf struct strbuf text = { 0 };
	const char *state = json_text(o, "status"), *why = json_text(o, "error");

	f->ended = true;
	f->code = f->cli->follow ? exit_of_state(state) : CLI_OK;
	strbuf_addf(&text, "job %s: %s", f->id, state);
	if (json_object_object_get_ex(o, "duration", NULL)) {
		strbuf_adds(&text, " after ");
		term_duration(&text, json_number(o, "duration"));
	}
	if (*why)
		strbuf_addf(&text, " (%s)", why);
	live_remark(&f->live, term_state_colour(state), text.data);
}

static const struct {
	const char *name;
	void (*handle)(struct follow *f, const struct sse_event *ev,
		       struct json_object *o);
} handlers[] = {
	{ "message", on_message }, { "note", on_note }, { "step", on_step },
	{ "status", on_status },   { "end", on_end },
};

/* One line per event: {event, id?, partial?, data}, data as it came. */
static void
print_event(struct follow *f, const struct sse_event *ev, struct json_object *data)
{
	cleanup_strbuf struct strbuf line = { 0 };
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "event", json_object_new_string(ev->name));
	if (*ev->id)
		json_object_object_add(o, "id", json_object_new_string(ev->id));
	if (ev->partial)
		json_object_object_add(o, "partial", json_object_new_boolean(true));
	json_object_object_add(o, "data",
			       data ? json_object_get(data)
				    : json_object_new_string_len(ev->data,
								 (int)ev->len));
	strbuf_adds(&line, json_object_to_json_string_ext(
				   o, JSON_C_TO_STRING_PLAIN |
					      JSON_C_TO_STRING_NOSLASHESCAPE));
	strbuf_addc(&line, '\n');
	json_object_put(o);
	f->live.exit = cli_print(f->cli, &line);
	if (strcmp(ev->name, "end") == 0) {
		f->ended = true;
		f->code = f->cli->follow ? exit_of_state(json_text(data, "status"))
					 : CLI_OK;
	}
}

static void
on_event(void *arg, const struct sse_event *ev)
{
	struct follow *f = arg;
	struct json_object *o = NULL;

	if (f->ended || f->live.exit)
		return;
	if (strcmp(ev->name, "message") != 0)
		o = json_tokener_parse(ev->data);
	if (f->cli->json) {
		print_event(f, ev, o);
		json_object_put(o);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(handlers); i++)
		if (strcmp(handlers[i].name, ev->name) == 0)
			handlers[i].handle(f, ev, o);
	json_object_put(o);
}

static bool
on_data(void *arg, const char *data, size_t len)
{
	struct follow *f = arg;

	f->patience = (struct patience){ 0 };
	f->bad = sse_parser_feed(&f->parser, data, len) != 0;
	return !f->bad && !f->ended && !f->live.exit && !interrupted();
}

static bool
on_tick(void *arg)
{
	struct follow *f = arg;

	live_tick(&f->live);
	return !interrupted();
}

static bool
is_passing(long status)
{
	return status == 200 || status == 429 || (status >= 502 && status <= 504);
}

static int
follow_read(struct follow *f, const char *path)
{
	cleanup_response struct response r = { 0 };
	struct err e = { 0 };
	struct client_stream s = { .path = path,
				   .accept = "text/event-stream",
				   .on_data = on_data,
				   .on_tick = on_tick,
				   .arg = f };
	bool told = false;

	for (;;) {
		int rc;

		s.last_id = strbuf_str(&f->parser.id);
		rc = client_read(f->cli->client, &s, &r, &e);
		live_clear(&f->live);
		if (f->ended || f->live.exit)
			return f->live.exit ? f->live.exit : f->code;
		if (f->bad)
			return report(f->cli, CLI_PROTOCOL,
				      "%s sends no log stream: is it slipwayd?",
				      client_where(f->cli->client));
		if (rc == 0 && !is_passing(r.status))
			return report_refusal(f->cli, &r);
		if (rc == 0 && r.status == 200 && !f->cli->follow)
			return CLI_OK;
		if (rc && !told)
			report(f->cli, 0, "%s; trying again", e.msg);
		told = rc != 0;
		sse_parser_restart(&f->parser);
		if (!patience_wait(&f->patience))
			return interrupted() ? report_interrupted(f->cli, f->id)
					     : report_gave_up(f->cli, f->id);
	}
}

int
follow_job(struct cli *cli, const char *id)
{
	struct follow f = { .cli = cli, .id = id };
	cleanup_strbuf struct strbuf path = { 0 }, logs = { 0 };
	cleanup_response struct response r = { 0 };
	struct json_object *job;
	int code;

	cli_path(&path, "/jobs/status", id);
	code = cli_call(cli, path.data, NULL, 0, &r);
	if (code)
		return code;
	job = cli_parse(cli, &r);
	if (!job)
		return CLI_PROTOCOL;
	live_init(&f.live, cli, (int)json_object_array_length(json_list(job, "steps")));
	json_object_put(job);
	cli_path(&logs, "/jobs/logs", id);
	if (!cli->follow)
		cli_query(&logs, "follow", "0");
	if (cli->step)
		cli_query(&logs, "step", cli->step);
	if (cli->tail)
		cli_query(&logs, "tail", cli->tail);
	if (cli->attempt)
		cli_query(&logs, "attempt", cli->attempt);
	f.parser.on_event = on_event;
	f.parser.arg = &f;
	interrupt_catch();
	code = follow_read(&f, logs.data);
	sse_parser_free(&f.parser);
	return code;
}
