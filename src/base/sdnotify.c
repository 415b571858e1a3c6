#include "slipway/sdnotify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "slipway/log.h"
#include "slipway/mem.h"

#define LISTEN_FD 3 /* the first that is passed */

void
sdnotify(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	cleanup_close int fd = -1;
	size_t len = path ? strlen(path) : 0;
	char text[512];
	va_list ap;

	if (len == 0 || len >= sizeof(sun.sun_path))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sun,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warn(LOG_DAEMON, "cannot notify the service manager: %s",
			 strerror(errno));
}

void
sdnotify_reloading(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	sdnotify("RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		 (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

/* A variable that is meant for this process only when PID says so, or says nothing. */
static int64_t
number_for_us(const char *name, const char *pid_name)
{
	const char *text = getenv(name), *pid = getenv(pid_name);
	char *end;

	if (!text || !*text || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	errno = 0;
	long long n = strtoll(text, &end, 10);

	return *end || errno || n < 0 ? 0 : n;
}

int64_t
sdnotify_watchdog_ms(void)
{
	return number_for_us("WATCHDOG_USEC", "WATCHDOG_PID") / 1000;
}

int
sdnotify_listen_fd(void)
{
	if (!getenv("LISTEN_PID") || number_for_us("LISTEN_FDS", "LISTEN_PID") != 1)
		return -1;
	return fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) ? -1 : LISTEN_FD;
}
