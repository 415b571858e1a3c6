/*
 * ansi: what a terminal would make of a line of output. Pure, any thread.
 *
 * Of escape sequences only SGR is understood (16, 256 and true colours, bold, dim,
 * italic, underline, inverse, struck out); all others, and control characters but the
 * tab, are taken out. A carriage return begins the line anew, so of a progress bar the
 * last state is left. True colours become the nearest of the palette of 256.
 *
 * Bytes that are not UTF-8 are handed on as they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSI_BOLD 1u
#define ANSI_DIM 2u
#define ANSI_ITALIC 4u
#define ANSI_UNDERLINE 8u
#define ANSI_INVERSE 16u
#define ANSI_STRIKE 32u
#define ANSI_ATTRS 63u

struct ansi_style {
	uint16_t fg, bg; /* 0: the default, else 1 + the index in the palette */
	uint8_t attrs;
};

bool ansi_style_is_plain(const struct ansi_style *s);
bool ansi_style_same(const struct ansi_style *a, const struct ansi_style *b);
/* Can it have been made here? For styles that were stored. */
bool ansi_style_is_valid(const struct ansi_style *s);

/* text has at least one byte; neighbours may have the same style. */
typedef void ansi_run_fn(void *arg, const struct ansi_style *s, const char *text,
			 size_t len);
/* Show a line (without its newline) that begins in style *s, which moves on. */
void ansi_line(struct ansi_style *s, const void *line, size_t len, ansi_run_fn *fn,
	       void *arg);
/* Only move *s on, fast. */
void ansi_skip(struct ansi_style *s, const void *line, size_t len);
/* 0xrrggbb of an index of the palette; 0 to 15 as xterm has them. */
uint32_t ansi_rgb(unsigned index);
