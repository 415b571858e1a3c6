#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "slipway/jobspec.h"
#include "slipway/mem.h"
#include "term.h"
#include "wait.h"

/* submit, validate, retry, cancel: verbs that send something. */

/* A repository told relative to here, "." above all, means a directory of this machine:
 * the server gets its whole path. What is no job at all is left for the server to judge. */
static int
job_localise(const struct cli *cli, struct strbuf *body)
{
	struct json_object *job = json_tokener_parse(body->data), *repo = NULL;
	cleanup_free char *path = NULL;
	const char *text;

	if (job && json_object_is_type(job, json_type_object))
		repo = json_object_object_get(job, "repo");
	text = json_object_is_type(repo, json_type_string) ? json_object_get_string(repo)
							   : "";
	if (strcmp(text, ".") && strncmp(text, "./", 2) && strcmp(text, "..") &&
	    strncmp(text, "../", 3)) {
		json_object_put(job);
		return 0;
	}
	path = realpath(text, NULL);
	if (path) {
		json_object_object_add(job, "repo", json_object_new_string(path));
		strbuf_reset(body);
		strbuf_adds(body, json_object_to_json_string_ext(
					  job, JSON_C_TO_STRING_PLAIN |
						       JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		report(cli, 0, "repo: %s: %s", text, strerror(errno));
	}
	json_object_put(job);
	return path ? 0 : CLI_INVALID;
}

/* FILE, or standard input for "-". 0, or the exit code. */
static int
job_read(const struct cli *cli, struct strbuf *out)
{
	bool is_stdin = strcmp(cli->arg, "-") == 0;
	cleanup_close int opened = -1;
	int fd = STDIN_FILENO;
	ssize_t n;

	if (!is_stdin)
		fd = opened = open(cli->arg, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return report(cli, CLI_NOT_FOUND, "%s: %s", cli->arg, strerror(errno));
	do {
		strbuf_reserve(out, 65536);
		n = read(fd, out->data + out->len, 65536);
		if (n > 0)
			out->len += (size_t)n;
	} while ((n > 0 && out->len <= JOBSPEC_BODY_MAX) || (n < 0 && errno == EINTR));
	if (n < 0)
		return report(cli, CLI_IO, "%s: %s", cli->arg, strerror(errno));
	if (out->len > JOBSPEC_BODY_MAX)
		return report(cli, CLI_INVALID, "%s: a job has at most %u KiB",
			      cli->arg, JOBSPEC_BODY_MAX >> 10);
	out->data[out->len] = '\0';
	return job_localise(cli, out);
}

static int
print_answer(const struct cli *cli, struct response *r)
{
	if (r->body.len == 0 || r->body.data[r->body.len - 1] != '\n')
		strbuf_addc(&r->body, '\n');
	return cli_print(cli, &r->body);
}

static int
finish_waiting(struct cli *cli, const char *id)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct json_object *job = NULL;
	int code, printed;

	interrupt_catch();
	code = wait_job(cli, id, NULL, &job);
	if (code <= CLI_CANCELLED && job) {
		const char *why = json_text(job, "error");

		if (cli->json)
			strbuf_adds(&out,
				    json_object_to_json_string_ext(
					    job,
					    JSON_C_TO_STRING_PLAIN |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
		else
			term_text(&out, json_text(job, "status"));
		strbuf_addc(&out, '\n');
		printed = cli_print(cli, &out);
		if (*why)
			report(cli, 0, "%s (slipway why %s tells more)", why, id);
		code = printed ? printed : code;
	}
	json_object_put(job);
	return code;
}

/* The job is in the queue: print its id, or stay with it. */
static int
queued(struct cli *cli, struct response *r)
{
	struct json_object *o = cli_parse(cli, r);
	cleanup_free char *id = xstrdup(json_text(o, "jobId"));
	cleanup_strbuf struct strbuf out = { 0 };
	int64_t position = json_number(o, "queuePosition");

	json_object_put(o);
	if (!*id)
		return report(cli, CLI_PROTOCOL, "the answer names no job");
	if (cli->follow)
		return follow_job(cli, id);
	if (cli->wait)
		return finish_waiting(cli, id);
	if (cli->json)
		return print_answer(cli, r);
	term_text(&out, id);
	if (cli->err_tty && position > 1)
		report(cli, 0, "queued at position %lld; slipway logs -f %s",
		       (long long)position, id);
	else if (cli->err_tty)
		report(cli, 0, "queued; slipway logs -f %s", id);
	strbuf_addc(&out, '\n');
	return cli_print(cli, &out);
}

int
verb_submit(struct cli *cli)
{
	cleanup_response struct response r = { 0 };
	cleanup_strbuf struct strbuf body = { 0 };
	int code = job_read(cli, &body);

	if (code == 0)
		code = cli_call(cli, "/jobs/submit", &body, 0, &r);
	return code ? code : queued(cli, &r);
}

int
verb_validate(struct cli *cli)
{
	cleanup_response struct response r = { 0 };
	cleanup_strbuf struct strbuf body = { 0 }, out = { 0 };
	struct json_object *o, *plan = NULL, *list;
	size_t nsteps;
	int code = job_read(cli, &body);

	if (code == 0)
		code = cli_call(cli, "/jobs/validate", &body, 0, &r);
	if (code || cli->json)
		return code ? code : print_answer(cli, &r);
	o = cli_parse(cli, &r);
	json_object_object_get_ex(o, "plan", &plan);
	list = json_list(plan, "steps");
	nsteps = list ? json_object_array_length(list) : 0;
	strbuf_addf(&out, "valid: %zu step%s, at most %lld s, network %s\n", nsteps,
		    nsteps == 1 ? "" : "s", (long long)json_number(plan, "timeout"),
		    json_text(plan, "network"));
	list = json_list(plan, "warnings");
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		strbuf_adds(&out, "warning: ");
		term_text(&out,
			  json_object_get_string(json_object_array_get_idx(list, i)));
		strbuf_addc(&out, '\n');
	}
	json_object_put(o);
	return cli_print(cli, &out);
}

static int
post_id(struct cli *cli, const char *path, struct response *r)
{
	cleanup_strbuf struct strbuf body = { 0 };
	struct json_object *o = json_object_new_object();
	int code;

	json_object_object_add(o, "jobId", json_object_new_string(cli->arg));
	strbuf_adds(&body, json_object_to_json_string(o));
	json_object_put(o);
	/* A cancel answers when the processes are gone: grace and all. */
	code = cli_call(cli, path, &body, 120, r);
	return code;
}

int
verb_retry(struct cli *cli)
{
	cleanup_response struct response r = { 0 };
	int code = post_id(cli, "/jobs/retry", &r);

	return code ? code : queued(cli, &r);
}

int
verb_cancel(struct cli *cli)
{
	cleanup_response struct response r = { 0 };
	struct json_object *o, *cancelled = NULL;
	int code = post_id(cli, "/jobs/cancel", &r);

	if (code)
		return code;
	o = cli_parse(cli, &r);
	if (!o)
		return CLI_PROTOCOL;
	json_object_object_get_ex(o, "cancelled", &cancelled);
	if (!json_object_get_boolean(cancelled))
		code = report(cli, CLI_FAILURE, "not cancelled: %s",
			      json_text(o, "reason"));
	else if (!cli->json)
		report(cli, 0, "%s is cancelled", cli->arg);
	json_object_put(o);
	if (cli->json)
		print_answer(cli, &r);
	return code;
}
