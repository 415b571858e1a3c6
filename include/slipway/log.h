/*
 * log: lines to standard error.
 *
 * Each line names its subsystem and, by convention, its object first
 * ("job=j1 attempt=2 ..."). Under journald (JOURNAL_STREAM set) lines begin with
 * the "<n>" priority and carry no time; elsewhere with an RFC 3339 time. Control
 * bytes are escaped. Any thread; one write(2) per line.
 */
#pragma once

#include <stdbool.h>

enum log_sub {
	LOG_DAEMON, LOG_LOOP, LOG_HTTP, LOG_STORE, LOG_CONF, LOG_ENGINE, LOG_SCHED,
	LOG_RUN, LOG_SPOOL, LOG_EXEC, LOG_WEB, LOG_WORKER, LOG_SUBS
};

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Everything up to this level is written (default info). */
void log_set_level(enum log_level level);
/* "error" ... "debug", or "debug:run,store" for debug of some subsystems only.
 * False when it is none of these; nothing changes then. */
bool log_set_level_name(const char *name);
/* Would log_set_level_name() take it? */
bool log_level_is_valid(const char *name);
bool log_wants(enum log_sub sub, enum log_level level);
void log_write(enum log_sub sub, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(sub, ...) log_write((sub), LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(sub, ...) log_write((sub), LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(sub, ...) log_write((sub), LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(sub, ...)                                                    \
	do {                                                                   \
		if (log_wants((sub), LOG_LEVEL_DEBUG))                         \
			log_write((sub), LOG_LEVEL_DEBUG, __VA_ARGS__);        \
	} while (0)

/* Log at error level and abort(); for broken invariants only. */
void log_fatal(enum log_sub sub, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));
