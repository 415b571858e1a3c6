#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "doctor.h"
#include "slipway/clock.h"
#include "slipway/mem.h"

/* What can be seen of the server from here: its socket, its answers, its clock, and
 * whether a proxy in front of it lets streams through. */

#define SKEW_MAX_MS 5000
#define START "sudo systemctl start slipwayd"

/* The socket */

static int
socket_try(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return errno;
	if (!STR_COPY(sun.sun_path, path))
		return ENAMETOOLONG;
	return connect(fd, (struct sockaddr *)&sun, sizeof(sun)) ? errno : 0;
}

static void
say_denied(struct doctor *d, const char *path, const struct stat *st)
{
	const struct group *gr = getgrgid(st->st_gid);
	const struct passwd *pw = getpwuid(geteuid());
	cleanup_free char *cure = xasprintf("sudo usermod -aG %s %s",
					    gr ? gr->gr_name : "slipway",
					    pw ? pw->pw_name : "$USER");

	doctor_say(d, DOCTOR_PROBLEM, cure,
		   "this user may not use %s; members of its group may (log in again "
		   "afterwards)",
		   path);
}

static void
socket_check(struct doctor *d, const char *path)
{
	cleanup_free char *chmod = xasprintf("sudo chmod o= %s", path);
	struct stat st;
	int failed = socket_try(path);

	if (stat(path, &st) != 0)
		doctor_say(d, d->socket ? DOCTOR_PROBLEM : DOCTOR_NOTE,
			   d->socket ? START : "", "%s: %s", path, strerror(errno));
	else if (!S_ISSOCK(st.st_mode))
		doctor_say(d, DOCTOR_PROBLEM, START, "%s is no socket", path);
	else if (failed == EACCES)
		say_denied(d, path, &st);
	else if (failed)
		doctor_say(d, DOCTOR_PROBLEM, START, "nobody listens at %s: %s", path,
			   strerror(failed));
	else if (st.st_mode & 007)
		doctor_say(d, DOCTOR_PROBLEM, chmod,
			   "every user may use %s, and so administrate the server",
			   path);
	else
		doctor_say(d, DOCTOR_OK, "", "%s", path);
}

void
doctor_socket(struct doctor *d)
{
	if (d->socket)
		socket_check(d, d->socket);
	else if (d->local && *d->conf->http_unix_socket)
		socket_check(d, d->conf->http_unix_socket);
	else
		doctor_say(d, DOCTOR_NOTE, "", "not used; talking to %s",
			   client_where(d->cli->client));
}

/* The daemon */

static int64_t
parse_iso(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) * 1000
							: 0;
}

static void
say_health(struct doctor *d)
{
	const char *status = json_text(d->health, "status");
	const char *reason = json_text(d->health, "reason");
	const char *where = client_where(d->cli->client);

	if (strcmp(status, "ok") == 0)
		doctor_say(d, DOCTOR_OK, "",
			   "slipwayd %s at %s: %lld queued, %lld of %lld slots in use",
			   json_text(d->health, "version"), where,
			   (long long)json_number(d->health, "queued"),
			   (long long)json_number(d->health, "running"),
			   (long long)json_number(d->health, "slots"));
	else if (strcmp(status, "paused") == 0 || strcmp(status, "draining") == 0)
		doctor_say(d, DOCTOR_PROBLEM, "slipway resume", "no job starts: %s",
			   reason);
	else
		doctor_say(d, DOCTOR_PROBLEM, "slipway health",
			   "it takes no jobs: %s (the checks below may tell why)",
			   reason);
}

void
doctor_daemon(struct doctor *d)
{
	cleanup_response struct response r = { 0 };
	struct err e = { 0 };
	int64_t before = clock_wall_ms(), there;

	if (client_call(d->cli->client, "/health", NULL, 10, &r, &e)) {
		doctor_say(d, DOCTOR_PROBLEM,
			   d->local ? START "; journalctl -u slipwayd -n 50"
				    : "slipway --server URL doctor",
			   "%s", e.msg);
		return;
	}
	d->health = json_tokener_parse(strbuf_str(&r.body));
	if (strcmp(json_text(d->health, "service"), "slipway") != 0) {
		doctor_say(d, DOCTOR_PROBLEM, "slipway --server URL doctor",
			   "what answers at %s (status %ld) is not slipwayd",
			   client_where(d->cli->client), r.status);
		return;
	}
	d->answers = true;
	/* In the middle of a second, in the middle of the call. */
	there = parse_iso(json_text(d->health, "timestamp"));
	if (there)
		d->skew_ms = there + 500 - (before + clock_wall_ms()) / 2;
	say_health(d);
}

void
doctor_clock(struct doctor *d)
{
	long long s = (d->skew_ms < 0 ? -d->skew_ms : d->skew_ms) / 1000;

	if (!d->answers)
		doctor_say(d, DOCTOR_NOTE, "", "not known: the server does not answer");
	else if (s * 1000 >= SKEW_MAX_MS)
		doctor_say(d, DOCTOR_PROBLEM, "sudo timedatectl set-ntp true",
			   "the server's clock is %lld s %s this machine's", s,
			   d->skew_ms < 0 ? "behind" : "ahead of");
	else
		doctor_say(d, DOCTOR_OK, "", "as this machine's");
}

/* The token: what the server lets through tells its scopes. */

static long
status_of(struct doctor *d, const char *path, bool post, struct response *r)
{
	cleanup_strbuf struct strbuf body = { 0 };
	struct err e = { 0 };

	strbuf_adds(&body, "{}");
	if (client_call(d->cli->client, path, post ? &body : NULL, 10, r, &e))
		return 0;
	return r->status;
}

static void
say_refused(struct doctor *d, struct response *r)
{
	struct json_object *o = json_tokener_parse(strbuf_str(&r->body));
	const char *text = json_text(o, "error");

	doctor_say(d, DOCTOR_PROBLEM,
		   r->status == 401
			   ? "SLIPWAY_TOKEN=$(ssh SERVER sudo slipway token create "
			     "--name NAME --scope read,submit)"
			   : "sudo slipway token list",
		   "the server refuses %s: %s",
		   d->cli->has_token ? "this token" : "requests without a token",
		   *text ? text : "no reason given");
	json_object_put(o);
}

static void
add_scope(struct strbuf *scopes, const char *name)
{
	if (scopes->len)
		strbuf_adds(scopes, ", ");
	strbuf_adds(scopes, name);
}

void
doctor_token(struct doctor *d)
{
	cleanup_response struct response r = { 0 };
	cleanup_strbuf struct strbuf scopes = { 0 };
	long status;

	if (!d->answers) {
		doctor_say(d, DOCTOR_NOTE, "", "not known: the server does not answer");
		return;
	}
	if (status_of(d, "/admin/status", false, &r) == 200) {
		d->admin = json_tokener_parse(strbuf_str(&r.body));
		add_scope(&scopes, "admin");
	}
	/* An empty job is never valid, and who is not allowed is told before that. */
	if (status_of(d, "/jobs/validate", true, &r) == 400)
		add_scope(&scopes, "submit");
	status = status_of(d, "/jobs?limit=1", false, &r);
	if (status == 200)
		add_scope(&scopes, "read");
	if (!scopes.len)
		say_refused(d, &r);
	else if (d->cli->has_token)
		doctor_say(d, DOCTOR_OK, "", "valid for: %s", scopes.data);
	else
		doctor_say(d, DOCTOR_OK, "", "none is needed here for: %s",
			   scopes.data);
}

/* Streams through public_url */

#define BEAT "event: beat"
#define STREAM_MAX_MS 15000

struct stream {
	int64_t began, first, last;
	unsigned beats;
	struct strbuf seen;
};

static bool
on_data(void *arg, const char *data, size_t len)
{
	struct stream *s = arg;
	int64_t now = clock_mono_ms();
	const char *p;
	unsigned beats = 0;

	if (s->seen.len + len > 65536)
		return false;
	strbuf_add(&s->seen, data, len);
	for (p = s->seen.data; (p = strstr(p, BEAT)); p += strlen(BEAT))
		beats++;
	if (beats > 0 && !s->first)
		s->first = now;
	if (beats > s->beats)
		s->last = now;
	s->beats = beats;
	return true;
}

static bool
on_tick(void *arg)
{
	const struct stream *s = arg;

	return clock_mono_ms() - s->began < STREAM_MAX_MS;
}

static void
say_stream(struct doctor *d, const char *url, const struct stream *s, int64_t every)
{
	if (s->beats < 2)
		doctor_say(
			d, DOCTOR_PROBLEM, "sudo nginx -t && sudo nginx -s reload",
			"%s/health/stream was cut off; does the proxy pass all paths "
			"on?",
			url);
	else if (s->last - s->first < every)
		doctor_say(d, DOCTOR_PROBLEM,
			   "echo 'proxy_buffering off;' | sudo tee "
			   "/etc/nginx/conf.d/slipway-buffering.conf && sudo nginx -s "
			   "reload",
			   "the proxy at %s holds streams back: live logs come late",
			   url);
	else
		doctor_say(d, DOCTOR_OK, "", "%s lets streams through", url);
}

static void
stream_check(struct doctor *d, const char *url)
{
	cleanup_response struct response r = { 0 };
	struct err e = { 0 };
	struct stream s = { .began = clock_mono_ms() };
	struct client *c = client_new(url, NULL, &e);
	const struct client_stream cs = { .path = "/health/stream",
					  .accept = "text/event-stream",
					  .last_id = "",
					  .on_data = on_data,
					  .on_tick = on_tick,
					  .arg = &s };

	if (!c || (client_read(c, &cs, &r, &e) && !s.beats))
		doctor_say(d, DOCTOR_PROBLEM,
			   "sudo systemctl start nginx; sudo nginx -t",
			   "public_url is %s: %s", url, e.msg);
	else if (r.status != 200)
		doctor_say(d, DOCTOR_PROBLEM, "sudo nginx -t && sudo nginx -s reload",
			   "%s/health/stream answers with status %ld: is public_url "
			   "right?",
			   url, r.status);
	else
		say_stream(d, url, &s, 400);
	strbuf_free(&s.seen);
	client_free(c);
}

void
doctor_stream(struct doctor *d)
{
	cleanup_free char *url = xstrdup(json_text(d->admin, "publicUrl"));

	if (!*url && d->local) {
		free(url);
		url = xstrdup(d->conf->public_url);
	}
	for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--)
		url[n - 1] = '\0';
	if (!*url)
		doctor_say(d, DOCTOR_NOTE, "",
			   "public_url is not set: no proxy to try");
	else
		stream_check(d, url);
}
