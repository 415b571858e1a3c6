/*
 * html: pages as text. Pure, any thread.
 */
#pragma once

#include <stdint.h>

#include "slipway/strbuf.h"

/* Append text so that it is text in element content and in quoted attributes; bytes
 * that are not UTF-8, and control bytes, become U+FFFD. */
void html_text(struct strbuf *out, const char *text);
/* <time> of a moment in ms since the epoch; nothing for 0. */
void html_time(struct strbuf *out, int64_t ms);
/* "1.2 s", "3 min 20 s", "2 h 5 min" */
void html_duration(struct strbuf *out, int64_t ms);
/* "512 KiB", "1.5 GiB" */
void html_bytes(struct strbuf *out, uint64_t bytes);
