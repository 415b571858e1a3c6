#include "slipway/ansi.h"

#include <string.h>

#define ESC 0x1b
#define BEL 0x07
#define PARAMS_MAX 32

bool
ansi_style_is_plain(const struct ansi_style *s)
{
	return !s->fg && !s->bg && !s->attrs;
}

bool
ansi_style_same(const struct ansi_style *a, const struct ansi_style *b)
{
	return a->fg == b->fg && a->bg == b->bg && a->attrs == b->attrs;
}

bool
ansi_style_is_valid(const struct ansi_style *s)
{
	return s->fg <= 256 && s->bg <= 256 && !(s->attrs & ~ANSI_ATTRS);
}

/* The palette */

static const uint8_t cube[6] = { 0, 95, 135, 175, 215, 255 };

uint32_t
ansi_rgb(unsigned index)
{
	static const uint32_t basic[16] = {
		0x000000, 0xcd0000, 0x00cd00, 0xcdcd00, 0x0000ee, 0xcd00cd,
		0x00cdcd, 0xe5e5e5, 0x7f7f7f, 0xff0000, 0x00ff00, 0xffff00,
		0x5c5cff, 0xff00ff, 0x00ffff, 0xffffff,
	};

	if (index < 16)
		return basic[index];
	if (index < 232) {
		index -= 16;
		return (uint32_t)cube[index / 36] << 16 |
		       (uint32_t)cube[index / 6 % 6] << 8 | cube[index % 6];
	}
	return (8 + (index - 232) % 24 * 10) * 0x010101;
}

static unsigned
cube_step(unsigned v)
{
	return v < 48 ? 0 : v < 115 ? 1 : (v - 35) / 40;
}

static unsigned
distance(uint32_t rgb, unsigned r, unsigned g, unsigned b)
{
	int dr = (int)(rgb >> 16) - (int)r, dg = (int)(rgb >> 8 & 255) - (int)g,
	    db = (int)(rgb & 255) - (int)b;

	return (unsigned)(dr * dr + dg * dg + db * db);
}

/* Of the cube or of the greys, what is nearer. */
static unsigned
nearest(unsigned r, unsigned g, unsigned b)
{
	unsigned in_cube = 16 + 36 * cube_step(r) + 6 * cube_step(g) + cube_step(b);
	unsigned mean = (r + g + b) / 3;
	unsigned grey = 232 + (mean < 8 ? 0 : mean > 233 ? 23 : (mean - 3) / 10);

	return distance(ansi_rgb(grey), r, g, b) < distance(ansi_rgb(in_cube), r, g, b)
		       ? grey
		       : in_cube;
}

/* Parameters: numbers, ';' between parameters, ':' inside of one. */

struct params {
	unsigned v[PARAMS_MAX];
	bool sub[PARAMS_MAX]; /* follows a ':' */
	size_t n;
};

static void
params_parse(struct params *p, const uint8_t *s, const uint8_t *end)
{
	memset(p, 0, sizeof(*p));
	for (p->n = 1; s < end; s++) {
		unsigned *v = &p->v[p->n - 1];

		if (*s >= '0' && *s <= '9') {
			*v = *v > 9999 ? *v : *v * 10 + (unsigned)(*s - '0');
		} else if (*s == ';' || *s == ':') {
			if (p->n == PARAMS_MAX)
				return;
			p->sub[p->n++] = *s == ':';
		} else {
			/* Private ones, as of "\e[>4;2m", are no SGR. */
			p->n = 0;
			return;
		}
	}
}

/* How many of those after i belong to it by ':'. */
static size_t
params_subs(const struct params *p, size_t i)
{
	size_t n = 0;

	while (i + n + 1 < p->n && p->sub[i + n + 1])
		n++;
	return n;
}

static uint16_t
colour_of(const unsigned *v, size_t n)
{
	if (n >= 2 && v[0] == 5 && v[1] < 256)
		return (uint16_t)(v[1] + 1);
	if (n >= 4 && v[0] == 2 && v[1] < 256 && v[2] < 256 && v[3] < 256)
		return (uint16_t)(nearest(v[1], v[2], v[3]) + 1);
	return 0;
}

/* 38, 48 and 58: "38;5;N", "38;2;R;G;B", "38:5:N", "38:2:R:G:B", "38:2::R:G:B". *used:
 * parameters after i that it took. */
static uint16_t
colour_long(const struct params *p, size_t i, size_t *used)
{
	size_t subs = params_subs(p, i), left = p->n - i - 1;
	const unsigned *v = &p->v[i + 1];
	unsigned rgb[4] = { 2 };

	if (subs) {
		*used = subs;
		if (v[0] != 2 || subs < 5)
			return colour_of(v, subs);
		memcpy(rgb + 1, v + 2, 3 * sizeof(*v));
		return colour_of(rgb, 4);
	}
	*used = left && v[0] == 5 ? 2 : left && v[0] == 2 ? 4 : 0;
	if (*used > left)
		*used = left;
	return colour_of(v, *used);
}

static const struct {
	uint8_t set, clear;
} attributes[] = {
	[1] = { ANSI_BOLD, 0 },	      [2] = { ANSI_DIM, 0 },
	[3] = { ANSI_ITALIC, 0 },     [4] = { ANSI_UNDERLINE, 0 },
	[7] = { ANSI_INVERSE, 0 },    [9] = { ANSI_STRIKE, 0 },
	[21] = { ANSI_UNDERLINE, 0 }, [22] = { 0, ANSI_BOLD | ANSI_DIM },
	[23] = { 0, ANSI_ITALIC },    [24] = { 0, ANSI_UNDERLINE },
	[27] = { 0, ANSI_INVERSE },   [29] = { 0, ANSI_STRIKE },
};

static void
sgr_simple(struct ansi_style *s, unsigned v)
{
	if (v < sizeof(attributes) / sizeof(attributes[0]))
		s->attrs = (uint8_t)((s->attrs | attributes[v].set) &
				     ~attributes[v].clear);
	else if (v >= 30 && v <= 37)
		s->fg = (uint16_t)(v - 30 + 1);
	else if (v >= 40 && v <= 47)
		s->bg = (uint16_t)(v - 40 + 1);
	else if (v >= 90 && v <= 97)
		s->fg = (uint16_t)(v - 90 + 9);
	else if (v >= 100 && v <= 107)
		s->bg = (uint16_t)(v - 100 + 9);
	else if (v == 39)
		s->fg = 0;
	else if (v == 49)
		s->bg = 0;
}

static void
sgr_apply(struct ansi_style *s, const struct params *p)
{
	for (size_t i = 0; i < p->n; i++) {
		unsigned v = p->v[i];
		size_t used = params_subs(p, i);

		if (v == 0)
			*s = (struct ansi_style){ 0 };
		else if (v == 38)
			s->fg = colour_long(p, i, &used);
		else if (v == 48)
			s->bg = colour_long(p, i, &used);
		else if (v == 58)
			colour_long(p, i, &used);
		else if (v == 4 && used && p->v[i + 1] == 0)
			sgr_simple(s, 24);
		else
			sgr_simple(s, v);
		i += used;
	}
}

/* Sequences */

static const uint8_t *
skip_range(const uint8_t *p, const uint8_t *end, uint8_t low, uint8_t high)
{
	while (p < end && *p >= low && *p <= high)
		p++;
	return p;
}

/* A control string (OSC, DCS, ...): to BEL or ESC \, or the line's end. */
static const uint8_t *
skip_string(const uint8_t *p, const uint8_t *end)
{
	for (; p < end; p++) {
		if (*p == BEL)
			return p + 1;
		if (*p == ESC)
			return p + 1 < end && p[1] == '\\' ? p + 2 : p;
	}
	return end;
}

/* p is after ESC [. */
static const uint8_t *
take_csi(struct ansi_style *s, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *params = p, *middle;
	struct params parsed;

	middle = skip_range(p, end, 0x30, 0x3f);
	p = skip_range(middle, end, 0x20, 0x2f);
	if (p == end || *p < 0x40 || *p > 0x7e)
		return p;
	if (*p == 'm' && p == middle) {
		params_parse(&parsed, params, middle);
		sgr_apply(s, &parsed);
	}
	return p + 1;
}

/* p is at ESC; the end of its sequence. */
static const uint8_t *
take_escape(struct ansi_style *s, const uint8_t *p, const uint8_t *end)
{
	if (++p == end)
		return p;
	if (*p == '[')
		return take_csi(s, p + 1, end);
	if (*p == ']' || *p == 'P' || *p == 'X' || *p == '^' || *p == '_')
		return skip_string(p + 1, end);
	p = skip_range(p, end, 0x20, 0x2f);
	return p < end && *p >= 0x30 && *p <= 0x7e ? p + 1 : p;
}

static bool
is_control(uint8_t c)
{
	return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* The control characters U+0080 to U+009F. */
static bool
is_c1(const uint8_t *p, const uint8_t *end)
{
	return *p == 0xc2 && end - p >= 2 && p[1] >= 0x80 && p[1] <= 0x9f;
}

static const uint8_t *
plain_end(const uint8_t *p, const uint8_t *end)
{
	while (p < end && !is_control(*p) && !is_c1(p, end))
		p++;
	return p;
}

static const uint8_t *
take_control(struct ansi_style *s, const uint8_t *p, const uint8_t *end)
{
	if (*p == ESC)
		return take_escape(s, p, end);
	return p + (is_c1(p, end) ? 2 : 1);
}

/* Where what stays visible begins: after the last carriage return that something was
 * printed after. */
static const uint8_t *
visible_begin(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *begin = p, *back = NULL;
	struct ansi_style ignored = { 0 };

	if (!memchr(p, '\r', (size_t)(end - p)))
		return p;
	while (p < end) {
		const uint8_t *stop = plain_end(p, end);

		if (stop > p && back) {
			begin = back;
			back = NULL;
		}
		p = stop;
		if (p < end && *p == '\r')
			back = p + 1;
		if (p < end)
			p = take_control(&ignored, p, end);
	}
	return begin;
}

void
ansi_line(struct ansi_style *s, const void *line, size_t len, ansi_run_fn *fn,
	  void *arg)
{
	const uint8_t *p = line, *end = p + len, *begin = visible_begin(p, end);

	while (p < end) {
		const uint8_t *stop = plain_end(p, end);

		if (stop > p && p >= begin)
			fn(arg, s, (const char *)p, (size_t)(stop - p));
		p = stop;
		if (p < end)
			p = take_control(s, p, end);
	}
}

void
ansi_skip(struct ansi_style *s, const void *line, size_t len)
{
	const uint8_t *p = line, *end = p + len;

	while (p < end && (p = memchr(p, ESC, (size_t)(end - p))))
		p = take_escape(s, p, end);
}
