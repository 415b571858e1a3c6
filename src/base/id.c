#include "slipway/id.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "slipway/clock.h"
#include "slipway/log.h"

#define ID_SUFFIX_LEN 7

static void
id_random(void *p, size_t len)
{
	uint8_t *out = p;

	while (len) {
		ssize_t n = getrandom(out, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			log_fatal(LOG_DAEMON, "getrandom: %s", strerror(errno));
		out += n;
		len -= (size_t)n;
	}
}

/* isalnum() depends on the locale. */
static bool
id_is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

bool
id_is_valid(const char *s)
{
	size_t n = 0;

	if (!id_is_alnum(s[0]))
		return false;
	for (; s[n]; n++) {
		if (n == JOB_ID_MAX)
			return false;
		if (!id_is_alnum(s[n]) && !strchr("._-", s[n]))
			return false;
		if (s[n] == '.' && s[n + 1] == '.')
			return false;
	}
	return true;
}

void
id_make_job(char out[JOB_ID_MAX + 1])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
	char suffix[ID_SUFFIX_LEN + 1] = "";
	uint64_t r;

	id_random(&r, sizeof(r));
	for (int i = 0; i < ID_SUFFIX_LEN; i++, r /= 36)
		suffix[i] = digits[r % 36];
	snprintf(out, JOB_ID_MAX + 1, "job-%lld-%s", (long long)clock_wall_ms(),
		 suffix);
}

void
id_random_hex(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *raw = (uint8_t *)out;

	/* The first half of out holds the bytes; spreading them from the end back
	 * never overwrites one that is still needed. */
	id_random(raw, n / 2);
	out[n / 2 * 2] = '\0';
	for (size_t i = n / 2; i-- > 0;) {
		uint8_t b = raw[i];

		out[2 * i + 1] = digits[b & 15];
		out[2 * i] = digits[b >> 4];
	}
}

void
id_random_base62(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	uint8_t raw[64];

	for (size_t got = 0, left = 0; got < n;) {
		if (!left) {
			id_random(raw, sizeof(raw));
			left = sizeof(raw);
		}
		/* What is left over of 256 would favour the first digits. */
		if (raw[--left] < 256 / 62 * 62)
			out[got++] = digits[raw[left] % 62];
	}
	out[n] = '\0';
	explicit_bzero(raw, sizeof(raw));
}
