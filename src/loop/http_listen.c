#include "http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "slipway/mem.h"

union inet {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int
parse_port(const char *s, in_port_t *port, struct err *e)
{
	size_t digits = strspn(s, "0123456789");
	unsigned long n = strtoul(s, NULL, 10);

	if (!digits || digits > 5 || s[digits] || n > UINT16_MAX)
		return err_set(e, ERR_INVALID, "bad port '%s'", s);
	*port = htons((uint16_t)n);
	return 0;
}

static int
parse_inet(const char *addr, union inet *in, socklen_t *len, struct err *e)
{
	const char *colon = strrchr(addr, ':');
	bool v6 = addr[0] == '[';
	char host[INET6_ADDRSTRLEN];
	size_t n;

	if (!colon || (v6 && (colon < addr + 2 || colon[-1] != ']')))
		return err_set(e, ERR_INVALID, "'%s' is not ADDRESS:PORT", addr);
	n = (size_t)(colon - addr) - (v6 ? 2 : 0);
	if (n >= sizeof(host))
		return err_set(e, ERR_INVALID, "'%s' is not ADDRESS:PORT", addr);
	memcpy(host, addr + v6, n);
	host[n] = '\0';
	memset(in, 0, sizeof(*in));
	in->sa.sa_family = v6 ? AF_INET6 : AF_INET;
	*len = v6 ? sizeof(in->v6) : sizeof(in->v4);
	if (inet_pton(in->sa.sa_family, host,
		      v6 ? (void *)&in->v6.sin6_addr : (void *)&in->v4.sin_addr) != 1)
		return err_set(e, ERR_INVALID, "'%s' is not an IP address", host);
	return parse_port(colon + 1, v6 ? &in->v6.sin6_port : &in->v4.sin_port, e);
}

int
http_listen_inet(const char *addr, uint16_t *port, int *fd, struct err *e)
{
	cleanup_close int s = -1;
	union inet in;
	socklen_t len;
	int on = 1;

	if (parse_inet(addr, &in, &len, e) < 0)
		return -1;
	s = socket(in.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return err_sys(e, "socket for %s", addr);
	/* Accepted sockets inherit TCP_NODELAY. */
	if (setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return err_sys(e, "socket options for %s", addr);
	if (bind(s, &in.sa, len) < 0 || listen(s, HTTP_BACKLOG) < 0)
		return err_sys(e, "cannot listen on %s", addr);
	if (getsockname(s, &in.sa, &len) < 0)
		return err_sys(e, "getsockname of %s", addr);
	*port = ntohs(in.sa.sa_family == AF_INET6 ? in.v6.sin6_port : in.v4.sin_port);
	*fd = steal_fd(&s);
	return 0;
}

static int
remove_stale(const struct sockaddr_un *un, struct err *e)
{
	cleanup_close int s = -1;
	struct stat st;

	if (lstat(un->sun_path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_sys(e, "%s", un->sun_path);
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_CONFLICT, "%s is not a socket", un->sun_path);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return err_sys(e, "socket");
	/* EAGAIN is a live listener with a full queue. */
	if (!connect(s, (const struct sockaddr *)un, sizeof(*un)) || errno == EAGAIN)
		return err_set(e, ERR_CONFLICT, "somebody listens on %s already",
			       un->sun_path);
	if (errno != ECONNREFUSED && errno != ENOENT)
		return err_sys(e, "connect to %s", un->sun_path);
	if (unlink(un->sun_path) < 0 && errno != ENOENT)
		return err_sys(e, "remove %s", un->sun_path);
	return 0;
}

int
http_listen_local(const char *path, int *fd, struct err *e)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	cleanup_close int s = -1;

	if (!STR_COPY(un.sun_path, path))
		return err_set(e, ERR_INVALID, "socket path %s is too long", path);
	if (remove_stale(&un, e) < 0)
		return -1;
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s < 0)
		return err_sys(e, "socket");
	if (bind(s, (struct sockaddr *)&un, sizeof(un)) < 0)
		return err_sys(e, "cannot bind %s", path);
	/* Nobody can connect before listen(), so the mode is never too wide. */
	if (chmod(un.sun_path, 0660) < 0 || listen(s, HTTP_BACKLOG) < 0) {
		err_sys(e, "cannot listen on %s", un.sun_path);
		unlink(un.sun_path);
		return -1;
	}
	*fd = steal_fd(&s);
	return 0;
}

void
http_peer_name(const struct sockaddr *sa, char *name, size_t size)
{
	const union inet *in = (const union inet *)(const void *)sa;
	char ip[INET6_ADDRSTRLEN] = "";

	if (sa->sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &in->v6.sin6_addr, ip, sizeof(ip));
		snprintf(name, size, "[%s]:%u", ip, ntohs(in->v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &in->v4.sin_addr, ip, sizeof(ip));
		snprintf(name, size, "%s:%u", ip, ntohs(in->v4.sin_port));
	}
}
