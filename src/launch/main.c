#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "server.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/version.h"
#include "tree.h"

#define SELF_MAX 65536

static const char usage_text[] =
	"usage: slipway-launch [--socket PATH] [--state-dir DIR]\n"
	"\n"
	"Starts the sandboxes of slipwayd, outside of its service.\n"
	"\n"
	"  -s, --socket PATH    listen here; not needed with socket activation\n"
	"  -d, --state-dir DIR  slipwayd's state_dir: workspaces elsewhere are refused\n"
	"      --make-room      before a start: let this service's control group take\n"
	"                       processes again (systemd before version 254), and exit\n"
	"  -V, --version        print the version and exit\n"
	"  -h, --help           print this and exit\n"
	"\n"
	"Signals: TERM stop, sandboxes go on running.\n";

enum { OPT_MAKE_ROOM = 256 };

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "state-dir", required_argument, NULL, 'd' },
	{ "make-room", no_argument, NULL, OPT_MAKE_ROOM },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

struct options {
	const char *socket, *state_dir;
	bool make_room;
	int exit; /* -1: go on */
};

static int
print_and_exit(const char *text)
{
	fputs(text, stdout);
	return EX_OK;
}

static int
option_apply(struct options *o, int c)
{
	switch (c) {
	case 's': o->socket = optarg; return -1;
	case 'd': o->state_dir = optarg; return -1;
	case OPT_MAKE_ROOM: o->make_room = true; return -1;
	case 'V': return print_and_exit("slipway-launch " SLIPWAY_VERSION "\n");
	case 'h': return print_and_exit(usage_text);
	default: return EX_USAGE;
	}
}

static void
options_parse(struct options *o, int argc, char **argv)
{
	char plain[PATH_MAX];
	int c;

	o->exit = -1;
	while (o->exit < 0 &&
	       (c = getopt_long(argc, argv, "s:d:Vh", long_options, NULL)) != -1)
		o->exit = option_apply(o, c);
	if (o->exit < 0 && optind < argc) {
		fprintf(stderr, "slipway-launch: unexpected argument: %s\n",
			argv[optind]);
		o->exit = EX_USAGE;
	}
	if (o->exit < 0 && o->state_dir &&
	    (o->state_dir[0] != '/' ||
	     !fs_normalise(o->state_dir, plain, sizeof(plain)))) {
		fprintf(stderr, "slipway-launch: --state-dir must be an absolute path\n");
		o->exit = EX_USAGE;
	}
	if (o->exit == EX_USAGE)
		fputs("Try slipway-launch --help.\n", stderr);
}

static void
policy_fill(struct policy *p, const char *state_dir)
{
	const char *libexec = getenv("SLIPWAY_LIBEXEC_DIR");
	char plain[PATH_MAX];
	cleanup_free char *init = xasprintf("%s/slipway-init",
					    libexec && *libexec ? libexec
								: SLIPWAY_LIBEXEC_DIR);

	p->bwrap = fs_find_program("bwrap");
	p->slirp = fs_find_program("slirp4netns");
	p->init = realpath(init, NULL);
	p->state_dir = xstrdup(
		state_dir && fs_normalise(state_dir, plain, sizeof(plain)) ? plain
									   : "");
	if (!p->bwrap)
		log_warn(LOG_EXEC, "bubblewrap is not installed");
	if (!p->init)
		log_warn(LOG_EXEC, "%s: %s", init, strerror(errno));
}

static void
policy_clear(struct policy *p)
{
	free(p->bwrap);
	free(p->slirp);
	free(p->init);
	free(p->state_dir);
}

static int
run(const struct options *opt, const char *self)
{
	struct server_opts o = { .socket = opt->socket };
	struct err e = { 0 };
	char why[CGROUP_PATH * 2];

	signal(SIGPIPE, SIG_IGN);
	umask(022);
	if (!tree_open(&o.groups, cgroup_mount(), self, why, sizeof(why)))
		log_info(LOG_EXEC, "limits by rlimits: %s", why);
	policy_fill(&o.policy, opt->state_dir);
	int r = server_run(&o, &e);

	policy_clear(&o.policy);
	if (r)
		log_error(LOG_EXEC, "%s", e.msg);
	return r ? EX_UNAVAILABLE : EX_OK;
}

int
main(int argc, char **argv)
{
	cleanup_strbuf struct strbuf self = { 0 };
	struct options opt = { 0 };

	options_parse(&opt, argc, argv);
	if (opt.exit >= 0)
		return opt.exit;
	fs_read_file("/proc/self/cgroup", SELF_MAX, &self, NULL);
	if (!opt.make_room)
		return run(&opt, strbuf_str(&self));
	tree_make_room(cgroup_mount(), strbuf_str(&self));
	return EX_OK;
}
