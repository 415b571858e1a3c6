/*
 * err: error values.
 *
 * Every fallible function returns 0 or -1 and takes a `struct err *` last. On
 * failure it fills code and msg (and field, when the fault lies in one field of
 * some input); on success it leaves them alone. Callers add context with
 * err_wrap() on the way up; whoever handles the error logs it, once. The value
 * lives in the caller's frame, nothing is allocated. Any thread.
 */
#pragma once

#include <stddef.h>

enum err_code {
	ERR_NONE,
	ERR_INVALID,	  /* 400 malformed or out of range input */
	ERR_UNAUTHORIZED, /* 401 */
	ERR_FORBIDDEN,	  /* 403 */
	ERR_NOT_FOUND,	  /* 404 */
	ERR_METHOD,	  /* 405 */
	ERR_CONFLICT,	  /* 409 */
	ERR_TOO_LARGE,	  /* 413 */
	ERR_MEDIA_TYPE,	  /* 415 */
	ERR_QUEUE_FULL,	  /* 503 admission limit reached */
	ERR_NO_SPACE,	  /* 503 disk or map full */
	ERR_DRAINING,	  /* 503 */
	ERR_BUSY,	  /* 503 a bounded queue is full, try again */
	ERR_TIMEOUT,	  /* a deadline passed */
	ERR_CLOSED,	  /* the other side went away */
	ERR_CONNECT,	  /* the network failed: worth another try */
	ERR_PROTOCOL,	  /* the other side broke the format */
	ERR_DENIED,	  /* refused by policy (URL, host key, runner) */
	ERR_CORRUPT,	  /* stored or received bytes do not decode */
	ERR_SYSTEM,	  /* a system call failed, see sys */
	ERR_INTERNAL,	  /* our own fault */
	ERR_TOO_MANY,	  /* 429 */
	ERR_CODES
};

struct err {
	enum err_code code;
	int sys; /* errno, or 0 */
	char field[160];
	char msg[600];
};

/* Set code and message; returns -1 so that `return err_set(...)` reads well. A
 * NULL e is allowed and ignored, in all of these. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with the path of the input field at fault, e.g. "steps[0].run". */
int err_field(struct err *e, enum err_code code, const char *field,
	      const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* From errno: "<message>: <strerror>"; ENOSPC, EDQUOT become ERR_NO_SPACE, else
 * ERR_SYSTEM. */
int err_sys(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Put "<context>: " in front of the message; keeps code and field. */
int err_wrap(struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The stable slug of a code ("invalid", "not_found", ...), used in JSON. */
const char *err_slug(enum err_code code);
/* The HTTP status that follows from a code; the one table of it. */
int err_http_status(enum err_code code);
