/*
 * clock: the three clocks, in milliseconds, and the boot's identity. Any thread.
 */
#pragma once

#include <stdint.h>

#define BOOT_ID_LEN 36

/* Since the epoch; what records carry. */
int64_t clock_wall_ms(void);
/* CLOCK_MONOTONIC; for intervals within one process. */
int64_t clock_mono_ms(void);
/* CLOCK_BOOTTIME: goes on while the machine sleeps; for jobs' time-outs. */
int64_t clock_boot_ms(void);
/* /proc/sys/kernel/random/boot_id, or $SLIPWAY_TEST_BOOT_ID when that is set
 * (tests simulate a reboot with it). Never NULL. */
const char *clock_boot_id(void);
