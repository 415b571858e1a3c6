#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "doctor.h"
#include "slipway/fs.h"
#include "slipway/mem.h"
#include "spawn.h"

/* What the server needs of the machine that it runs on. */

#define INSTALL "sudo apt-get install "
#define TRY_MS 10000
#define INODES_LOW_PERCENT 5

/* Disk */

static void
say_space(struct doctor *d, const char *dir, const struct statvfs *v)
{
	unsigned long long avail = (unsigned long long)v->f_bavail * v->f_frsize;
	unsigned long long reserve = (unsigned long long)d->conf->limits_disk_reserve;
	unsigned long long inodes = v->f_favail, all = v->f_files;

	if (avail < reserve)
		doctor_say(
			d, DOCTOR_PROBLEM, "slipway maintenance",
			"%s has %llu MiB left: under limits.disk_reserve (%llu MiB) no "
			"job is accepted; a shorter retention.jobs keeps it so",
			dir, avail >> 20, reserve >> 20);
	else if (all > 0 && inodes < all / 100 * INODES_LOW_PERCENT)
		doctor_say(d, DOCTOR_PROBLEM, "slipway maintenance",
			   "%s has %llu of %llu inodes left; a shorter retention.jobs "
			   "keeps it so",
			   dir, inodes, all);
	else
		doctor_say(d, DOCTOR_OK, "", "%s has %llu MiB and %llu inodes left",
			   dir, avail >> 20, inodes);
}

void
doctor_disk(struct doctor *d)
{
	const char *told = json_text(d->admin, "stateDir");
	const char *dir = *told ? told : d->conf->state_dir;
	cleanup_free char *cure = xasprintf("sudo install -d -m 0711 -o slipway -g "
					    "slipway %s",
					    dir);
	struct statvfs v;

	if (statvfs(dir, &v) == 0)
		say_space(d, dir, &v);
	else if (errno == EACCES)
		doctor_say(d, DOCTOR_NOTE, "", "%s: %s", dir, strerror(errno));
	else
		doctor_say(d, DOCTOR_PROBLEM, cure, "%s: %s", dir, strerror(errno));
}

/* Sandboxes */

static int
run_as_jobs(const struct doctor *d, const char *const *argv, struct strbuf *out)
{
	const struct spawn_opts o = { .argv = argv,
				      .timeout_ms = TRY_MS,
				      .with_errors = true,
				      .has_user = d->has_user,
				      .uid = d->uid,
				      .gid = d->gid };

	return spawn_read(&o, out);
}

void
doctor_bwrap(struct doctor *d)
{
	static const char *const argv[] = { "bwrap", "--version", NULL };
	cleanup_free char *path = spawn_find("bwrap");
	cleanup_strbuf struct strbuf out = { 0 };
	unsigned major = 0, minor = 0;
	int n;

	if (!path) {
		doctor_say(d, DOCTOR_PROBLEM, INSTALL "bubblewrap",
			   "bubblewrap is not installed: jobs have no sandbox");
		return;
	}
	n = run_as_jobs(d, argv, &out) == 0
		    ? sscanf(strbuf_str(&out), "bubblewrap %u.%u", &major, &minor)
		    : 0;
	if (n == 2 && (major > 0 || minor >= 6))
		doctor_say(d, DOCTOR_OK, "", "%s %u.%u", path, major, minor);
	else
		doctor_say(d, DOCTOR_PROBLEM, INSTALL "bubblewrap",
			   "%s: version 0.6 or later is needed", path);
}

static const char *
userns_cure(void)
{
	static const struct {
		const char *path;
		char value;
		const char *cure;
	} known[] = {
		{ "/proc/sys/kernel/unprivileged_userns_clone", '0',
		  "sudo sysctl -w kernel.unprivileged_userns_clone=1" },
		{ "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", '1',
		  "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" },
		{ "/proc/sys/user/max_user_namespaces", '0',
		  "sudo sysctl -w user.max_user_namespaces=15000" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		cleanup_close int fd = open(known[i].path, O_RDONLY | O_CLOEXEC);
		char c = '\0';

		if (fd >= 0 && read(fd, &c, 1) == 1 && c == known[i].value)
			return known[i].cure;
	}
	return "bwrap --unshare-user --unshare-pid --ro-bind / / true; sudo dmesg | tail";
}

void
doctor_userns(struct doctor *d)
{
	static const char *const argv[] = {
		"bwrap",
		"--unshare-user",
		"--unshare-pid",
		"--unshare-ipc",
		"--unshare-uts",
		"--unshare-net",
		"--ro-bind",
		"/",
		"/",
		"--proc",
		"/proc",
		"--dev",
		"/dev",
		"true",
		NULL,
	};
	cleanup_free char *path = spawn_find("bwrap");
	cleanup_strbuf struct strbuf out = { 0 };

	if (!path)
		doctor_say(d, DOCTOR_NOTE, "", "not tried: bubblewrap is missing");
	else if (run_as_jobs(d, argv, &out) == 0)
		doctor_say(d, DOCTOR_OK, "", "a sandbox%s works",
			   d->has_user ? " of the jobs' user" : "");
	else if (out.len)
		doctor_say(d, DOCTOR_PROBLEM, userns_cure(),
			   "sandboxes do not work here: %.*s",
			   (int)strcspn(out.data, "\n"), out.data);
	else
		doctor_say(d, DOCTOR_PROBLEM, userns_cure(),
			   "sandboxes do not work here: bwrap gave no answer in time");
}

/* Jobs with a network of their own want these; without such jobs it does not matter. */
static enum doctor_result
net_result(const struct doctor *d)
{
	return strcmp(d->conf->defaults_network, "isolated") == 0 ? DOCTOR_PROBLEM
								  : DOCTOR_NOTE;
}

void
doctor_slirp(struct doctor *d)
{
	static const char *const argv[] = { "slirp4netns", "--version", NULL };
	cleanup_free char *path = spawn_find("slirp4netns");
	cleanup_strbuf struct strbuf out = { 0 };

	if (!path)
		doctor_say(
			d, net_result(d), INSTALL "slirp4netns",
			"slirp4netns is not installed: jobs with network isolated wait "
			"for it");
	else if (run_as_jobs(d, argv, &out) != 0)
		doctor_say(d, net_result(d), INSTALL "--reinstall slirp4netns",
			   "%s does not run: %.*s", path,
			   (int)strcspn(strbuf_str(&out), "\n"), strbuf_str(&out));
	else
		doctor_say(d, DOCTOR_OK, "", "%s", path);
}

void
doctor_tun(struct doctor *d)
{
	static const char tun[] = "/dev/net/tun";
	struct stat st;

	if (stat(tun, &st) != 0)
		doctor_say(d, net_result(d), "sudo modprobe tun",
			   "%s: %s: network isolated needs it", tun, strerror(errno));
	else if (!S_ISCHR(st.st_mode))
		doctor_say(d, net_result(d), "sudo modprobe tun", "%s is no device",
			   tun);
	else if ((st.st_mode & 006) != 006 && (d->has_user || access(tun, R_OK | W_OK)))
		doctor_say(
			d, net_result(d), "sudo chmod 666 /dev/net/tun",
			"%s cannot be used by the jobs' user: network isolated needs "
			"it",
			tun);
	else
		doctor_say(d, DOCTOR_OK, "", "%s", tun);
}

void
doctor_docker(struct doctor *d)
{
	static const char path[] = "/run/docker.sock";
	struct stat st;

	if (stat(path, &st) != 0)
		doctor_say(d, DOCTOR_NOTE, "", "not here; no runner needs it");
	else if (!S_ISSOCK(st.st_mode))
		doctor_say(d, DOCTOR_NOTE, "", "%s is no socket; no runner needs it",
			   path);
	else if (access(path, R_OK | W_OK) != 0)
		doctor_say(d, DOCTOR_NOTE, "",
			   "this user may not use %s; no runner needs it", path);
	else
		doctor_say(d, DOCTOR_NOTE, "", "%s is there; no runner needs it", path);
}

/* Credentials of git servers */

/* Was a problem told? */
static bool
credential_file(struct doctor *d, const struct conf_credential *c, const char *path,
		bool secret)
{
	cleanup_free char *cure = NULL;
	struct stat st;

	if (!path || !*path)
		return false;
	if (stat(path, &st) != 0) {
		if (errno == EACCES)
			doctor_say(d, DOCTOR_NOTE, "",
				   "%s: %s: run slipway doctor as root to see it", path,
				   strerror(errno));
		cure = xasprintf("sudo install -m 0600 -o slipway /dev/stdin %s", path);
		if (errno != EACCES)
			doctor_say(d, DOCTOR_PROBLEM, cure, "%s (for %s): %s", path,
				   c->match, strerror(errno));
		return true;
	}
	if (!secret || !(st.st_mode & 077))
		return false;
	cure = xasprintf("sudo chmod 600 %s", path);
	doctor_say(d, DOCTOR_PROBLEM, cure, "other users can read %s (for %s)", path,
		   c->match);
	return true;
}

void
doctor_git(struct doctor *d)
{
	size_t bad = 0;

	for (size_t i = 0; i < d->conf->ngit_credentials; i++) {
		const struct conf_credential *c = &d->conf->git_credentials[i];

		bad += credential_file(d, c, c->token_file, true);
		bad += credential_file(d, c, c->ssh_key_file, true);
		bad += credential_file(d, c, c->known_hosts_file, false);
	}
	if (!d->conf->ngit_credentials)
		doctor_say(d, DOCTOR_NOTE, "",
			   "no git.credentials: public repositories only");
	else if (!bad)
		doctor_say(d, DOCTOR_OK, "", "the files of %zu git.credentials",
			   d->conf->ngit_credentials);
}

/* systemd */

static bool
unit_is(const char *shown, const char *line)
{
	const char *p = strstr(shown, line);

	return p && (p == shown || p[-1] == '\n') && p[strlen(line)] == '\n';
}

static void
unit_check(struct doctor *d, const char *unit, bool wanted)
{
	const char *const argv[] = { "systemctl", "show", unit,
				     "--property=LoadState,ActiveState", NULL };
	const struct spawn_opts o = { .argv = argv, .timeout_ms = TRY_MS };
	cleanup_free char *cure =
		xasprintf("sudo systemctl restart %s; journalctl -u %s "
			  "-n 50",
			  unit, unit);
	cleanup_strbuf struct strbuf out = { 0 };

	if (spawn_read(&o, &out) != 0) {
		if (wanted)
			doctor_say(d, DOCTOR_NOTE, "", "no systemd here");
	} else if (!unit_is(strbuf_str(&out), "LoadState=loaded")) {
		if (wanted)
			doctor_say(d, DOCTOR_NOTE, "", "%s is not installed", unit);
	} else if (unit_is(out.data, "ActiveState=failed")) {
		doctor_say(d, DOCTOR_PROBLEM, cure, "%s has failed", unit);
	} else if (unit_is(out.data, "ActiveState=active")) {
		doctor_say(d, DOCTOR_OK, "", "%s is active", unit);
	} else {
		doctor_say(d, d->answers ? DOCTOR_NOTE : DOCTOR_PROBLEM,
			   d->answers ? "" : cure, "%s is not active", unit);
	}
}

void
doctor_systemd(struct doctor *d)
{
	unit_check(d, "slipwayd.service", true);
	unit_check(d, "slipway-jobs.service", false);
}
