/*
 * page_steps: what pages tell of a job's steps and of its fate, in words.
 */
#pragma once

#include "page.h"
#include "slipway/lineindex.h"

/* "build → test → 3 more"; spec may be NULL. Text. */
void page_title(struct strbuf *out, const struct jobspec *spec,
		const struct job_view *v);
/* "fetching", "step", ...: what a running job is doing. */
const char *job_phase_words(enum job_phase phase);

/* An attempt as a page shows it. */
struct shown_attempt {
	const struct job_view *v;
	const struct attempt *a; /* NULL: it has not begun */
	const struct jobspec *spec;
	unsigned number;
	enum job_state state;
	enum job_reason reason;
	const char *error;
};

/* Why it waits, what it does, how it ended: a sentence. Nothing after success. */
void page_fate(struct page *p, const struct shown_attempt *s);
/* The list of steps, with links to where they begin in the log (first: 0 when not
 * yet). url: of the page, with its query. */
void page_steps(struct page *p, const struct shown_attempt *s, const uint64_t *first,
		const struct strbuf *url);
