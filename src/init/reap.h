/*
 * reap: the end of all processes of a job.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Processes that survive SIGKILL for so long are left to the kernel, which ends them
 * with the PID namespace. */
#define REAP_PATIENCE_MS 10000

/* Kill and reap whatever still lives: the PID namespace (when we are its PID 1), else
 * all descendants. SIGCHLD has to be blocked. False when some would not die. */
bool reap_everything(bool pid1);
/* oom_kill of the cgroup's memory.events, 0 when there is none to read. */
uint64_t reap_oom_kills(void);
