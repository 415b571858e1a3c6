#include "lines_view.h"

/* The palette as style rules. */

#define CONTRAST_MIN 480 /* WCAG AA asks for 4.5 */

/* The basic 16 are what a terminal's theme makes of them. */
static const uint32_t theme[16] = {
	0x768390, 0xf47067, 0x57ab5a, 0xd9a441, 0x6cb6ff, 0xdcbdfb, 0x56d4dd, 0xcdd6e0,
	0x909dab, 0xff938a, 0x6bd470, 0xf2cc60, 0x96d0ff, 0xeedcff, 0xb3f0ff, 0xffffff,
};
/* As grounds they are calmer, so that both ends of the palette stand out on them. */
static const uint32_t grounds[16] = {
	0x2d333b, 0x8e2f2b, 0x245829, 0x6e5200, 0x1f4b85, 0x5b3a8c, 0x1b5a63, 0xc5cdd6,
	0x545d68, 0xb3403a, 0x347d39, 0x8a6a00, 0x316dca, 0x8256d0, 0x2b7b86, 0xffffff,
};

/* sRGB to linear light, 0 to 10000, by steps of 17 of the 255; between them straight. */
static unsigned
linear(unsigned v)
{
	static const unsigned light[16] = { 0,	  56,	160,  331,  578,  908,
					    1329, 1845, 2462, 3185, 4020, 4969,
					    6038, 7231, 8550, 10000 };
	unsigned i = v / 17, rest = v % 17;

	return i == 15 ? light[15] : light[i] + (light[i + 1] - light[i]) * rest / 17;
}

static unsigned
luminance(uint32_t rgb)
{
	return (2126 * linear(rgb >> 16) + 7152 * linear(rgb >> 8 & 255) +
		722 * linear(rgb & 255)) /
	       10000;
}

unsigned
ansi_contrast(uint32_t a, uint32_t b)
{
	unsigned la = luminance(a), lb = luminance(b);

	return la > lb ? (la + 500) * 100 / (lb + 500) : (lb + 500) * 100 / (la + 500);
}

/* A step towards white. */
static uint32_t
lighter(uint32_t rgb)
{
	uint32_t out = 0;

	for (unsigned shift = 0; shift < 24; shift += 8) {
		unsigned v = rgb >> shift & 255;

		out |= (v + (255 - v + 15) / 16) << shift;
	}
	return out;
}

uint32_t
ansi_legible(unsigned index)
{
	uint32_t rgb = index < 16 ? theme[index] : ansi_rgb(index);

	while (ansi_contrast(rgb, ANSI_GROUND) < CONTRAST_MIN)
		rgb = lighter(rgb);
	return rgb;
}

/* Text that has no colour of its own on a ground that has one. */
static uint32_t
text_on(uint32_t ground)
{
	return ansi_contrast(ground, ANSI_TEXT) >= ansi_contrast(ground, ANSI_GROUND)
		       ? ANSI_TEXT
		       : ANSI_GROUND;
}

void
ansi_css(struct strbuf *out)
{
	strbuf_addf(out, ".log{--ground:#%06x;--text:#%06x}\n", ANSI_GROUND, ANSI_TEXT);
	strbuf_adds(out, ".gi{background:var(--text);color:var(--ground)}\n");
	for (unsigned i = 0; i < 256; i++) {
		uint32_t ground = i < 16 ? grounds[i] : ansi_rgb(i);

		strbuf_addf(out, ".g%u{background:#%06x;color:#%06x}\n", i, ground,
			    text_on(ground));
	}
	for (unsigned i = 0; i < 256; i++) {
		strbuf_addf(out, ".f%u{color:#%06x}\n", i, ansi_legible(i));
		if (i == 0 || (i >= 16 && ansi_legible(i) != ansi_rgb(i)))
			strbuf_addf(out, ".g.f%u{color:#%06x}\n", i, ansi_rgb(i));
	}
}
