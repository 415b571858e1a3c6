/*
 * bench: the timed parts of tests/bench/run that an interpreter would blur. Prints one
 * line per measurement, times in microseconds.
 *
 *	bench fdatasync FILE N             bare fdatasync of a preallocated file
 *	bench submit PORT BODY N           one client, one request after another
 *	bench load PORT PATH BODY C SECS   C keep-alive clients; requests per second
 *	bench spawn N                      posix_spawn of /bin/sh, one after another; per second
 *	bench first CMD...                 start to first byte of its output
 *	bench job PORT BODY                submit to first byte of a step's output
 *	bench jobs PORT BODY N             N jobs at once until the last is final; per second
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void
die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
print_quantiles(double *us, size_t n)
{
	qsort(us, n, sizeof(*us), by_value);
	printf("p50 %.1f p99 %.1f\n", us[n / 2], us[n * 99 / 100]);
}

static char *
file_read(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	char *buf = malloc(1 << 20);

	if (!f || !buf)
		die(path);
	*len = fread(buf, 1, 1 << 20, f);
	fclose(f);
	return buf;
}

static int
dial(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static char *
request_make(const char *path, const char *body_file, size_t *len)
{
	size_t blen, cap;
	char *body = file_read(body_file, &blen), *req;

	cap = blen + 512;
	req = malloc(cap);
	if (!req)
		die("malloc");
	*len = (size_t)snprintf(req, cap,
				"POST %s HTTP/1.1\r\nHost: localhost\r\n"
				"Content-Type: application/json\r\n"
				"Content-Length: %zu\r\n\r\n",
				path, blen);
	memcpy(req + *len, body, blen);
	*len += blen;
	free(body);
	return req;
}

/* A whole answer with Content-Length is in buf[0..n). */
static bool
answer_complete(const char *buf, size_t n)
{
	const char *end = memmem(buf, n, "\r\n\r\n", 4);
	const char *cl = end ? strcasestr(buf, "\r\ncontent-length:") : NULL;

	return cl && cl < end &&
	       n >= (size_t)(end - buf) + 4 + strtoul(cl + 17, NULL, 10);
}

static size_t
answer_read(int fd, char *buf, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (n < size - 1) {
		got = read(fd, buf + n, size - 1 - n);
		if (got <= 0)
			die("read");
		n += (size_t)got;
		buf[n] = '\0';
		if (answer_complete(buf, n))
			return n;
	}
	die("answer too long");
	return 0;
}

static int
bench_fdatasync(char **argv)
{
	size_t n = strtoul(argv[1], NULL, 10);
	double *us = calloc(n, sizeof(*us)), t;
	char block[4096] = { 1 };
	int fd = open(argv[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0 || !us || posix_fallocate(fd, 0, 1 << 20))
		die(argv[0]);
	for (size_t i = 0; i < 256; i++)
		if (pwrite(fd, block, sizeof(block), (off_t)(i * sizeof(block))) < 0)
			die("pwrite");
	fsync(fd);
	for (size_t i = 0; i < n; i++) {
		t = now_us();
		if (pwrite(fd, block, sizeof(block), (off_t)(i % 256 * sizeof(block))) < 0 ||
		    fdatasync(fd))
			die("fdatasync");
		us[i] = now_us() - t;
	}
	print_quantiles(us, n);
	free(us);
	close(fd);
	return 0;
}

static int
bench_submit(char **argv)
{
	size_t len, n = strtoul(argv[2], NULL, 10);
	char *req = request_make("/jobs/submit", argv[1], &len), buf[65536];
	double *us = calloc(n, sizeof(*us)), t;
	int fd = dial(atoi(argv[0]));

	if (!us)
		die("calloc");
	for (size_t i = 0; i < n; i++) {
		t = now_us();
		if (write(fd, req, len) != (ssize_t)len)
			die("write");
		answer_read(fd, buf, sizeof(buf));
		us[i] = now_us() - t;
		if (strncmp(buf, "HTTP/1.1 202", 12) != 0) {
			fprintf(stderr, "bench: %.200s\n", buf);
			return 1;
		}
		/* The daemon closes a connection after many requests. */
		if (strcasestr(buf, "connection: close")) {
			close(fd);
			fd = dial(atoi(argv[0]));
		}
	}
	print_quantiles(us, n);
	free(us);
	free(req);
	close(fd);
	return 0;
}

struct client {
	size_t n;
	char buf[8192];
};

/* The clients' sockets stand at the same index as the clients. */
static bool
client_on_readable(struct client *c, struct pollfd *p, int port, const char *req,
		   size_t len)
{
	ssize_t got = read(p->fd, c->buf + c->n, sizeof(c->buf) - 1 - c->n);
	bool whole, close_it;

	if (got <= 0)
		die("read");
	c->n += (size_t)got;
	c->buf[c->n] = '\0';
	whole = answer_complete(c->buf, c->n);
	if (!whole)
		return false;
	if (strncmp(c->buf, "HTTP/1.1 20", 11) != 0) {
		fprintf(stderr, "bench: %.200s\n", c->buf);
		exit(1);
	}
	close_it = strcasestr(c->buf, "connection: close") != NULL;
	if (close_it) {
		close(p->fd);
		p->fd = dial(port);
	}
	c->n = 0;
	if (write(p->fd, req, len) != (ssize_t)len)
		die("write");
	return true;
}

static int
bench_load(char **argv)
{
	int port = atoi(argv[0]);
	size_t len, c = strtoul(argv[3], NULL, 10), answers = 0;
	double secs = atof(argv[4]), start;
	char *req = request_make(argv[1], argv[2], &len);
	struct client *clients = calloc(c, sizeof(*clients));
	struct pollfd *p = calloc(c, sizeof(*p));

	if (!clients || !p)
		die("calloc");
	for (size_t i = 0; i < c; i++) {
		p[i] = (struct pollfd){ .fd = dial(port), .events = POLLIN };
		if (write(p[i].fd, req, len) != (ssize_t)len)
			die("write");
	}
	start = now_us();
	while (now_us() - start < secs * 1e6) {
		if (poll(p, c, 5000) <= 0)
			die("poll");
		for (size_t i = 0; i < c; i++)
			if (p[i].revents)
				answers += client_on_readable(&clients[i], &p[i], port,
							      req, len);
	}
	printf("per second %.0f\n", (double)answers / ((now_us() - start) / 1e6));
	free(clients);
	free(p);
	free(req);
	return 0;
}

static int
bench_spawn(char **argv)
{
	char path[] = "/bin/sh", option[] = "-c", script[] = "echo hi >/dev/null";
	char *const sh[] = { path, option, script, NULL };
	int n = atoi(argv[0]);
	double start = now_us();
	pid_t pid;

	for (int i = 0; i < n; i++)
		if (posix_spawn(&pid, sh[0], NULL, NULL, sh, environ) ||
		    waitpid(pid, NULL, 0) < 0)
			die("posix_spawn");
	printf("per second %.0f\n", n / ((now_us() - start) / 1e6));
	return 0;
}

static int
bench_first(char **argv)
{
	posix_spawn_file_actions_t fa;
	double start = now_us();
	int fds[2];
	pid_t pid;
	char c;

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fds[1], 1);
	if (posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ))
		die(argv[0]);
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1)
		die("no output");
	printf("first %.1f\n", now_us() - start);
	posix_spawn_file_actions_destroy(&fa);
	waitpid(pid, NULL, 0);
	return 0;
}

static void
id_of(const char *answer, char *out, size_t size)
{
	const char *id = strstr(answer, "\"jobId\""), *end;

	id = id ? strchr(id + 7, '"') : NULL;
	end = id ? strchr(id + 1, '"') : NULL;
	if (!end || (size_t)(end - id) > size)
		die(answer);
	memcpy(out, id + 1, (size_t)(end - id) - 1);
	out[end - id - 1] = '\0';
}

/* The stream is asked for as soon as the job's id is known, as a client would do. */
static int
bench_job(char **argv)
{
	int port = atoi(argv[0]), fd = dial(port), logs = dial(port);
	size_t len, n = 0;
	char *req = request_make("/jobs/submit", argv[1], &len), id[160];
	static char buf[1 << 20];
	double start = now_us();
	ssize_t got;

	if (write(fd, req, len) != (ssize_t)len)
		die("write");
	answer_read(fd, buf, 65536);
	id_of(buf, id, sizeof(id));
	dprintf(logs, "GET /jobs/logs?id=%s HTTP/1.1\r\nHost: localhost\r\n\r\n", id);
	while ((got = read(logs, buf + n, sizeof(buf) - 1 - n)) > 0) {
		n += (size_t)got;
		buf[n] = '\0';
		if (strstr(buf, "data: first-byte")) {
			printf("first %.1f\n", now_us() - start);
			break;
		}
	}
	while (got > 0 && !strstr(buf, "event: end") &&
	       (got = read(logs, buf + n, sizeof(buf) - 1 - n)) > 0) {
		n += (size_t)got;
		buf[n] = '\0';
	}
	free(req);
	return 0;
}

/* One question on the connection, which the daemon may close after it. */
static void
ask(int port, int *fd, const char *req, size_t len, char *buf, size_t size)
{
	if (write(*fd, req, len) != (ssize_t)len)
		die("write");
	answer_read(*fd, buf, size);
	if (!strcasestr(buf, "connection: close"))
		return;
	close(*fd);
	*fd = dial(port);
}

static bool
is_final(const char *answer)
{
	return strstr(answer, "\"finishedAt\"") && !strstr(answer, "\"phase\"");
}

static int
bench_jobs(char **argv)
{
	int port = atoi(argv[0]), fd = dial(port), n = atoi(argv[2]);
	size_t len;
	char *req = request_make("/jobs/submit", argv[1], &len), get[512];
	char(*ids)[160] = calloc((size_t)n, sizeof(*ids));
	static char buf[1 << 20];
	double start = now_us();

	if (!ids)
		die("calloc");
	for (int i = 0; i < n; i++) {
		ask(port, &fd, req, len, buf, sizeof(buf));
		id_of(buf, ids[i], sizeof(ids[i]));
	}
	/* The last one first: the others are final by then, or nearly. */
	for (int i = n - 1; i >= 0; i--) {
		int glen = snprintf(get, sizeof(get),
				    "GET /jobs/status?id=%s&wait=60 HTTP/1.1\r\n"
				    "Host: localhost\r\n\r\n",
				    ids[i]);

		do
			ask(port, &fd, get, (size_t)glen, buf, sizeof(buf));
		while (!is_final(buf));
		if (!strstr(buf, "\"status\":\"success\"")) {
			fprintf(stderr, "bench: %.400s\n", buf);
			return 1;
		}
	}
	printf("per second %.1f\n", n / ((now_us() - start) / 1e6));
	free(ids);
	free(req);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **argv);
	} modes[] = {
		{ "fdatasync", 2, bench_fdatasync }, { "submit", 3, bench_submit },
		{ "load", 5, bench_load },	     { "spawn", 1, bench_spawn },
		{ "first", 1, bench_first },	     { "job", 2, bench_job },
		{ "jobs", 3, bench_jobs },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0 && argc - 2 >= modes[i].args)
			return modes[i].run(argv + 2);
	fprintf(stderr, "bench: see the head of bench.c\n");
	return 64;
}
