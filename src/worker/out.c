#include "out.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "slipway/fs.h"
#include "slipway/mask.h"
#include "slipway/mem.h"

#define NOTES_MAX 1000
#define LINE_MAX_LEN 1000

struct out {
	int fd;
	unsigned notes;
	struct mask *mask; /* NULL: nothing to hide */
};

struct out *
out_new(int fd, const struct worker_fetch *task)
{
	cleanup_free struct mask_secret *secrets = NULL;
	struct out *o = xcalloc(1, sizeof(*o));
	size_t n = 0;

	o->fd = fd;
	secrets = xcalloc(task->ncredentials + 1, sizeof(*secrets));
	for (size_t i = 0; i < task->ncredentials; i++) {
		const char *token = task->credentials[i].token;

		if (*token)
			secrets[n++] = (struct mask_secret){ (const uint8_t *)token,
							     strlen(token) };
	}
	if (n)
		o->mask = mask_new(secrets, n);
	return o;
}

void
out_free(struct out *o)
{
	if (!o)
		return;
	mask_free(o->mask);
	free(o);
}

/* The daemon reads until the end; when it has gone the socket's signal ends us. */
static void
send_frame(struct out *o, enum worker_msg type, const void *data, size_t len)
{
	struct wire_w w = { 0 };

	worker_frame_write(&w, type, data, len);
	if (!w.failed)
		fs_write_all(o->fd, w.data, w.len, NULL);
	wire_w_free(&w);
}

static void
send_line(struct out *o, enum worker_msg type, const char *text)
{
	char line[LINE_MAX_LEN];
	size_t len = strlen(text);
	cleanup_free uint8_t *masked = NULL;

	if (o->mask) {
		masked = mask_text(o->mask, (const uint8_t *)text, len, &len);
		if (!masked)
			return;
		text = (const char *)masked;
	}
	worker_note_clean(text, len, line, sizeof(line));
	send_frame(o, type, line, strlen(line));
}

static void __attribute__((format(printf, 3, 0)))
send_note(struct out *o, enum worker_msg type, const char *fmt, va_list ap)
{
	char text[2 * LINE_MAX_LEN];

	if (o->notes == NOTES_MAX)
		send_line(o, WORKER_WARNING, "more messages are left out");
	if (o->notes++ >= NOTES_MAX)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	send_line(o, type, text);
}

void
out_note(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	send_note(o, WORKER_NOTE, fmt, ap);
	va_end(ap);
}

void
out_warn(struct out *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	send_note(o, WORKER_WARNING, fmt, ap);
	va_end(ap);
}

void
out_error(struct out *o, const struct err *e)
{
	struct err copy = *e;
	struct wire_w w = { 0 };
	size_t len = strlen(e->msg);
	cleanup_free uint8_t *masked = NULL;

	if (o->mask) {
		masked = mask_text(o->mask, (const uint8_t *)e->msg, len, &len);
		worker_note_clean(masked, masked ? len : 0, copy.msg, sizeof(copy.msg));
	}
	worker_error_encode(&copy, &w);
	if (!w.failed)
		send_frame(o, WORKER_ERROR, w.data, w.len);
	wire_w_free(&w);
}

void
out_result(struct out *o, const char *sha)
{
	send_frame(o, WORKER_RESULT, sha, strlen(sha));
}
