#include "term.h"

#include <string.h>
#include <sys/ioctl.h>

#include "slipway/mem.h"
#include "slipway/utf8.h"

/* Control characters, and those that turn the direction of what follows or end a line
 * in disguise. */
static bool
is_trouble(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x200e || cp == 0x200f ||
	       (cp >= 0x2028 && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

void
term_text(struct strbuf *out, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		uint32_t cp = 0;
		size_t n = utf8_decode(text, left, &cp);

		if (n == 0 || is_trouble(cp)) {
			n = n ? n : 1;
			for (size_t i = 0; i < n; i++)
				strbuf_addf(out, "\\x%02x", (unsigned char)text[i]);
		} else {
			strbuf_add(out, text, n);
		}
		text += n;
		left -= n;
	}
}

static void
csi_byte(struct term_filter *f, unsigned char c, struct strbuf *out)
{
	if (c >= 0x40 && c <= 0x7e) {
		if (c == 'm' && f->colours && f->len < sizeof(f->csi) &&
		    strspn(f->csi, "0123456789;:") == f->len) {
			strbuf_addf(out, "\033[%sm", f->csi);
			f->coloured = true;
		}
		f->state = TERM_PLAIN;
		return;
	}
	/* One that is too long cannot be a colour; its end is still looked for. */
	if (f->len + 1 < sizeof(f->csi)) {
		f->csi[f->len++] = (char)c;
		f->csi[f->len] = '\0';
	} else {
		f->len = sizeof(f->csi);
	}
}

static void
escape_byte(struct term_filter *f, unsigned char c)
{
	f->len = 0;
	f->csi[0] = '\0';
	if (c == '[')
		f->state = TERM_CSI;
	else if (strchr("]PX^_", c) && c)
		f->state = TERM_STRING;
	else if (c >= 0x20 && c <= 0x2f)
		f->state = TERM_INTER;
	else
		f->state = TERM_PLAIN;
}

static void
plain_byte(struct term_filter *f, unsigned char c, struct strbuf *out)
{
	if (c == 0x1b)
		f->state = TERM_ESCAPE;
	else if (c == 0xc2)
		f->state = TERM_C1_LEAD;
	else if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t' || c == '\r')
		strbuf_addc(out, (char)c);
}

static void
c1_byte(struct term_filter *f, unsigned char c, struct strbuf *out)
{
	f->state = TERM_PLAIN;
	if (c >= 0x80 && c < 0xa0)
		return;
	strbuf_addc(out, '\xc2');
	plain_byte(f, c, out);
}

void
term_filter(struct term_filter *f, const char *data, size_t len, struct strbuf *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		/* A new sequence, or a line's end, ends what was left open. */
		if (f->state != TERM_PLAIN && f->state != TERM_STRING &&
		    f->state != TERM_C1_LEAD && (c == 0x1b || c == '\n'))
			f->state = TERM_PLAIN;
		switch (f->state) {
		case TERM_PLAIN: plain_byte(f, c, out); break;
		case TERM_ESCAPE: escape_byte(f, c); break;
		case TERM_INTER:
			if (c < 0x20 || c > 0x2f)
				f->state = TERM_PLAIN;
			break;
		case TERM_CSI: csi_byte(f, c, out); break;
		case TERM_STRING:
			if (c == 0x07 || c == '\n')
				f->state = TERM_PLAIN;
			else if (c == 0x1b)
				f->state = TERM_STRING_ESCAPE;
			break;
		case TERM_STRING_ESCAPE: f->state = TERM_PLAIN; break;
		case TERM_C1_LEAD: c1_byte(f, c, out); break;
		}
	}
}

void
term_duration(struct strbuf *out, int64_t ms)
{
	long long s = ms / 1000;

	if (ms < 1000)
		strbuf_addf(out, "%lldms", (long long)ms);
	else if (s < 60)
		strbuf_addf(out, "%lld.%llds", s, (long long)(ms % 1000 / 100));
	else if (s < 3600)
		strbuf_addf(out, "%lldm%02llds", s / 60, s % 60);
	else
		strbuf_addf(out, "%lldh%02lldm", s / 3600, s / 60 % 60);
}

const char *
term_state_colour(const char *state)
{
	static const struct {
		const char *state, *colour;
	} colours[] = { { "success", TERM_GREEN }, { "failure", TERM_RED },
			{ "timeout", TERM_RED },   { "running", TERM_YELLOW },
			{ "queued", TERM_DIM },	   { "cancelled", TERM_DIM },
			{ "skipped", TERM_DIM },   { "pending", TERM_DIM } };

	for (size_t i = 0; i < ARRAY_LEN(colours); i++)
		if (strcmp(colours[i].state, state) == 0)
			return colours[i].colour;
	return "";
}

int
term_width(int fd)
{
	struct winsize ws;

	return ioctl(fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 ? ws.ws_col : 80;
}
