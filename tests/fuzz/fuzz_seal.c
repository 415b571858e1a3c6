/*
 * A sealed log from outside: the bytes are a whole file. What opens must give a spool
 * of the size it tells, or an error, from any offset.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/seal.h"

#define READ_MAX (64u << 10)

static char path[] = "/tmp/fuzz-seal-XXXXXX";
static int fd = -1;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_exit_remove(void)
{
	unlink(path);
}

static void
read_some(struct sealed *s, uint64_t offset)
{
	cleanup_strbuf struct strbuf out = {0};
	uint64_t left = offset < sealed_size(s) ? sealed_size(s) - offset : 0;

	if (sealed_read(s, offset, READ_MAX, &out, NULL) == 0 &&
	    out.len != (left < READ_MAX ? left : READ_MAX))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sealed *s;

	if (fd < 0) {
		fd = mkostemp(path, O_CLOEXEC);
		atexit(on_exit_remove);
	}
	if (fd < 0 || ftruncate(fd, 0) < 0 ||
	    pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	s = sealed_open(path, NULL);
	if (!s)
		return 0;
	read_some(s, 0);
	read_some(s, sealed_size(s) / 2);
	read_some(s, sealed_size(s));
	sealed_close(s);
	return 0;
}
