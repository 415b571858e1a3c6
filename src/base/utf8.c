#include "slipway/utf8.h"

static bool
utf8_lead(uint8_t b, size_t *n, uint32_t *v, uint32_t *min)
{
	if (b >= 0xc2 && b <= 0xdf) {
		*n = 2, *v = b & 0x1f, *min = 0x80;
	} else if (b >= 0xe0 && b <= 0xef) {
		*n = 3, *v = b & 0x0f, *min = 0x800;
	} else if (b >= 0xf0 && b <= 0xf4) {
		*n = 4, *v = b & 0x07, *min = 0x10000;
	} else {
		return false;
	}
	return true;
}

size_t
utf8_decode(const void *p, size_t len, uint32_t *cp)
{
	const uint8_t *s = p;
	size_t n = 1;
	uint32_t v, min;

	if (!len)
		return 0;
	if (s[0] < 0x80) {
		v = s[0];
	} else {
		if (!utf8_lead(s[0], &n, &v, &min) || n > len)
			return 0;
		for (size_t i = 1; i < n; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			v = v << 6 | (s[i] & 0x3f);
		}
		if (v < min || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff))
			return 0;
	}
	if (cp)
		*cp = v;
	return n;
}

bool
utf8_is_valid(const void *p, size_t len)
{
	const uint8_t *s = p;

	while (len) {
		size_t n = utf8_decode(s, len, NULL);

		if (!n)
			return false;
		s += n;
		len -= n;
	}
	return true;
}
