/*
 * live: what people see while a job is followed: its output, and, at a terminal, one
 * line below it that tells what is going on and for how long.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cli.h"
#include "term.h"

struct live {
	const struct cli *cli;
	bool on; /* the line at the bottom is wanted */
	struct term_filter filter;
	bool in_line; /* output ended in the midst of a line */
	bool drawn;
	int64_t drawn_at; /* clock_mono_ms */
	char state[16];
	int64_t since; /* of the state */
	char step[128];
	int64_t step_since;
	int index, nsteps; /* index -1: between steps */
	int exit;	   /* not 0: standard output broke */
};

void live_init(struct live *l, const struct cli *cli, int nsteps);
/* Output of the job, as it is. */
void live_output(struct live *l, const char *data, size_t len, bool partial);
/* A line of our own among the output (standard output), or about it (standard error);
 * colour may be "". */
void live_line(struct live *l, const char *colour, const char *text);
void live_remark(struct live *l, const char *colour, const char *text);
void live_state(struct live *l, const char *state);
void live_step(struct live *l, int index, const char *name);
/* Redraw when it is time. */
void live_tick(struct live *l);
/* Take the line away. */
void live_clear(struct live *l);
