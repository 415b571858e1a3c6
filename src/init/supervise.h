/*
 * supervise: runs a plan to its end, as PID 1 of a sandbox or as a plain process.
 */
#pragma once

#include "slipway/plan.h"

/* Takes over the spool's descriptor. Returns enum init_exit, after everything that
 * the steps left behind is gone. oom_fd as of step_open_oom(). */
int supervise_run(const struct plan *plan, int spool_fd, int oom_fd);
