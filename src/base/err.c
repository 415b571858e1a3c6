#include "slipway/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "slipway/utf8.h"

static const struct {
	const char *slug;
	int http;
} codes[ERR_CODES] = {
	[ERR_NONE] = { "none", 200 },
	[ERR_INVALID] = { "invalid", 400 },
	[ERR_UNAUTHORIZED] = { "unauthorized", 401 },
	[ERR_FORBIDDEN] = { "forbidden", 403 },
	[ERR_NOT_FOUND] = { "not_found", 404 },
	[ERR_METHOD] = { "method_not_allowed", 405 },
	[ERR_CONFLICT] = { "conflict", 409 },
	[ERR_TOO_LARGE] = { "too_large", 413 },
	[ERR_MEDIA_TYPE] = { "unsupported_media_type", 415 },
	[ERR_TOO_MANY] = { "too_many_requests", 429 },
	[ERR_QUEUE_FULL] = { "queue_full", 503 },
	[ERR_NO_SPACE] = { "no_space", 503 },
	[ERR_DRAINING] = { "draining", 503 },
	[ERR_BUSY] = { "busy", 503 },
	[ERR_TIMEOUT] = { "timeout", 504 },
	[ERR_CLOSED] = { "closed", 502 },
	[ERR_CONNECT] = { "connect", 502 },
	[ERR_PROTOCOL] = { "protocol", 502 },
	[ERR_DENIED] = { "denied", 403 },
	[ERR_CORRUPT] = { "corrupt", 500 },
	[ERR_SYSTEM] = { "system", 500 },
	[ERR_INTERNAL] = { "internal", 500 },
};

/* A cut text must stay valid UTF-8: it ends up in JSON. */
static void
err_trim(char *s)
{
	size_t len = strlen(s), n = len;

	while (n && len - n < 3 && ((unsigned char)s[n - 1] & 0xc0) == 0x80)
		n--;
	if (n && (unsigned char)s[n - 1] >= 0xc0 &&
	    !utf8_decode(s + n - 1, len - n + 1, NULL))
		s[n - 1] = '\0';
}

static void __attribute__((format(printf, 4, 0)))
err_fill(struct err *e, enum err_code code, int sys, const char *fmt, va_list ap)
{
	e->code = code;
	e->sys = sys;
	e->field[0] = '\0';
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	err_trim(e->msg);
}

int
err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	err_fill(e, code, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int
err_field(struct err *e, enum err_code code, const char *field, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	err_fill(e, code, 0, fmt, ap);
	va_end(ap);
	snprintf(e->field, sizeof(e->field), "%s", field);
	err_trim(e->field);
	return -1;
}

int
err_sys(struct err *e, const char *fmt, ...)
{
	int sys = errno;
	bool full = sys == ENOSPC || sys == EDQUOT;
	char why[128];
	size_t len;
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	err_fill(e, full ? ERR_NO_SPACE : ERR_SYSTEM, sys, fmt, ap);
	va_end(ap);
	len = strlen(e->msg);
	snprintf(e->msg + len, sizeof(e->msg) - len, ": %s",
		 strerror_r(sys, why, sizeof(why)));
	errno = sys;
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	size_t len;
	va_list ap;

	if (!e)
		return -1;
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	len = strlen(e->msg);
	snprintf(e->msg + len, sizeof(e->msg) - len, ": %s", old);
	err_trim(e->msg);
	return -1;
}

const char *
err_slug(enum err_code code)
{
	return (unsigned)code < ERR_CODES ? codes[code].slug : "internal";
}

int
err_http_status(enum err_code code)
{
	return (unsigned)code < ERR_CODES ? codes[code].http : 500;
}
