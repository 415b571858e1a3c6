/*
 * sdnotify: what a service tells its manager, and what that gave it, by the protocol of
 * sd_notify(3): datagrams to $NOTIFY_SOCKET. Without a manager nothing happens. Any
 * thread; never blocks.
 */
#pragma once

#include <stdint.h>

/* "READY=1\nSTATUS=..."; what cannot be sent is logged. */
void sdnotify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* RELOADING=1 with the time that the manager wants beside it. */
void sdnotify_reloading(void);
/* How often WATCHDOG=1 has to come, in ms; 0: it need not. */
int64_t sdnotify_watchdog_ms(void);
/* The one listening socket that came with the start (socket activation), now CLOEXEC;
 * -1 when there is none. */
int sdnotify_listen_fd(void);
