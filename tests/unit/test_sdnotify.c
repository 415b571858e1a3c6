#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "slipway/mem.h"
#include "slipway/sdnotify.h"

static char sock_dir[] = "/tmp/slipway-notify-XXXXXX";
static struct sockaddr_un manager;
static int manager_fd;

static void
listen_as_manager(void)
{
	cr_assert_not_null(mkdtemp(sock_dir));
	manager.sun_family = AF_UNIX;
	snprintf(manager.sun_path, sizeof(manager.sun_path), "%s/notify", sock_dir);
	manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	cr_assert_eq(bind(manager_fd, (struct sockaddr *)&manager, sizeof(manager)), 0);
	setenv("NOTIFY_SOCKET", manager.sun_path, 1);
}

static void
close_manager(void)
{
	close(manager_fd);
	unlink(manager.sun_path);
	rmdir(sock_dir);
}

static const char *
received(void)
{
	static char text[600];
	ssize_t n = recv(manager_fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

Test(sdnotify, one_message_is_one_datagram, .init = listen_as_manager,
     .fini = close_manager)
{
	sdnotify("READY=1\nSTATUS=%d jobs", 3);
	cr_assert_str_eq(received(), "READY=1\nSTATUS=3 jobs");
	cr_assert_str_eq(received(), "");
}

Test(sdnotify, reloading_comes_with_the_time, .init = listen_as_manager,
     .fini = close_manager)
{
	long long usec = 0;

	sdnotify_reloading();
	cr_assert_eq(sscanf(received(), "RELOADING=1\nMONOTONIC_USEC=%lld", &usec), 1);
	cr_assert_gt(usec, 0);
}

Test(sdnotify, an_abstract_socket_is_reached)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	cleanup_free char *name = xasprintf("@slipway-test-%d", (int)getpid());

	manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(sun.sun_path + 1, name + 1, strlen(name + 1));
	cr_assert_eq(bind(manager_fd, (struct sockaddr *)&sun,
			  (socklen_t)(sizeof(sa_family_t) + strlen(name))),
		     0);
	setenv("NOTIFY_SOCKET", name, 1);
	sdnotify("STOPPING=1");
	cr_assert_str_eq(received(), "STOPPING=1");
	close(manager_fd);
}

Test(sdnotify, without_a_manager_nothing_happens)
{
	unsetenv("NOTIFY_SOCKET");
	sdnotify("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	sdnotify("READY=1");
	setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
	sdnotify("READY=1");
}

static int64_t
watchdog(const char *usec, const char *pid)
{
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (usec)
		setenv("WATCHDOG_USEC", usec, 1);
	if (pid)
		setenv("WATCHDOG_PID", pid, 1);
	return sdnotify_watchdog_ms();
}

Test(sdnotify, the_watchdog_is_for_the_process_that_is_named)
{
	cleanup_free char *own = xasprintf("%d", (int)getpid());

	cr_expect_eq(watchdog(NULL, NULL), 0);
	cr_expect_eq(watchdog("30000000", NULL), 30000);
	cr_expect_eq(watchdog("30000000", own), 30000);
	cr_expect_eq(watchdog("30000000", "1"), 0);
	cr_expect_eq(watchdog("", own), 0);
	cr_expect_eq(watchdog("30s", own), 0);
	cr_expect_eq(watchdog("-5", own), 0);
	cr_expect_eq(watchdog("99999999999999999999", own), 0);
}

/* Criterion's own descriptors begin at 3: a child has the number for itself. */
Test(sdnotify, a_socket_is_taken_when_it_is_for_us_and_the_only_one)
{
	cleanup_free char *own = xasprintf("%d", (int)getpid());
	int kept = fcntl(3, F_DUPFD_CLOEXEC, 10);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	cr_expect_eq(sdnotify_listen_fd(), -1);
	setenv("LISTEN_PID", own, 1);
	setenv("LISTEN_FDS", "2", 1);
	cr_expect_eq(sdnotify_listen_fd(), -1);
	setenv("LISTEN_FDS", "1", 1);
	dup2(fd, 3);
	cr_expect_eq(sdnotify_listen_fd(), 3);
	cr_expect_eq(fcntl(3, F_GETFD), FD_CLOEXEC);
	setenv("LISTEN_PID", "1", 1);
	cr_expect_eq(sdnotify_listen_fd(), -1);
	if (kept >= 0)
		dup2(kept, 3);
}
