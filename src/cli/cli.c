#include "cli.h"

#include <curl/curl.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "here.h"
#include "slipway/mem.h"
#include "slipway/secret.h"
#include "slipway/version.h"

/*
 *	global options, verb, its options → client → the verb → its exit code
 */

const struct cli_verb cli_verbs[] = {
	{ "submit", "FILE", "wf", verb_submit,
	  "queue the job in FILE (- is standard input)",
	  "Prints the job's id. With --wait it waits for the end and prints the\n"
	  "state; with --follow it shows the log while it is written. Either way the\n"
	  "exit code tells how the job ended. Interrupting slipway leaves the job\n"
	  "running. A repo of \".\", \"./...\" or \"../...\" is a directory of this machine.\n"
	  "\n"
	  "  slipway submit job.json\n"
	  "  slipway submit --follow job.json\n"
	  "  make-job | slipway submit --wait - && deploy\n" },
	{ "validate", "FILE", "", verb_validate, "check a job without queueing it",
	  "Prints what the job would do, and warnings.\n"
	  "\n"
	  "  slipway validate job.json\n" },
	{ "status", "[ID]", "W", verb_status, "show a job and its steps",
	  "With --watch it shows every change until the job has ended; the exit code\n"
	  "then tells how. Without ID: the newest job of the repository of which this\n"
	  "directory is a checkout.\n"
	  "\n"
	  "  slipway status job-1700000000000-abc1234\n"
	  "  slipway status --watch release-42\n" },
	{ "list", "", "SRBN", verb_list, "list jobs, newest first",
	  "  slipway list --status failure --limit 20\n"
	  "  slipway list --repo https://git.example.org/app.git --branch main\n" },
	{ "logs", "[ID]", "ftTAZ", verb_logs, "print a job's log",
	  "Each step's output comes after a line [name]; lines that begin with * are\n"
	  "the daemon's. With --follow it goes on until the job has ended (over\n"
	  "restarts of the daemon, too), and the exit code tells how. Without ID: the\n"
	  "newest job of the repository of which this directory is a checkout.\n"
	  "\n"
	  "  slipway logs\n"
	  "  slipway logs -f release-42\n"
	  "  slipway logs --step build --tail 50 release-42\n" },
	{ "cancel", "ID", "", verb_cancel, "stop a job",
	  "Returns when its processes are gone.\n"
	  "\n"
	  "  slipway cancel release-42\n" },
	{ "retry", "ID", "wf", verb_retry, "run a finished job again",
	  "Same id, next attempt; the logs of earlier attempts stay (logs --attempt).\n"
	  "\n"
	  "  slipway retry --follow release-42\n" },
	{ "why", "[ID]", "", verb_why, "tell why a job waits, or how it came to its end",
	  "What it waits for and its place in the queue; where each attempt ran and\n"
	  "how it ended; the first step that failed, with the last lines of its\n"
	  "output. Without ID: the newest job of the repository of which this\n"
	  "directory is a checkout.\n"
	  "\n"
	  "  slipway why release-42\n" },
	{ "health", "", "", verb_health, "ask whether the server is able to run jobs",
	  "The exit code is 0 when it is, 1 when it answers that it is not.\n" },
	{ "token create", "", "ncx", verb_token_create, "make an access token",
	  "Prints the token, which is not shown again, and nothing else. Each scope\n"
	  "includes those before it: read; submit (also cancel and retry); admin. Over\n"
	  "the unix socket no token is needed to make one.\n"
	  "\n"
	  "  slipway token create --name deploy --scope read,submit --expires 30d\n"
	  "  (umask 077; slipway token create --name me --scope admin >~/.slipway)\n" },
	{ "token list", "", "", verb_token_list, "list the access tokens", "" },
	{ "token revoke", "NAME", "", verb_token_revoke, "take an access token away",
	  "It opens nothing any more, from now on; browsers that logged in with it are\n"
	  "logged out.\n"
	  "\n"
	  "  slipway token revoke deploy\n" },
	{ "pause", "", "M", verb_pause, "start no more jobs",
	  "Jobs are accepted and wait; those that run go on. It survives restarts of\n"
	  "the server, until slipway resume.\n"
	  "\n"
	  "  slipway pause --reason 'the disk is being swapped'\n" },
	{ "drain", "", "wM", verb_drain, "start and accept no more jobs",
	  "Those that run go on; submissions are refused. With --wait it returns once\n"
	  "no job runs. It survives restarts of the server, until slipway resume.\n"
	  "\n"
	  "  slipway drain --wait && reboot\n" },
	{ "resume", "", "", verb_resume, "end a pause or drain",
	  "  slipway resume\n" },
	{ "maintenance", "", "y", verb_maintenance, "delete old jobs now",
	  "What is older than retention.jobs of the server's configuration; it does so\n"
	  "by itself every hour.\n"
	  "\n"
	  "  slipway maintenance --dry-run\n" },
	{ "doctor", "", "C", verb_doctor, "look for what is wrong with an installation",
	  "Tries the server, its socket, the token, the clock, whether a proxy at\n"
	  "public_url holds back live logs; and, where the server runs: disk space,\n"
	  "sandboxes, their network, git credentials, the systemd units. Each problem\n"
	  "comes with the command that cures it. The exit code is 1 when there is one.\n"
	  "As root it sees more.\n"
	  "\n"
	  "  sudo slipway doctor\n"
	  "  slipway --server https://ci.example.org doctor\n" },
	{ .name = NULL },
};

static const char usage_text[] =
	"usage: slipway [--server URL|unix:PATH] [--token-file FILE] [--json] VERB"
	" ...\n";

static const char options_text[] =
	"\n"
	"Options of every verb:\n"
	"  -s, --server URL       http://HOST:PORT, https://HOST or unix:PATH\n"
	"                         (default: $SLIPWAY_URL, else\n"
	"                         /run/slipway/slipwayd.sock when the daemon listens\n"
	"                         there, else http://127.0.0.1:8080)\n"
	"      --token-file FILE  send the token in FILE (default: $SLIPWAY_TOKEN)\n"
	"      --json             print the server's JSON; events one per line\n"
	"      --no-color         no colours (also when NO_COLOR is set)\n"
	"  -h, --help             this, or the help of a verb\n"
	"  -V, --version\n";

static const char exits_text[] =
	"\n"
	"Exit codes: 0 done, or the job succeeded; 1 the job failed; 3 it ran into a\n"
	"time limit; 4 it was cancelled; 64 wrong use of this command; 65 the job is\n"
	"invalid, or in a state that does not allow this; 66 no such job or file; 69\n"
	"the server cannot be reached; 74 input or output failed; 75 the server takes\n"
	"no jobs now; 76 it answered something strange; 77 not allowed; 130\n"
	"interrupted.\n";

enum {
	OPT_TOKEN = 256,
	OPT_JSON,
	OPT_PLAIN,
};

static const struct option long_options[] = {
	{ "server", required_argument, NULL, 's' },
	{ "token-file", required_argument, NULL, OPT_TOKEN },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "no-color", no_argument, NULL, OPT_PLAIN },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "wait", no_argument, NULL, 'w' },
	{ "follow", no_argument, NULL, 'f' },
	{ "watch", no_argument, NULL, 'W' },
	{ "status", required_argument, NULL, 'S' },
	{ "repo", required_argument, NULL, 'R' },
	{ "branch", required_argument, NULL, 'B' },
	{ "limit", required_argument, NULL, 'N' },
	{ "step", required_argument, NULL, 't' },
	{ "tail", required_argument, NULL, 'T' },
	{ "attempt", required_argument, NULL, 'A' },
	{ "timestamps", no_argument, NULL, 'Z' },
	{ "name", required_argument, NULL, 'n' },
	{ "scope", required_argument, NULL, 'c' },
	{ "expires", required_argument, NULL, 'x' },
	{ "reason", required_argument, NULL, 'M' },
	{ "dry-run", no_argument, NULL, 'y' },
	{ "config", required_argument, NULL, 'C' },
	{ NULL, 0, NULL, 0 },
};

static const struct {
	char letter;
	const char *text;
} verb_options[] = {
	{ 'w', "  -w, --wait             wait until the job has ended, or none runs" },
	{ 'f', "  -f, --follow           show the log until the job has ended" },
	{ 'W', "      --watch            show changes until the job has ended" },
	{ 'S',
	  "      --status STATE     queued, running, success, failure, timeout or\n"
	  "                         cancelled only" },
	{ 'R', "      --repo URL         of this repository only" },
	{ 'B', "      --branch NAME      of this branch only" },
	{ 'N', "      --limit N          at most N jobs (1 to 200, default 50)" },
	{ 't',
	  "      --step STEP        of this step only (its name, or index from 0)" },
	{ 'T', "      --tail N           about the last N lines only" },
	{ 'A', "      --attempt N        of that attempt (default: the present one)" },
	{ 'n',
	  "      --name NAME        what it is called, in lists and in the audit log" },
	{ 'c', "      --scope LIST       what it may do: read, submit, admin" },
	{ 'x',
	  "      --expires TIME     how long it is valid, as in 12h or 30d (default: for ever)" },
	{ 'Z', "      --timestamps       with the time of each line (not with --follow)" },
	{ 'M', "      --reason TEXT      shown wherever a job waits for it" },
	{ 'y', "      --dry-run          only tell what would be deleted" },
	{ 'C',
	  "      --config FILE      the server's configuration (default:\n"
	  "                         " SLIPWAY_SYSCONF_DIR "/slipway.yaml)" },
};

struct options {
	struct cli *cli;
	const char *server, *token_file;
	bool plain, help, version;
	char used[16]; /* letters of the verb's options that were given */
	size_t nused;
};

static bool
option_flag(struct cli *cli, int c)
{
	bool *flag = c == 'w'	? &cli->wait
		     : c == 'f' ? &cli->follow
		     : c == 'W' ? &cli->watch
		     : c == 'Z' ? &cli->times
		     : c == 'y' ? &cli->dry
				: NULL;

	if (flag)
		*flag = true;
	return flag != NULL;
}

static bool
option_value(struct cli *cli, int c, const char *value)
{
	const struct {
		int c;
		const char **value;
	} values[] = { { 'S', &cli->status },  { 'R', &cli->repo },
		       { 'B', &cli->branch },  { 'N', &cli->limit },
		       { 't', &cli->step },    { 'T', &cli->tail },
		       { 'A', &cli->attempt }, { 'n', &cli->name },
		       { 'c', &cli->scope },   { 'x', &cli->expires },
		       { 'M', &cli->reason },  { 'C', &cli->config } };

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		if (values[i].c == c) {
			*values[i].value = value;
			return true;
		}
	}
	return false;
}

static bool
option_global(struct options *o, int c)
{
	switch (c) {
	case 's': o->server = optarg; return true;
	case OPT_TOKEN: o->token_file = optarg; return true;
	case OPT_JSON: o->cli->json = true; return true;
	case OPT_PLAIN: o->plain = true; return true;
	case 'h': o->help = true; return true;
	case 'V': o->version = true; return true;
	default: return false;
	}
}

static bool
options_parse(struct options *o, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "s:hVwf", long_options, NULL)) != -1) {
		if (option_global(o, c))
			continue;
		if (!option_flag(o->cli, c) && !option_value(o->cli, c, optarg))
			return false; /* getopt told why */
		if (o->nused + 1 < sizeof(o->used) && !strchr(o->used, c))
			o->used[o->nused++] = (char)c;
	}
	return true;
}

static void
print_help(FILE *f)
{
	fputs(usage_text, f);
	fputs("\nThe command line of slipway, a CI engine. Verbs:\n", f);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		fprintf(f, "  %-12s %-5s %s\n", v->name, v->args, v->summary);
	fputs(options_text, f);
	fputs(exits_text, f);
}

static void
print_verb_help(const struct cli_verb *v)
{
	printf("usage: slipway %s%s%s%s\n\n%s.\n%s", v->name,
	       *v->options ? " [options]" : "", *v->args ? " " : "", v->args,
	       v->summary, *v->options ? "\n" : "");
	for (size_t i = 0; i < ARRAY_LEN(verb_options); i++)
		if (strchr(v->options, verb_options[i].letter))
			puts(verb_options[i].text);
	printf("\n%s", v->help);
	fputs(options_text, stdout);
	fputs(exits_text, stdout);
}

/* Does the verb begin with these words? How many there are, 0 when not. */
static int
verb_fit(const struct cli_verb *v, int nwords, char *const *words)
{
	size_t len = strcspn(v->name, " ");

	if (strlen(words[0]) != len || strncmp(v->name, words[0], len) != 0)
		return 0;
	if (!v->name[len])
		return 1;
	return nwords > 1 && strcmp(v->name + len + 1, words[1]) == 0 ? 2 : 0;
}

static const struct cli_verb *
verb_find(int nwords, char *const *words, int *used)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if ((*used = verb_fit(v, nwords, words)) > 0)
			return v;
	return NULL;
}

/* The verbs that begin with a word; false when there are none. */
static bool
print_family(const char *word, FILE *f)
{
	size_t len = strlen(word);
	bool found = false;

	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		if (strncmp(v->name, word, len) != 0 || v->name[len] != ' ')
			continue;
		fprintf(f, "%sslipway %s%s%s  %s\n", found ? "       " : "usage: ", v->name,
			*v->args ? " " : "", v->args, v->summary);
		found = true;
	}
	return found;
}

static int
report_no_verb(const struct cli *cli, const char *word, bool help)
{
	if (print_family(word, help ? stdout : stderr))
		return help ? CLI_OK : CLI_USAGE;
	return report(cli, CLI_USAGE,
		      "there is no verb \"%s\"; slipway --help lists them", word);
}

/* Its options and its argument; false (reported) when they do not fit. */
static bool
verb_check(const struct options *o, const struct cli_verb *v, int nargs)
{
	for (size_t i = 0; i < o->nused; i++) {
		if (strchr(v->options, o->used[i]))
			continue;
		for (const struct option *l = long_options; l->name; l++)
			if (l->val == o->used[i])
				report(o->cli, 0, "%s takes no --%s", v->name, l->name);
		return false;
	}
	if (nargs == (*v->args != '\0') || (nargs == 0 && *v->args == '['))
		return true;
	if (*v->args == '[')
		report(o->cli, 0, "%s takes one argument at most: %s", v->name, v->args);
	else if (*v->args)
		report(o->cli, 0, "%s takes one argument: %s", v->name, v->args);
	else
		report(o->cli, 0, "%s takes no arguments", v->name);
	return false;
}

/* $SLIPWAY_TOKEN is for the session of one user; a file for all else. */
static int
token_load(const struct options *o, struct secret *token)
{
	const char *env = getenv("SLIPWAY_TOKEN");
	struct err e = { 0 };

	if (o->token_file && secret_load_file(token, o->token_file, &e))
		return report(o->cli, CLI_NOT_FOUND, "--token-file %s: %s",
			      o->token_file, e.msg);
	if (!o->token_file && env && *env)
		secret_set(token, env, strlen(env));
	return 0;
}

static int
verb_run(struct options *o, const struct cli_verb *v)
{
	cleanup_secret struct secret token = { 0 };
	const char *server = o->server ? o->server : getenv("SLIPWAY_URL");
	cleanup_free char *id = NULL;
	struct err e = { 0 };
	int code = token_load(o, &token);

	if (code)
		return code;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return report(o->cli, CLI_INTERNAL, "libcurl does not start");
	o->cli->client = client_new(server, token.data, &e);
	o->cli->has_token = token.len > 0;
	if (!o->cli->client)
		code = report(o->cli, CLI_USAGE, "%s", e.msg);
	else if (*v->args == '[' && !o->cli->arg)
		code = here_newest_job(o->cli, &id);
	if (id)
		o->cli->arg = id;
	if (code == 0)
		code = v->run(o->cli);
	client_free(o->cli->client);
	curl_global_cleanup();
	if (fflush(stdout) != 0 && code == 0)
		code = report(o->cli, CLI_IO, "standard output: %m");
	return code;
}

static void
cli_set_terminal(struct cli *cli, bool plain)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	plain = plain || (no && *no) || (term && strcmp(term, "dumb") == 0);
	cli->out_tty = isatty(STDOUT_FILENO);
	cli->err_tty = isatty(STDERR_FILENO);
	cli->out_colour = cli->out_tty && !plain;
	cli->err_colour = cli->err_tty && !plain;
}

int
cli_main(int argc, char **argv)
{
	struct cli cli = { 0 };
	struct options o = { .cli = &cli };
	const struct cli_verb *v = NULL;
	int used = 0;

	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_DFL);
	if (!options_parse(&o, argc, argv)) {
		fputs("Try slipway --help.\n", stderr);
		return CLI_USAGE;
	}
	cli_set_terminal(&cli, o.plain);
	if (o.version) {
		puts("slipway " SLIPWAY_VERSION);
		return CLI_OK;
	}
	if (optind < argc && strcmp(argv[optind], "help") == 0) {
		o.help = true;
		optind++;
	}
	if (optind < argc && !(v = verb_find(argc - optind, argv + optind, &used)))
		return report_no_verb(&cli, argv[optind], o.help);
	if (!v) {
		print_help(o.help ? stdout : stderr);
		return o.help ? CLI_OK : CLI_USAGE;
	}
	if (o.help) {
		print_verb_help(v);
		return CLI_OK;
	}
	optind += used;
	if (!verb_check(&o, v, argc - optind)) {
		fprintf(stderr, "Try slipway %s --help.\n", v->name);
		return CLI_USAGE;
	}
	cli.verb = v->name;
	cli.arg = argv[optind];
	return verb_run(&o, v);
}
