/*
 * stepenv: what a step finds in its environment, and what it hands on.
 *
 * Order, later ones win: init's own environment (or a minimal PATH), the plan's, what
 * earlier steps wrote to $SLIPWAY_ENV, the step's, SLIPWAY_STEP and SLIPWAY_ENV.
 * Secrets given as files exist only while a step that may see them runs.
 */
#pragma once

#include "environ.h"
#include "run.h"

/* Fills env and makes the files; -1 after run_fail(). */
int stepenv_prepare(struct run *run, struct environ_list *env);
/* Takes over what the step wrote, removes its files. */
void stepenv_finish(struct run *run);
/* At the job's end: no secret stays in a file. */
void stepenv_remove_files(struct run *run);
