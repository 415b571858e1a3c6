#include "here.h"

#include <string.h>

#include "slipway/giturl.h"
#include "slipway/mem.h"
#include "spawn.h"

/*
 *	git: where is its top, which remotes has it → their spellings → the newest job of
 *	each → the newest of all
 */

#define GIT_TIMEOUT_MS 5000

void
here_names_free(struct here_names *names)
{
	while (names->n > 0)
		free(names->v[--names->n]);
}

static void
names_add(struct here_names *names, const char *name)
{
	for (unsigned i = 0; i < names->n; i++)
		if (strcmp(names->v[i], name) == 0)
			return;
	if (names->n < HERE_NAMES_MAX)
		names->v[names->n++] = xstrdup(name);
}

/* With ".git" at its end, and without. */
static void
names_add_both(struct here_names *names, const char *name)
{
	size_t len = strlen(name);
	cleanup_free char *other = NULL;

	if (len > 4 && strcmp(name + len - 4, ".git") == 0)
		other = xstrndup(name, len - 4);
	else
		other = xasprintf("%s.git", name);
	names_add(names, name);
	names_add(names, other);
}

void
here_spellings(const char *url, struct here_names *names)
{
	char text[GITURL_MAX];
	const char *path;
	struct giturl u;

	names_add_both(names, url);
	if (giturl_parse(url, &u, NULL))
		return;
	giturl_format(&u, text);
	names_add_both(names, text);
	path = u.path + (*u.path == '/');
	if (u.scheme == GITURL_LOCAL) {
		cleanup_free char *file = xasprintf("file://%s", u.path);

		names_add(names, u.path);
		names_add(names, file);
	} else {
		cleanup_free char *https = xasprintf("https://%s/%s", u.host, path);
		cleanup_free char *scp = xasprintf("git@%s:%s", u.host, path);
		cleanup_free char *ssh = xasprintf("ssh://git@%s/%s", u.host, path);

		names_add_both(names, https);
		names_add_both(names, scp);
		names_add_both(names, ssh);
	}
}

/* Lines of what git prints; false when it has nothing to say. */
static bool
git_read(const char *const *argv, struct strbuf *out)
{
	const struct spawn_opts o = { .argv = argv, .timeout_ms = GIT_TIMEOUT_MS };

	return spawn_read(&o, out) == 0 && out->len > 0;
}

static void
names_of_remotes(struct here_names *names)
{
	static const char *const argv[] = { "git", "config", "--get-regexp",
					    "^remote\\..*\\.url$", NULL };
	cleanup_strbuf struct strbuf out = { 0 };
	char *rest, *line;

	if (!git_read(argv, &out))
		return;
	for (rest = out.data; (line = strsep(&rest, "\n"));) {
		char *url = strchr(line, ' ');

		if (url)
			here_spellings(url + 1, names);
	}
}

/* The newest job of one name: its id, and when it was queued. 0, or the exit code. */
static int
newest_of(struct cli *cli, const char *name, char **id, int64_t *when)
{
	cleanup_strbuf struct strbuf path = { 0 };
	cleanup_response struct response r = { 0 };
	struct json_object *jobs, *job;
	int code;

	strbuf_adds(&path, "/jobs?limit=1");
	cli_query(&path, "repo", name);
	code = cli_call(cli, path.data, NULL, 0, &r);
	if (code)
		return code;
	jobs = cli_parse(cli, &r);
	if (!jobs)
		return CLI_PROTOCOL;
	job = json_object_is_type(jobs, json_type_array)
		      ? json_object_array_get_idx(jobs, 0)
		      : NULL;
	if (job && json_number(job, "queuedAt") > *when) {
		*when = json_number(job, "queuedAt");
		free(*id);
		*id = xstrdup(json_text(job, "id"));
	}
	json_object_put(jobs);
	return 0;
}

static int
newest_of_all(struct cli *cli, const struct here_names *names, char **id)
{
	int64_t when = 0;
	int code = 0;

	for (unsigned i = 0; i < names->n && code == 0; i++)
		code = newest_of(cli, names->v[i], id, &when);
	if (code == 0 && *id)
		report(cli, 0, "the newest job of this repository is %s", *id);
	else if (code == 0)
		code = report(cli, CLI_NOT_FOUND,
			      "%s has no job of this repository (%s); slipway list "
			      "shows the jobs there are",
			      client_where(cli->client),
			      names->v[0]);
	return code;
}

int
here_newest_job(struct cli *cli, char **id)
{
	static const char *const argv[] = { "git", "rev-parse", "--show-toplevel",
					    NULL };
	cleanup_strbuf struct strbuf top = { 0 };
	struct here_names names = { 0 };
	int code;

	*id = NULL;
	if (!git_read(argv, &top))
		return report(cli, CLI_USAGE,
			      "which job? This directory is in no git repository whose "
			      "newest job could be meant; slipway list shows all jobs");
	top.data[strcspn(top.data, "\n")] = '\0';
	names_of_remotes(&names);
	here_spellings(top.data, &names);
	code = newest_of_all(cli, &names, id);
	here_names_free(&names);
	return code;
}
