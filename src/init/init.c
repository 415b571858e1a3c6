/*
 * slipway-init: PID 1 of a sandbox (run), and the keeper of its network (net).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "slipway/plan.h"

#include "net.h"
#include "run_plan.h"
#include "step.h"
#include "supervise.h"
#include "util.h"

#ifndef SLIPWAY_VERSION
#ifdef PACKAGE_VERSION
#define SLIPWAY_VERSION PACKAGE_VERSION
#else
#define SLIPWAY_VERSION "0"
#endif
#endif

static int
init_usage(void)
{
	fputs("usage: slipway-init run --plan-fd N --spool-fd N\n"
	      "       slipway-init net --slirp PATH [--slirp-arg ARG]... -- "
	      "BWRAP [ARG]...\n"
	      "       slipway-init --version\n",
	      stderr);
	return EX_USAGE;
}

/* Nobody may count on descriptors 0 to 2 being open; nothing else may take their
 * places. */
static void
init_fill_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int
init_parse_fd(const char *text)
{
	char *end;
	long fd;

	errno = 0;
	fd = strtol(text, &end, 10);
	if (errno || end == text || *end || fd < 0 || fd > 1 << 20)
		return -1;
	return fcntl((int)fd, F_GETFD) < 0 ? -1 : (int)fd;
}

static int
init_run(int argc, char **argv)
{
	int plan_fd = -1, spool_fd = -1, oom_fd;
	struct plan plan;
	int status;

	for (int i = 0; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--plan-fd") == 0)
			plan_fd = init_parse_fd(argv[i + 1]);
		else if (strcmp(argv[i], "--spool-fd") == 0)
			spool_fd = init_parse_fd(argv[i + 1]);
		else
			return init_usage();
	}
	if (argc % 2 || plan_fd < 0 || spool_fd < 0)
		return init_usage();
	oom_fd = step_open_oom();
	/* Steps must not reach the spool and the plan through /proc/PID. */
	prctl(PR_SET_DUMPABLE, 0);
	fcntl(spool_fd, F_SETFD, FD_CLOEXEC);
	umask(077);
	status = run_plan_read(&plan, plan_fd, spool_fd);
	if (status != INIT_EXIT_SUCCESS)
		return status;
	status = supervise_run(&plan, spool_fd, oom_fd);
	plan_clear(&plan);
	if (oom_fd >= 0)
		close(oom_fd);
	return status;
}

static int
init_version(int argc, char **argv)
{
	if (argc)
		return init_usage();
	puts("slipway-init " SLIPWAY_VERSION);
	return 0;
}

static int
init_net(int argc, char **argv)
{
	int status = net_run(argc, argv);

	return status < 0 ? init_usage() : status;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} commands[] = {
		{ "run", init_run },
		{ "net", init_net },
		{ "--version", init_version },
	};

	init_fill_stdio();
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(commands); i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 2, argv + 2);
	return init_usage();
}
