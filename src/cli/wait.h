/*
 * wait: patience with jobs, servers and people.
 */
#pragma once

#include "cli.h"

/* Waits for the final state without the log; on_change (may be NULL) sees every
 * answer that differs in what people care for. *last gets the last one; put it. */
int wait_job(struct cli *cli, const char *id,
	     void (*on_change)(struct cli *cli, struct json_object *job),
	     struct json_object **last);

/* Patience with a server that went away: grows from a quarter of a second to four, for
 * a minute in all. Zero-initialise, and again whenever it answered. */
struct patience {
	int64_t since; /* clock_mono_ms */
	int64_t delay;
};
/* Sleeps; false when there is none left, or on interruption. */
bool patience_wait(struct patience *p);
/* SIGINT sets a flag from now on; a second one ends the program. */
void interrupt_catch(void);
bool interrupted(void);
/* What was left alone, and how to come back to it; returns 130. */
int report_interrupted(const struct cli *cli, const char *id);
int report_gave_up(const struct cli *cli, const char *id);
