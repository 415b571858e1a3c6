/*
 * cli: the program `slipway`. What the files of cli/ share.
 *
 * Results go to standard output, all else (what is going on, errors, what to do next)
 * to standard error. With --json standard output holds the server's JSON and nothing
 * else.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "slipway/err.h"
#include "slipway/strbuf.h"

/* How a job ended, where it was waited for; else as sysexits has them. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILURE = 1,
	CLI_TIMEOUT = 3,
	CLI_CANCELLED = 4,
	CLI_USAGE = 64,
	CLI_INVALID = 65,
	CLI_NOT_FOUND = 66,
	CLI_UNREACHABLE = 69,
	CLI_INTERNAL = 70,
	CLI_IO = 74,
	CLI_BUSY = 75,
	CLI_PROTOCOL = 76,
	CLI_DENIED = 77,
	CLI_INTERRUPTED = 130,
};

struct cli {
	struct client *client;
	bool json;
	bool out_tty, err_tty;
	bool out_colour, err_colour;
	/* Of the verb. */
	const char *verb, *arg; /* arg: its FILE or ID, or NULL */
	bool wait, follow, watch, times, dry;
	bool has_token;
	const char *status, *repo, *branch, *step;
	const char *reason, *config;
	const char *limit, *tail, *attempt;
	const char *name, *scope, *expires;
};

struct cli_verb {
	const char *name;    /* one word, or two */
	const char *args;    /* "FILE", "ID", "[ID]" or "" */
	const char *options; /* letters of those it takes, besides the global ones */
	int (*run)(struct cli *cli);
	const char *summary;
	const char *help; /* more lines, with examples */
};
extern const struct cli_verb cli_verbs[]; /* ends with name NULL */

int cli_main(int argc, char **argv);

int verb_submit(struct cli *cli);
int verb_validate(struct cli *cli);
int verb_retry(struct cli *cli);
int verb_cancel(struct cli *cli);
int verb_status(struct cli *cli);
int verb_list(struct cli *cli);
int verb_logs(struct cli *cli);
int verb_why(struct cli *cli);
int verb_health(struct cli *cli);
int verb_token_create(struct cli *cli);
int verb_token_list(struct cli *cli);
int verb_token_revoke(struct cli *cli);
int verb_pause(struct cli *cli);
int verb_drain(struct cli *cli);
int verb_resume(struct cli *cli);
int verb_maintenance(struct cli *cli);
int verb_doctor(struct cli *cli);

/* report.c: talking to people, and to the server for a verb. */

/* "slipway: ..." on standard error; returns code. */
int report(const struct cli *cli, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* No answer came: says so, and what to try. */
int report_unreachable(const struct cli *cli, const struct err *e);
/* The server refused: its reason; the exit code that follows from the status. */
int report_refusal(const struct cli *cli, const struct response *r);
/* Call and report all but success (200..299). 0, or the exit code. */
int cli_call(struct cli *cli, const char *path, const struct strbuf *body,
	     long timeout_s, struct response *r);
/* The answer as JSON; reports and NULL when it is none. */
struct json_object *cli_parse(const struct cli *cli, const struct response *r);
/* Standard output, complete or reported. */
int cli_print(const struct cli *cli, const struct strbuf *text);
/* PATH?id=ID, encoded. */
void cli_path(struct strbuf *out, const char *path, const char *id);
void cli_query(struct strbuf *out, const char *key, const char *value);

const char *json_text(struct json_object *o, const char *key);	       /* "" */
int64_t json_number(struct json_object *o, const char *key);	       /* 0 */
struct json_object *json_list(struct json_object *o, const char *key); /* or NULL */

int exit_of_state(const char *state);
bool state_is_final(const char *state);

/* follow.c: shows the log of a job over any number of connections: with cli->follow
 * until it is final, and returns the exit code that follows from its state; else as it
 * is now. */
int follow_job(struct cli *cli, const char *id);
