/*
 * launch_peer: either end of slipway-launch's socket, by hand and blocking, for tests:
 * to play slipway-launch to the daemon's side, and the daemon to slipway-launch.
 */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "slipway/launch_msg.h"
#include "slipway/mem.h"

#define UNUSED_PEER __attribute__((unused))

struct peer_packet {
	uint8_t data[LAUNCH_MSG_MAX];
	size_t len; /* 0: the other side is gone */
	int fds[LAUNCH_MSG_FDS];
	size_t nfds;
};

static char peer_dir[64], peer_path[100];

static void UNUSED_PEER
peer_make_path(void)
{
	strcpy(peer_dir, "/tmp/slipway-launch-XXXXXX");
	cr_assert_not_null(mkdtemp(peer_dir));
	snprintf(peer_path, sizeof(peer_path), "%s/sock", peer_dir);
}

static void UNUSED_PEER
peer_remove_path(void)
{
	unlink(peer_path);
	rmdir(peer_dir);
}

static struct sockaddr_un
peer_address(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	cr_assert(STR_COPY(sun.sun_path, peer_path));
	return sun;
}

static int UNUSED_PEER
peer_listen(void)
{
	struct sockaddr_un sun = peer_address();
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	unlink(peer_path);
	cr_assert_eq(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	cr_assert_eq(listen(fd, 4), 0);
	return fd;
}

static int UNUSED_PEER
peer_connect(void)
{
	struct sockaddr_un sun = peer_address();
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	/* slipway-launch may be about to listen. */
	for (int i = 0; i < 500; i++) {
		if (!connect(fd, (struct sockaddr *)&sun, sizeof(sun)))
			return fd;
		usleep(10000);
	}
	cr_assert_fail("nobody listens on %s", peer_path);
	return -1;
}

/* Frees w. */
static void UNUSED_PEER
peer_send(int fd, struct wire_w *w, const int *fds, size_t nfds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(64 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { w->data, w->len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, nfds * sizeof(int));
		m.msg_control = control.space;
		m.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	cr_assert_eq(sendmsg(fd, &m, MSG_NOSIGNAL), (ssize_t)w->len);
	wire_w_free(w);
}

static void UNUSED_PEER
peer_receive(int fd, struct peer_packet *p)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(LAUNCH_MSG_FDS * sizeof(int))];
	} control;
	struct iovec iov = { p->data, sizeof(p->data) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space) };
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	p->len = n > 0 ? (size_t)n : 0;
	p->nfds = 0;
	if (!c)
		return;
	p->nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(p->fds, CMSG_DATA(c), p->nfds * sizeof(int));
}

static void UNUSED_PEER
peer_close_fds(struct peer_packet *p)
{
	for (size_t i = 0; i < p->nfds; i++)
		close(p->fds[i]);
	p->nfds = 0;
}

/* As slipway-launch: take the HELLO, say welcome. */
static int UNUSED_PEER
peer_welcome(int listener, const char *group)
{
	static struct peer_packet p;
	struct wire_w w;
	int fd = accept(listener, NULL, NULL);

	peer_receive(fd, &p);
	cr_assert(launch_hello_decode(p.data, p.len));
	cr_assert(launch_welcome_encode(group, &w));
	peer_send(fd, &w, NULL, 0);
	return fd;
}

static void UNUSED_PEER
peer_answer(int fd, const struct launch_started *m, int pidfd)
{
	struct wire_w w;

	cr_assert(launch_started_encode(m, &w));
	peer_send(fd, &w, &pidfd, pidfd >= 0);
}
