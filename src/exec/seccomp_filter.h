/*
 * seccomp_filter: the filter of system calls that local sandboxes run under.
 *
 * Everything is allowed but what builds do not need and kernels have been broken
 * through: new user namespaces, mounts, kernel keys, bpf, io_uring, perf, userfaultfd,
 * pushing input into terminals, exotic socket families, anything about the machine.
 * ptrace stays allowed (debuggers, leak checkers). Blocking, called at start-up.
 */
#pragma once

#include "slipway/err.h"

/* The filter as a sealed memory file, to be read from its start; -1 on error. */
int seccomp_filter_open(struct err *e);
