#include "slipway/clock.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "slipway/mem.h"

static char boot_id[BOOT_ID_LEN + 1];
static pthread_once_t boot_once = PTHREAD_ONCE_INIT;

static int64_t
clock_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t
clock_wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

int64_t
clock_mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

int64_t
clock_boot_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

static void
clock_read_boot_id(void)
{
	const char *test = getenv("SLIPWAY_TEST_BOOT_ID");
	cleanup_close int fd = -1;

	if (test && *test) {
		STR_COPY(boot_id, test);
		return;
	}
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, boot_id, BOOT_ID_LEN) != BOOT_ID_LEN)
		STR_COPY(boot_id, "unknown");
}

const char *
clock_boot_id(void)
{
	pthread_once(&boot_once, clock_read_boot_id);
	return boot_id;
}

void
clock_format_iso(int64_t ms, char out[CLOCK_ISO_SIZE])
{
	time_t s = (time_t)(ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, CLOCK_ISO_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, CLOCK_ISO_SIZE - n, ".%03dZ", (int)(ms % 1000));
}
