#include "db_ahead.h"

#include <sys/stat.h>
#include <unistd.h>

#include "slipway/fs.h"

#define AHEAD_MIN (512u << 10)
#define AHEAD_STEP (2u << 20)
#define SPACE_MIN (256u << 20)

void
db_ahead_keep(int fd, const char *dir, uint64_t used, uint64_t max)
{
	static const char zeros[64 << 10];
	uint64_t avail, total, at, end;
	struct stat st;

	if (fstat(fd, &st) != 0 || (uint64_t)st.st_size >= used + AHEAD_MIN ||
	    fs_space(dir, &avail, &total, NULL) != 0 || avail < SPACE_MIN)
		return;
	at = (uint64_t)st.st_size;
	end = used + AHEAD_STEP < max ? used + AHEAD_STEP : max;
	while (at + sizeof(zeros) <= end &&
	       pwrite(fd, zeros, sizeof(zeros), (off_t)at) == (ssize_t)sizeof(zeros))
		at += sizeof(zeros);
}
