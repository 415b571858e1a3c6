#include "cli.h"

#include <stdio.h>

#include "slipway/fs.h"
#include "slipway/mem.h"
#include "term.h"

/* logs: with --follow as follow.c shows it, else the text as it is now. */

struct text {
	struct cli *cli;
	struct term_filter filter;
	int code;
};

static bool
on_data(void *arg, const char *data, size_t len)
{
	struct text *t = arg;
	cleanup_strbuf struct strbuf out = { 0 };

	if (t->cli->out_tty)
		term_filter(&t->filter, data, len, &out);
	else
		strbuf_add(&out, data, len);
	t->code = cli_print(t->cli, &out);
	return t->code == 0;
}

int
verb_logs(struct cli *cli)
{
	cleanup_strbuf struct strbuf path = { 0 };
	cleanup_response struct response r = { 0 };
	struct text t = { .cli = cli, .filter.colours = cli->out_colour };
	struct client_stream s = {
		.accept = "text/plain", .last_id = "", .on_data = on_data, .arg = &t
	};
	struct err e = { 0 };

	if (cli->times && (cli->follow || cli->json)) {
		fprintf(stderr, "slipway: --timestamps goes with neither --follow nor --json\n");
		return CLI_USAGE;
	}
	if (cli->follow || cli->json)
		return follow_job(cli, cli->arg);
	cli_path(&path, "/jobs/logs", cli->arg);
	cli_query(&path, "format", "text");
	cli_query(&path, "follow", "0");
	if (cli->times)
		cli_query(&path, "timestamps", "1");
	if (cli->step)
		cli_query(&path, "step", cli->step);
	if (cli->tail)
		cli_query(&path, "tail", cli->tail);
	if (cli->attempt)
		cli_query(&path, "attempt", cli->attempt);
	s.path = path.data;
	if (client_read(cli->client, &s, &r, &e))
		return report_unreachable(cli, &e);
	if (r.status != 200)
		return report_refusal(cli, &r);
	if (t.filter.coloured)
		fs_write_all(STDOUT_FILENO, TERM_RESET, sizeof(TERM_RESET) - 1, &e);
	return t.code;
}
