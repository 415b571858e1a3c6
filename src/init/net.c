/*
 * Phases, all in net_run():
 *
 *   start bwrap with --info-fd and --block-fd, close what was passed on to it
 *   wait for {"child-pid": N}
 *   start slirp4netns on N, with its seccomp filter, else without; wait until it is
 *   ready (its --enable-sandbox cannot join namespaces by path)
 *   let the sandbox go on
 *   wait for bwrap, end slirp4netns
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>

#include "util.h"

#define NET_DEADLINE_MS 10000
#define NET_DEVICE "tap0"
#define LOOPBACK_POLL_US 500
#define EXIT_NOT_RUN 127
#ifndef NS_GET_USERNS /* <linux/nsfs.h>, which not every libc comes with */
#define NS_GET_USERNS _IO(0xb7, 0x1)
#endif

struct net_pipe {
	int r, w;
};

struct net {
	const char *slirp;
	char **slirp_args;
	size_t nslirp_args;
	char **bwrap_argv;
	struct net_pipe info, block, alive, ready, errors;
	pid_t bwrap_pid, slirp_pid, child_pid;
	int netns, userns; /* the sandbox's, and the one that owns it */
	uint64_t deadline;
};

static int
net_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int
net_fail(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "slipway-init net: %s\n", text);
	return -1;
}

static void
net_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int
net_pipe_open(struct net_pipe *p)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return net_fail("cannot make a pipe: %s", strerror(errno));
	*p = (struct net_pipe){ fds[0], fds[1] };
	return 0;
}

static int
net_inherit(int fd)
{
	return fcntl(fd, F_SETFD, 0);
}

/* Up to size - 1 bytes, until stop() is content; -1 at the end or the deadline. */
static int
net_read(struct net *net, int fd, char *buf, size_t size, bool (*stop)(const char *))
{
	size_t len = 0;

	while (len + 1 < size) {
		uint64_t now = util_now_ms();
		struct pollfd p = { fd, POLLIN, 0 };
		ssize_t n;

		if (now >= net->deadline)
			return -1;
		if (poll(&p, 1, (int)(net->deadline - now)) <= 0)
			continue;
		n = read(fd, buf + len, size - 1 - len);
		if (n <= 0)
			return -1;
		len += (size_t)n;
		buf[len] = 0;
		if (stop(buf))
			return 0;
	}
	return -1;
}

static void __attribute__((noreturn))
net_exec_bwrap(const struct net *net)
{
	size_t n = 0, out = 0;
	char **argv;

	while (net->bwrap_argv[n])
		n++;
	argv = util_alloc((n + 5) * sizeof(*argv));
	argv[out++] = net->bwrap_argv[0];
	argv[out++] = (char *)"--info-fd";
	argv[out++] = util_format("%d", net->info.w);
	argv[out++] = (char *)"--block-fd";
	argv[out++] = util_format("%d", net->block.r);
	for (size_t i = 1; i < n; i++)
		argv[out++] = net->bwrap_argv[i];
	if (net_inherit(net->info.w) == 0 && net_inherit(net->block.r) == 0 &&
	    net_inherit(net->alive.w) == 0)
		execvp(argv[0], argv);
	net_fail("cannot run %s: %s", argv[0], strerror(errno));
	_exit(EXIT_NOT_RUN);
}

static bool
net_is_own(const struct net *net, int fd)
{
	const struct net_pipe *pipes[] = { &net->info, &net->block, &net->alive,
					   &net->ready, &net->errors };

	for (size_t i = 0; i < ARRAY_LEN(pipes); i++)
		if (fd == pipes[i]->r || fd == pipes[i]->w)
			return true;
	return false;
}

/* What came without CLOEXEC from our parent was meant for bwrap. */
static void
net_close_passed(const struct net *net)
{
	long most = sysconf(_SC_OPEN_MAX);

	if (most < 0 || most > 1 << 16)
		most = 1 << 16;
	for (int fd = STDERR_FILENO + 1; fd < most; fd++)
		if (!net_is_own(net, fd))
			close(fd);
}

static int
net_start_bwrap(struct net *net)
{
	net->bwrap_pid = fork();
	if (net->bwrap_pid < 0)
		return net_fail("cannot start a process: %s", strerror(errno));
	if (net->bwrap_pid == 0)
		net_exec_bwrap(net);
	net_close_passed(net);
	net_close(&net->info.w);
	net_close(&net->block.r);
	return 0;
}

static bool
on_info(const char *buf)
{
	return strchr(buf, '}') != NULL;
}

static int
net_read_child_pid(struct net *net)
{
	static const char key[] = "\"child-pid\"";
	char buf[1024];
	const char *p;
	long pid;

	if (net_read(net, net->info.r, buf, sizeof(buf), on_info) < 0)
		return net_fail("bwrap did not tell the sandbox's pid");
	p = strstr(buf, key);
	p = p ? strchr(p + sizeof(key) - 1, ':') : NULL;
	pid = p ? strtol(p + 1, NULL, 10) : 0;
	if (pid <= 1)
		return net_fail("bwrap told no pid of the sandbox");
	net->child_pid = (pid_t)pid;
	net_close(&net->info.r);
	return 0;
}

/*
 * By now bwrap may have put the sandbox into a second user namespace, one without
 * power over the network namespace: join the owner instead.
 */
static int
net_open_namespaces(struct net *net)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)net->child_pid);
	net->netns = open(path, O_RDONLY | O_CLOEXEC);
	if (net->netns < 0)
		return net_fail("cannot open %s: %s", path, strerror(errno));
	net->userns = ioctl(net->netns, NS_GET_USERNS);
	if (net->userns < 0)
		return net_fail("cannot find the owner of %s: %s", path,
				strerror(errno));
	return fcntl(net->userns, F_SETFD, FD_CLOEXEC);
}

static bool
net_is_loopback_up(int sock)
{
	struct ifreq r = { .ifr_name = "lo" };

	return ioctl(sock, SIOCGIFFLAGS, &r) == 0 && (r.ifr_flags & IFF_UP);
}

/*
 * slirp4netns brings the loopback up, and so does bwrap, which fails when somebody was
 * faster. It does so before it waits for our word, but does not tell when.
 */
static int
net_await_loopback(const struct net *net)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int sock = setns(net->userns, CLONE_NEWUSER) < 0 ||
					   setns(net->netns, CLONE_NEWNET) < 0
				   ? -1
				   : socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		while (sock >= 0 && !net_is_loopback_up(sock) &&
		       util_now_ms() < net->deadline)
			usleep(LOOPBACK_POLL_US);
		_exit(sock >= 0 && net_is_loopback_up(sock) ? 0 : 1);
	}
	if (pid < 0)
		return net_fail("cannot start a process: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status ? net_fail("the sandbox has no loopback") : 0;
}

static void __attribute__((noreturn))
net_exec_slirp(const struct net *net, bool confined)
{
	char **argv = util_alloc((net->nslirp_args + 16) * sizeof(*argv));
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	size_t n = 0;

	argv[n++] = (char *)net->slirp;
	argv[n++] = (char *)"--configure";
	argv[n++] = (char *)"--mtu=65520";
	argv[n++] = (char *)"--disable-host-loopback";
	if (confined)
		argv[n++] = (char *)"--enable-seccomp";
	argv[n++] = util_format("--ready-fd=%d", net->ready.w);
	argv[n++] = util_format("--exit-fd=%d", net->alive.r);
	argv[n++] = util_format("--userns-path=/proc/self/fd/%d", net->userns);
	argv[n++] = (char *)"--netns-type=path";
	for (size_t i = 0; i < net->nslirp_args; i++)
		argv[n++] = net->slirp_args[i];
	argv[n++] = util_format("/proc/self/fd/%d", net->netns);
	argv[n++] = (char *)NET_DEVICE;
	/* Its words must neither block nor kill it when nobody reads them any more. */
	signal(SIGPIPE, SIG_IGN);
	if (null >= 0 && dup2(null, 0) >= 0 && dup2(net->errors.w, 1) >= 0 &&
	    dup2(net->errors.w, 2) >= 0 && net_inherit(net->ready.w) == 0 &&
	    net_inherit(net->alive.r) == 0 && net_inherit(net->netns) == 0 &&
	    net_inherit(net->userns) == 0)
		execvp(net->slirp, argv);
	net_fail("cannot run %s: %s", net->slirp, strerror(errno));
	_exit(EXIT_NOT_RUN);
}

static bool
on_ready(const char *buf)
{
	return true;
}

static void
net_end_slirp(struct net *net)
{
	if (net->slirp_pid <= 0)
		return;
	kill(net->slirp_pid, SIGKILL);
	while (waitpid(net->slirp_pid, NULL, 0) < 0 && errno == EINTR)
		;
	net->slirp_pid = -1;
}

/* 0: the network is there. The last of slirp4netns' words are in why otherwise. */
static int
net_try_slirp(struct net *net, bool confined, char *why, size_t size)
{
	char buf[8];
	ssize_t n;
	int ret;

	if (net_pipe_open(&net->ready) < 0 || net_pipe_open(&net->errors) < 0)
		return -1;
	fcntl(net->errors.r, F_SETFL, O_NONBLOCK);
	fcntl(net->errors.w, F_SETFL, O_NONBLOCK);
	net->slirp_pid = fork();
	if (net->slirp_pid == 0)
		net_exec_slirp(net, confined);
	net_close(&net->ready.w);
	net_close(&net->errors.w);
	ret = net->slirp_pid < 0 ? -1
				 : net_read(net, net->ready.r, buf, sizeof(buf),
					    on_ready);
	if (ret < 0) {
		net_end_slirp(net);
		n = read(net->errors.r, why, size - 1);
		why[n > 0 ? n : 0] = 0;
	}
	net_close(&net->ready.r);
	net_close(&net->errors.r);
	return ret;
}

static int
net_start_slirp(struct net *net)
{
	char why[400] = "";

	if (net_try_slirp(net, true, why, sizeof(why)) < 0 &&
	    net_try_slirp(net, false, why, sizeof(why)) < 0) {
		for (char *p = why; *p; p++)
			if (*p == '\n')
				*p = ' ';
		return net_fail("%s cannot give the sandbox a network: %s", net->slirp,
				why[0] ? why : "it was not ready in time");
	}
	net_close(&net->alive.r);
	net_close(&net->netns);
	net_close(&net->userns);
	return 0;
}

static int
net_let_go(struct net *net)
{
	ssize_t n = write(net->block.w, "1", 1);

	net_close(&net->block.w);
	return n == 1 ? 0 : net_fail("the sandbox is gone before its start");
}

static int
net_wait_bwrap(struct net *net)
{
	int status;

	while (waitpid(net->bwrap_pid, &status, 0) < 0)
		if (errno != EINTR)
			return NET_EXIT_FAILED;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int
net_parse(struct net *net, int argc, char **argv)
{
	int i = 0;

	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
		if (strcmp(argv[i], "--slirp") == 0)
			net->slirp = argv[i + 1];
		else if (strcmp(argv[i], "--slirp-arg") == 0)
			net->slirp_args[net->nslirp_args++] = argv[i + 1];
		else
			return -1;
	}
	if (!net->slirp || i + 1 >= argc)
		return -1;
	net->bwrap_argv = argv + i + 1;
	return 0;
}

int
net_run(int argc, char **argv)
{
	static const struct net_pipe closed = { -1, -1 };
	cleanup_free char **slirp_args =
		util_alloc(((size_t)argc + 1) * sizeof(*slirp_args));
	struct net net = {
		.slirp_args = slirp_args,
		.info = closed,
		.block = closed,
		.alive = closed,
		.ready = closed,
		.errors = closed,
		.netns = -1,
		.userns = -1,
		.deadline = util_deadline(util_now_ms(), NET_DEADLINE_MS),
	};
	int status;

	if (net_parse(&net, argc, argv) < 0)
		return -1;
	signal(SIGPIPE, SIG_IGN);
	if (net_pipe_open(&net.info) < 0 || net_pipe_open(&net.block) < 0 ||
	    net_pipe_open(&net.alive) < 0 || net_start_bwrap(&net) < 0)
		return NET_EXIT_FAILED;
	if (net_read_child_pid(&net) < 0 || net_open_namespaces(&net) < 0 ||
	    net_await_loopback(&net) < 0 || net_start_slirp(&net) < 0 ||
	    net_let_go(&net) < 0) {
		net_end_slirp(&net);
		kill(net.bwrap_pid, SIGKILL);
		if (net.child_pid > 1)
			kill(net.child_pid, SIGKILL);
		net_wait_bwrap(&net);
		return NET_EXIT_FAILED;
	}
	status = net_wait_bwrap(&net);
	net_end_slirp(&net);
	return status;
}
