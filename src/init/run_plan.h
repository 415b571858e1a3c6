/*
 * run_plan: takes the plan in, once.
 *
 * A plan in a file is emptied after it was read, so that a sandbox started again finds
 * none and runs nothing twice.
 */
#pragma once

#include "slipway/plan.h"

/* Closes plan_fd. INIT_EXIT_SUCCESS with the plan; INIT_EXIT_ALREADY_RAN when there is
 * none; INIT_EXIT_INTERNAL after a note in the spool. */
int run_plan_read(struct plan *plan, int plan_fd, int spool_fd);
