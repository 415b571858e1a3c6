#include "run_plan.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "spoolw.h"
#include "util.h"

/* No masks are known yet: only fixed words and names of errors may go out. */
static int
run_plan_fail(int spool_fd, const char *what, const char *why)
{
	struct spoolw spool;
	char text[256];
	int n;

	n = snprintf(text, sizeof(text), "%s: %s", what, why);
	spoolw_init(&spool, spool_fd);
	spoolw_frame(&spool, &(struct spoolw_frame){
				     .type = FRAME_NOTE,
				     .flags = FRAME_ERROR,
				     .step = FRAME_NO_STEP,
				     .payload = text,
				     .len = n > 0 ? (size_t)n : 0,
			     });
	fprintf(stderr, "slipway-init: %s\n", text);
	return INIT_EXIT_INTERNAL;
}

/* A file is read from its start, wherever its writer left the offset. -1: errno. */
static int
run_plan_slurp(int fd, bool regular, uint8_t *data, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		size_t room = size - *len;
		ssize_t n = regular ? pread(fd, data + *len, room, (off_t)*len)
				    : read(fd, data + *len, room);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return 0;
}

int
run_plan_read(struct plan *plan, int plan_fd, int spool_fd)
{
	cleanup_close int fd = plan_fd;
	cleanup_free uint8_t *data = NULL;
	size_t size = PLAN_MAX + 1, len;
	bool regular, good;
	const char *why;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return run_plan_fail(spool_fd, "cannot read the plan", strerror(errno));
	regular = S_ISREG(st.st_mode);
	if (regular && st.st_size <= (off_t)PLAN_MAX)
		size = (size_t)st.st_size + 1;
	data = util_alloc(size);
	if (run_plan_slurp(fd, regular, data, size, &len) < 0)
		return run_plan_fail(spool_fd, "cannot read the plan", strerror(errno));
	if (!len)
		return INIT_EXIT_ALREADY_RAN;
	if (regular && ftruncate(fd, 0) < 0)
		return run_plan_fail(spool_fd, "cannot empty the plan",
				     strerror(errno));
	good = plan_decode(plan, data, len, &why);
	memset(data, 0, len);
	__asm__ volatile("" : : "r"(data) : "memory");
	return good ? INIT_EXIT_SUCCESS
		    : run_plan_fail(spool_fd, "the plan cannot be run", why);
}
