#include "output.h"

#include <errno.h>
#include <string.h>

#include "util.h"

bool
output_sink_init(struct output_sink *sink, struct spoolw *spool,
		 const struct mask *mask, uint64_t log_max)
{
	*sink = (struct output_sink){
		.spool = spool,
		.mask = mask,
		.left = log_max ? log_max : UINT64_MAX,
		.buf = malloc(OUTPUT_READ),
	};
	return sink->buf != NULL;
}

void
output_sink_clear(struct output_sink *sink)
{
	free(sink->buf);
	sink->buf = NULL;
}

struct output *
output_new(const struct output_sink *sink, int fd, uint8_t type, uint16_t step)
{
	struct output *o = util_alloc(sizeof(*o));

	o->fd = fd;
	o->type = type;
	o->step = step;
	o->stream = mask_stream_new(sink->mask);
	if (!o->stream) {
		output_free(o);
		return NULL;
	}
	return o;
}

void
output_free(struct output *o)
{
	if (o->fd >= 0)
		close(o->fd);
	mask_stream_free(o->stream);
	free(o->pending);
	free(o);
}

static void
on_masked(void *arg, const uint8_t *data, size_t len)
{
	struct output *o = arg;

	if (o->len + len > o->cap) {
		o->cap = o->len + len > 2 * o->cap ? o->len + len : 2 * o->cap;
		o->pending = util_realloc(o->pending, o->cap);
	}
	memcpy(o->pending + o->len, data, len);
	o->len += len;
}

/* len, less the beginning of a UTF-8 character that goes on behind it. */
static size_t
output_cut_character(const uint8_t *p, size_t len)
{
	for (size_t back = 1; back < 4 && back < len; back++) {
		uint8_t c = p[len - back];
		size_t want = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		if (want > 1)
			return want > back ? len - back : len;
		if (c < 0x80)
			break;
	}
	return len;
}

/* Length of the next frame's payload, 0 when it is better to wait for more. */
static size_t
output_cut(const uint8_t *p, size_t len, bool all)
{
	size_t most = len < FRAME_PAYLOAD_MAX ? len : FRAME_PAYLOAD_MAX;
	const uint8_t *nl;

	if (len < FRAME_OUTPUT_TARGET)
		return all ? len : 0;
	if (all && len <= FRAME_PAYLOAD_MAX)
		return len;
	nl = memrchr(p, '\n', most);
	return nl ? (size_t)(nl - p) + 1 : output_cut_character(p, most);
}

static void
output_note_full(struct output *o, struct output_sink *sink)
{
	static const char text[] =
		"the log has reached its size limit; further output is dropped";

	sink->full = true;
	spoolw_frame(sink->spool, &(struct spoolw_frame){
					  .type = FRAME_NOTE,
					  .flags = FRAME_TRUNCATED,
					  .step = o->step,
					  .payload = text,
					  .len = sizeof(text) - 1,
				  });
}

static void
output_write(struct output *o, struct output_sink *sink, bool all)
{
	struct spoolw_frame frames[SPOOLW_BATCH];
	size_t n = 0, at = 0, len;
	bool over = false;

	while (!over && (len = output_cut(o->pending + at, o->len - at, all))) {
		over = len > sink->left;
		if (over)
			len = (size_t)sink->left;
		if (!len)
			break;
		frames[n++] = (struct spoolw_frame){
			.type = o->type,
			.flags = o->pending[at + len - 1] == '\n' ? 0 : FRAME_PARTIAL,
			.step = o->step,
			.payload = o->pending + at,
			.len = len,
		};
		at += len;
		sink->left -= len;
		if (n == SPOOLW_BATCH) {
			spoolw_frames(sink->spool, frames, n);
			n = 0;
		}
	}
	if (n)
		spoolw_frames(sink->spool, frames, n);
	if (over) {
		output_note_full(o, sink);
		at = o->len;
	}
	o->len -= at;
	if (at && o->len)
		memmove(o->pending, o->pending + at, o->len);
}

void
output_flush(struct output *o, struct output_sink *sink)
{
	if (o->len && !sink->full)
		output_write(o, sink, true);
	o->len = 0;
	o->flush_at = 0;
}

void
output_end(struct output *o, struct output_sink *sink)
{
	mask_end(o->stream, on_masked, o);
	output_flush(o, sink);
	o->ended = true;
}

void
output_read(struct output *o, struct output_sink *sink, uint64_t now)
{
	ssize_t n = read(o->fd, sink->buf, OUTPUT_READ);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		output_end(o, sink);
		return;
	}
	o->read_at = now;
	if (sink->full) {
		o->len = 0;
		o->flush_at = 0;
		return;
	}
	mask_feed(o->stream, sink->buf, (size_t)n, on_masked, o);
	if (o->len >= FRAME_OUTPUT_TARGET) {
		output_write(o, sink, false);
		o->flush_at = 0;
	}
	if (!o->len)
		o->flush_at = 0;
	else if (!o->flush_at)
		o->flush_at = util_deadline(now, OUTPUT_DELAY_MS);
}
