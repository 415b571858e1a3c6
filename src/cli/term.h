/*
 * term: text for people at terminals. Pure, but for term_width().
 *
 * What others wrote reaches a terminal only through here: names and messages with
 * their control bytes escaped, output of jobs with its colours and nothing else that
 * could move the cursor, set a title or answer a query.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/strbuf.h"

#define TERM_RESET "\033[0m"
#define TERM_BOLD "\033[1m"
#define TERM_DIM "\033[2m"
#define TERM_RED "\033[31m"
#define TERM_GREEN "\033[32m"
#define TERM_YELLOW "\033[33m"

/* Append text; control bytes and what is not UTF-8 become \xNN. */
void term_text(struct strbuf *out, const char *text);

enum term_escape {
	TERM_PLAIN,
	TERM_ESCAPE, /* after ESC */
	TERM_INTER,  /* ESC and intermediate bytes */
	TERM_CSI,
	TERM_STRING, /* OSC, DCS, ...: until BEL or ST */
	TERM_STRING_ESCAPE,
	TERM_C1_LEAD, /* after 0xc2, which leads U+0080..U+00BF */
};

/* Output of a job, in any pieces. Zero-initialise. */
struct term_filter {
	enum term_escape state;
	bool colours;  /* let them through */
	bool coloured; /* some were: reset before text of our own */
	char csi[64];
	size_t len;
};
void term_filter(struct term_filter *f, const char *data, size_t len,
		 struct strbuf *out);

/* "0.3s", "12.0s", "3m20s", "2h05m" */
void term_duration(struct strbuf *out, int64_t ms);
/* The colour of a state's name. */
const char *term_state_colour(const char *state);
/* Columns of the terminal at fd; 80 when it does not tell. */
int term_width(int fd);
