#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fetch.h"
#include "lg.h"
#include "slipway/mem.h"

#define IN 0
#define OUT 1

static int
read_exactly(int fd, void *data, size_t len, struct err *e)
{
	uint8_t *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_CLOSED, "no task came");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
read_task(struct worker_fetch *t, struct err *e)
{
	uint8_t head[4];
	uint8_t *body;
	struct wire_r r;
	uint32_t len;
	int rc;

	if (read_exactly(IN, head, sizeof(head), e))
		return -1;
	wire_r_init(&r, head, sizeof(head));
	len = wire_r_u32(&r);
	if (len > WORKER_TASK_MAX)
		return err_set(e, ERR_PROTOCOL, "a task of %u bytes", len);
	body = xmalloc(len + 1);
	rc = read_exactly(IN, body, len, e);
	if (!rc)
		rc = worker_fetch_decode(body, len, t, e);
	explicit_bzero(body, len);
	free(body);
	return rc;
}

/* The default action of SIGIO ends the process, also in the middle of a blocking call
 * into the network; no library has to cooperate. */
static void
die_with_peer(void)
{
	struct pollfd p = { .fd = IN };

	signal(SIGIO, SIG_DFL);
	if (fcntl(IN, F_SETOWN, getpid()) ||
	    fcntl(IN, F_SETFL, fcntl(IN, F_GETFL) | O_ASYNC))
		_exit(1);
	/* It may have closed just before. */
	if (poll(&p, 1, 0) > 0)
		_exit(1);
}

void
task_main(void)
{
	struct worker_fetch task;
	struct session s = { .task = &task };
	struct err e = { 0 };
	char sha[WORKER_SHA_LEN + 1];

	signal(SIGPIPE, SIG_IGN);
	/* A file over its limit is an error of write then. */
	signal(SIGXFSZ, SIG_IGN);
	umask(022);
	memset(&task, 0, sizeof(task));
	if (read_task(&task, &e)) {
		s.out = out_new(OUT, &task);
		out_error(s.out, &e);
		_exit(1);
	}
	die_with_peer();
	s.out = out_new(OUT, &task);
	s.policy = (struct giturl_policy){ task.hosts.v, task.hosts.n, task.roots.v,
					   task.roots.n };
	if (fetch_run(&s, sha, &e))
		out_error(s.out, &e);
	else
		out_result(s.out, sha);
	/* The memory goes with the process. */
	_exit(0);
}
