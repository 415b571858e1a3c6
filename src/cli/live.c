#include "live.h"

#include <string.h>

#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

#define DRAW_EVERY_MS 200

void
live_init(struct live *l, const struct cli *cli, int nsteps)
{
	const char *term = getenv("TERM");

	*l = (struct live){ .cli = cli, .nsteps = nsteps, .index = -1 };
	l->on = cli->out_tty && cli->err_tty && term && strcmp(term, "dumb") != 0;
	l->filter.colours = cli->out_colour;
}

static void
put(struct live *l, int fd, const char *data, size_t len)
{
	struct err e = { 0 };

	if (len && fs_write_all(fd, data, len, &e) && fd == STDOUT_FILENO && !l->exit)
		l->exit = report(l->cli, CLI_IO, "standard output: %s", e.msg);
}

void
live_clear(struct live *l)
{
	if (l->drawn)
		put(l, STDERR_FILENO, "\r\033[K", 4);
	l->drawn = false;
}

static void
add_elapsed(struct strbuf *out, int64_t since)
{
	int64_t s = (clock_mono_ms() - since) / 1000;

	strbuf_addf(out, "%lld:%02lld", (long long)(s / 60), (long long)(s % 60));
}

static void
live_draw(struct live *l)
{
	cleanup_strbuf struct strbuf text = { 0 }, out = { 0 };
	size_t width = (size_t)term_width(STDERR_FILENO) - 1;

	if (!l->on || l->in_line || !*l->state)
		return;
	strbuf_adds(&text, l->state);
	strbuf_addc(&text, ' ');
	add_elapsed(&text, l->since);
	if (l->index >= 0) {
		strbuf_addf(&text, "  step %d of %d, ", l->index + 1, l->nsteps);
		term_text(&text, l->step);
		strbuf_addc(&text, ' ');
		add_elapsed(&text, l->step_since);
	}
	if (text.len > width) {
		/* Never in the midst of a character. */
		while (width > 0 && (text.data[width] & 0xc0) == 0x80)
			width--;
		text.len = width;
	}
	strbuf_adds(&out, l->drawn ? "\r\033[K" : "");
	strbuf_adds(&out, l->cli->err_colour ? TERM_RESET TERM_DIM : "");
	strbuf_add(&out, text.data, text.len);
	strbuf_adds(&out, l->cli->err_colour ? TERM_RESET : "");
	put(l, STDERR_FILENO, out.data, out.len);
	l->drawn = true;
	l->drawn_at = clock_mono_ms();
}

void
live_tick(struct live *l)
{
	if (clock_mono_ms() - l->drawn_at >= DRAW_EVERY_MS)
		live_draw(l);
}

void
live_output(struct live *l, const char *data, size_t len, bool partial)
{
	cleanup_strbuf struct strbuf out = { 0 };

	live_clear(l);
	if (l->cli->out_tty)
		term_filter(&l->filter, data, len, &out);
	else
		strbuf_add(&out, data, len);
	if (!partial)
		strbuf_addc(&out, '\n');
	put(l, STDOUT_FILENO, out.data, out.len);
	l->in_line = out.len ? out.data[out.len - 1] != '\n' : l->in_line;
}

static void
line(struct live *l, int fd, const char *colour, const char *text)
{
	cleanup_strbuf struct strbuf out = { 0 };
	bool coloured = fd == STDOUT_FILENO ? l->cli->out_colour : l->cli->err_colour;

	live_clear(l);
	if (l->in_line && (fd == STDOUT_FILENO || l->cli->out_tty))
		put(l, STDOUT_FILENO, "\n", 1);
	if (fd == STDOUT_FILENO || l->cli->out_tty)
		l->in_line = false;
	if (coloured && (l->filter.coloured || *colour))
		strbuf_adds(&out, TERM_RESET);
	l->filter.coloured = false;
	if (coloured)
		strbuf_adds(&out, colour);
	term_text(&out, text);
	if (coloured && *colour)
		strbuf_adds(&out, TERM_RESET);
	strbuf_addc(&out, '\n');
	put(l, fd, out.data, out.len);
}

void
live_line(struct live *l, const char *colour, const char *text)
{
	line(l, STDOUT_FILENO, colour, text);
}

void
live_remark(struct live *l, const char *colour, const char *text)
{
	line(l, STDERR_FILENO, colour, text);
}

void
live_state(struct live *l, const char *state)
{
	if (strcmp(l->state, state) != 0)
		l->since = clock_mono_ms();
	STR_COPY(l->state, state);
	live_draw(l);
}

void
live_step(struct live *l, int index, const char *name)
{
	l->index = index;
	STR_COPY(l->step, name);
	l->step_since = clock_mono_ms();
	live_draw(l);
}
