#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "slipway/mem.h"
#include "term.h"

/*
 *	the server's side first (the checks of the machine go by what it tells), then the
 *	machine's, if the server is here
 */

#define CONF_FILE SLIPWAY_SYSCONF_DIR "/slipway.yaml"

static const struct {
	const char *name;
	bool local; /* makes sense only where the server is */
	void (*run)(struct doctor *d);
} checks[] = {
	{ "config", true, doctor_config },     { "socket", false, doctor_socket },
	{ "daemon", false, doctor_daemon },    { "token", false, doctor_token },
	{ "clock", false, doctor_clock },      { "proxy", false, doctor_stream },
	{ "disk", true, doctor_disk },	       { "bwrap", true, doctor_bwrap },
	{ "namespaces", true, doctor_userns }, { "slirp4netns", true, doctor_slirp },
	{ "tun", true, doctor_tun },	       { "docker", true, doctor_docker },
	{ "git", true, doctor_git },	       { "systemd", true, doctor_systemd },
};

static const struct {
	const char *word, *colour;
} results[] = {
	[DOCTOR_OK] = { "ok", TERM_GREEN },
	[DOCTOR_NOTE] = { "note", TERM_DIM },
	[DOCTOR_PROBLEM] = { "problem", TERM_RED },
};

/* A line per check, at once: some take a moment. */
static void
say_to_people(const struct doctor *d, enum doctor_result result, const char *text,
	      const char *cure)
{
	cleanup_strbuf struct strbuf out = { 0 };

	if (d->cli->out_colour)
		strbuf_adds(&out, results[result].colour);
	strbuf_addf(&out, "%-8s", results[result].word);
	if (d->cli->out_colour)
		strbuf_adds(&out, TERM_RESET);
	strbuf_addf(&out, " %-12s", d->name);
	term_text(&out, text);
	strbuf_addc(&out, '\n');
	if (*cure) {
		strbuf_addf(&out, "%-22scure: ", "");
		term_text(&out, cure);
		strbuf_addc(&out, '\n');
	}
	cli_print(d->cli, &out);
}

void
doctor_say(struct doctor *d, enum doctor_result result, const char *cure,
	   const char *fmt, ...)
{
	struct json_object *o = json_object_new_object();
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	d->problems += result == DOCTOR_PROBLEM;
	json_object_object_add(o, "name", json_object_new_string(d->name));
	json_object_object_add(o, "result",
			       json_object_new_string(results[result].word));
	json_object_object_add(o, "text", json_object_new_string(text));
	if (*cure)
		json_object_object_add(o, "cure", json_object_new_string(cure));
	json_object_array_add(d->told, o);
	if (!d->cli->json)
		say_to_people(d, result, text, cure);
}

/* The configuration that the server reads, as far as this user may. */
static void
conf_open(struct doctor *d)
{
	const char *file = d->cli->config ? d->cli->config : CONF_FILE;

	d->conf_file = "";
	if (d->cli->config || access(file, F_OK) == 0) {
		d->conf_file = file;
		d->conf = conf_load(file, false, NULL, 0, NULL);
	}
	if (!d->conf)
		d->conf = conf_load(NULL, false, NULL, 0, NULL);
}

void
doctor_config(struct doctor *d)
{
	cleanup_free char *cure = xasprintf("slipwayd -t -c %s", d->conf_file);
	struct conf *c;
	struct err e = { 0 };

	if (!*d->conf_file) {
		doctor_say(d, DOCTOR_NOTE, "",
			   "there is no " CONF_FILE "; taking the defaults");
		return;
	}
	if (access(d->conf_file, R_OK) != 0 && errno == EACCES) {
		doctor_say(d, DOCTOR_NOTE, "",
			   "%s cannot be read by this user; taking the defaults",
			   d->conf_file);
		return;
	}
	c = conf_load(d->conf_file, false, NULL, 0, &e);
	if (c)
		doctor_say(d, DOCTOR_OK, "", "%s is valid", d->conf_file);
	else
		doctor_say(d, DOCTOR_PROBLEM, cure, "%s", e.msg);
	conf_free(c);
}

/* As the runner does: a daemon of root's has its jobs run by another user. */
static void
user_find(struct doctor *d)
{
	const char *name = d->conf->nrunners ? d->conf->runners[0].user : "";
	struct passwd *pw;

	if (geteuid() != 0)
		return;
	pw = getpwnam(*name ? name : "slipway");
	if (!pw)
		pw = getpwnam("nobody");
	if (!pw)
		return;
	d->has_user = true;
	d->uid = pw->pw_uid;
	d->gid = pw->pw_gid;
}

static bool
is_loopback(const char *server)
{
	static const char *const hosts[] = { "127.", "localhost", "[::1]" };
	const char *host = strstr(server, "://");

	host = host ? host + 3 : server;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
		if (strncmp(host, hosts[i], strlen(hosts[i])) == 0)
			return true;
	return false;
}

static int
print_all(struct doctor *d)
{
	cleanup_strbuf struct strbuf out = { 0 };
	struct json_object *o = json_object_new_object();
	int code;

	json_object_object_add(o, "ok", json_object_new_boolean(d->problems == 0));
	json_object_object_add(o, "checks", json_object_get(d->told));
	strbuf_addf(&out, "%s\n",
		    json_object_to_json_string_ext(
			    o,
			    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	code = cli_print(d->cli, &out);
	return code;
}

int
verb_doctor(struct cli *cli)
{
	struct doctor d = { .cli = cli, .told = json_object_new_array() };
	const char *where = client_where(cli->client);
	int code = CLI_OK;

	conf_open(&d);
	user_find(&d);
	d.socket = strncmp(where, "unix:", 5) == 0 ? where + 5 : NULL;
	d.local = d.socket || is_loopback(where);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		d.name = checks[i].name;
		if (d.local || !checks[i].local)
			checks[i].run(&d);
	}
	d.name = "machine";
	if (!d.local)
		doctor_say(
			&d, DOCTOR_NOTE, "",
			"run slipway doctor on the server, too: it looks at the disk, "
			"sandboxes and credentials there");
	if (cli->json)
		code = print_all(&d);
	else if (d.problems)
		report(cli, 0, "%u problem%s", d.problems, d.problems == 1 ? "" : "s");
	json_object_put(d.told);
	json_object_put(d.health);
	json_object_put(d.admin);
	conf_free(d.conf);
	return code ? code : d.problems ? CLI_FAILURE : CLI_OK;
}
