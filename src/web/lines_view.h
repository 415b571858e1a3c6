/*
 * lines_view: lines of a log for those who look at it: as JSON for programs and for the
 * pages' script, as rows of a page. Pure, any thread.
 *
 * Escape sequences become classes: b d i u s (bold, dim, italic, underline, struck out),
 * fN and gN (foreground, background: index in the palette), gi (on a ground of the text's
 * default colour); with a ground comes g. The rules for them are ansi_css().
 */
#pragma once

#include "slipway/lineindex.h"
#include "slipway/strbuf.h"

/* [{n, step?, stream, time, text, spans?, open?}]; spans: [from, length, classes],
 * counted in UTF-16 units as JavaScript does. */
void lines_json(const struct line_window *w, struct strbuf *out);
/* One row per line, each with its number as id ("L12"). */
void lines_html(const struct line_window *w, struct strbuf *out);
/* Style rules for all classes of colours. What is too dark for the dark ground of a
 * log is lightened, unless it has a ground of its own. */
void ansi_css(struct strbuf *out);
#define ANSI_GROUND 0x0f141b
#define ANSI_TEXT 0xd7dde5
/* How the index of the palette looks as text on that ground: 0xrrggbb. */
uint32_t ansi_legible(unsigned index);
/* (L1 + 0.05) / (L2 + 0.05) of WCAG, times 100. */
unsigned ansi_contrast(uint32_t a, uint32_t b);
/* Append s as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void json_quote(struct strbuf *out, const char *s, size_t len);
