/*
 * sequence: the order of a job: which step is next, how it is ended, what the job's
 * verdict becomes. Every call takes the present from the caller's clock or asks
 * util_now_ms(); none blocks, but for starting a process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "run.h"

/* Start the first step. */
void sequence_begin(struct run *run);
/* All steps have ended or were skipped. */
bool sequence_is_over(const struct run *run);
/* A process ended: the step's main process, another of it, or an orphan. */
void sequence_child_ended(struct run *run, pid_t pid, int status,
			  const struct rusage *usage);
/* End of the present step as asked (TERM, grace, KILL); only "always" steps follow. */
void sequence_cancel(struct run *run);
/* The same without grace and without "always" steps. */
void sequence_abort(struct run *run);
/* Do what is due; then end the step when it is over, and start the next. */
void sequence_tick(struct run *run, uint64_t now);
/* When sequence_tick() has to be called again at the latest, 0: no need. */
uint64_t sequence_deadline(const struct run *run);
