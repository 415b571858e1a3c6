/*
 * task: the life of a process that does one task.
 */
#pragma once

/* Reads the task from descriptor 0, writes frames to 1, exits. Ends at once when the
 * other end of 0 closes. libgit2 is initialised. */
void task_main(void) __attribute__((noreturn));
