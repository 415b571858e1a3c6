/*
 * serve: the nursery. See slipway/worker_task.h for what it is told and answers.
 */
#pragma once

/* Serves descriptor 0 until it closes; 0 or 1, for exit(). */
int serve_main(void);
