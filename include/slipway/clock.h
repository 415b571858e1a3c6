/*
 * clock: the three clocks, in milliseconds, and the boot's identity. Any thread.
 */
#pragma once

#include <stdint.h>

#define BOOT_ID_LEN 36
#define CLOCK_ISO_SIZE 40

/* Since the epoch; what records carry. */
int64_t clock_wall_ms(void);
/* ms since the epoch as ISO 8601, UTC: "2026-11-21T18:33:01.123Z". */
void clock_format_iso(int64_t ms, char out[CLOCK_ISO_SIZE]);
/* CLOCK_MONOTONIC; for intervals within one process. */
int64_t clock_mono_ms(void);
/* CLOCK_BOOTTIME: goes on while the machine sleeps; for jobs' time-outs. */
int64_t clock_boot_ms(void);
/* /proc/sys/kernel/random/boot_id, or $SLIPWAY_TEST_BOOT_ID when that is set
 * (tests simulate a reboot with it). Never NULL. */
const char *clock_boot_id(void);
