#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "slipway/logread.h"
#include "slipway/mem.h"

/*
 *	open → what is stored fits? take it up : reset
 *	extend → read pieces → on_indexed per line: count, mark → save: marks, then head
 *	window → the mark before it → read pieces → on_wanted (or on_sought) per line
 */

#define PIECE (1u << 20)
#define WINDOW_PIECE (128u << 10) /* a window is mostly short */

static const struct line_place log_start = { .frame = LOGREAD_START };

void
lines_reset(struct lines *l)
{
	memset(&l->head, 0, sizeof(l->head));
	l->head.next = log_start;
	l->at = log_start.frame;
	l->saved = 0;
	l->open = false;
	strbuf_reset(&l->unsaved);
	linescan_free(&l->scan);
	linescan_init(&l->scan, &l->head.next);
}

/* Is the frame that the head remembers still there? */
static bool
head_fits(const struct lines_head *h, struct logsource *log)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct frame f;

	if (h->seen == 0)
		return h->lines == 0 && h->next.frame == LOGREAD_START;
	if (h->seen < LOGREAD_START ||
	    logsource_read(log, h->seen, FRAME_HEADER_LEN, &b, NULL) ||
	    b.len != FRAME_HEADER_LEN ||
	    memcmp(b.data, h->seen_head, FRAME_HEADER_LEN) != 0)
		return false;
	frame_decode(&f, h->seen_head);
	return h->seen + FRAME_HEADER_LEN + f.len <= log->size &&
	       h->next.frame <= h->seen + FRAME_HEADER_LEN + f.len;
}

void
lines_open(struct lines *l, const char *dir, struct logsource *log)
{
	cleanup_free char *path = xasprintf("%s/lines", dir);
	uint8_t raw[LINES_HEAD_LEN];
	struct lines_head head;
	struct stat st;

	memset(l, 0, sizeof(*l));
	l->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
		     0600);
	if (l->fd >= 0 && (fstat(l->fd, &st) != 0 || !S_ISREG(st.st_mode)))
		close(steal_fd(&l->fd));
	lines_reset(l);
	if (l->fd < 0 || pread(l->fd, raw, sizeof(raw), 0) != sizeof(raw) ||
	    !lines_head_decode(&head, raw) || !head_fits(&head, log))
		return;
	l->head = head;
	l->at = head.next.frame;
	l->saved = (head.lines + LINES_STRIDE - 1) / LINES_STRIDE;
	linescan_init(&l->scan, &l->head.next);
}

void
lines_close(struct lines *l)
{
	if (l->fd >= 0)
		close(l->fd);
	linescan_free(&l->scan);
	strbuf_free(&l->unsaved);
}

static bool
on_indexed(void *arg, const struct scanned_line *s)
{
	struct lines *l = arg;
	uint8_t mark[LINES_MARK_LEN];

	if (l->head.lines % LINES_STRIDE == 0) {
		lines_mark_encode(&s->at, l->head.lines / LINES_STRIDE, mark);
		strbuf_add(&l->unsaved, mark, sizeof(mark));
	}
	l->head.lines++;
	if (s->frame.type == FRAME_STEP_START && s->frame.step < JOB_STEPS_MAX &&
	    !l->head.first[s->frame.step])
		l->head.first[s->frame.step] = l->head.lines;
	return true;
}

/* The head, too, goes only where the marks went. */
static void
lines_save(struct lines *l)
{
	uint8_t raw[LINES_HEAD_LEN];
	off_t at = (off_t)(LINES_HEAD_LEN + l->saved * LINES_MARK_LEN);
	ssize_t len = (ssize_t)l->unsaved.len;

	if (l->fd < 0)
		return;
	lines_head_encode(&l->head, raw);
	if (pwrite(l->fd, strbuf_str(&l->unsaved), (size_t)len, at) != len ||
	    pwrite(l->fd, raw, sizeof(raw), 0) != sizeof(raw)) {
		/* A full disk, say. What is in memory serves this once. */
		return;
	}
	l->saved += (uint64_t)len / LINES_MARK_LEN;
	strbuf_reset(&l->unsaved);
}

/* The last whole frame of a piece is what the head is known by. */
static void
remember_frame(struct lines *l, const uint8_t *data, size_t len, uint64_t offset)
{
	size_t at = 0;
	struct frame f;

	while (at < len) {
		frame_decode(&f, data + at);
		l->head.seen = offset + at;
		memcpy(l->head.seen_head, data + at, FRAME_HEADER_LEN);
		at += FRAME_HEADER_LEN + f.len;
	}
}

int
lines_extend(struct lines *l, struct logsource *log, uint64_t max, bool *more,
	     struct err *e)
{
	cleanup_strbuf struct strbuf b = { 0 };
	uint64_t begin = l->at, known = l->head.lines;
	size_t used;

	*more = false;
	for (;;) {
		strbuf_reset(&b);
		if (logsource_read(log, l->at, PIECE, &b, e))
			return -1;
		used = linescan_feed(&l->scan, (uint8_t *)strbuf_str(&b), b.len, l->at,
				     on_indexed, l);
		remember_frame(l, (uint8_t *)strbuf_str(&b), used, l->at);
		l->at += used;
		if (used == 0)
			break;
		*more = l->at - begin >= max;
		if (*more)
			break;
	}
	l->open = l->scan.open;
	l->head.next = l->scan.next;
	if (l->head.lines != known)
		lines_save(l);
	return 0;
}

/* The last mark at or before the line, counted from 0; *line: what it marks. */
static int
find_mark(const struct lines *l, uint64_t *line, struct line_place *at, struct err *e)
{
	uint64_t marks = (l->head.lines + LINES_STRIDE - 1) / LINES_STRIDE;
	uint64_t i = *line / LINES_STRIDE;
	uint8_t raw[LINES_MARK_LEN];
	const uint8_t *mark = raw;

	*at = log_start;
	if (marks == 0) {
		*line = 0;
		return 0;
	}
	if (i >= marks)
		i = marks - 1;
	if (i >= l->saved)
		mark = (uint8_t *)l->unsaved.data + (i - l->saved) * LINES_MARK_LEN;
	else if (pread(l->fd, raw, sizeof(raw),
		       (off_t)(LINES_HEAD_LEN + i * LINES_MARK_LEN)) != sizeof(raw))
		return err_set(e, ERR_CORRUPT, "the line index ends early");
	if (!lines_mark_decode(at, i, mark) || at->frame >= l->at)
		return err_set(e, ERR_CORRUPT, "the line index is damaged");
	*line = i * LINES_STRIDE;
	return 0;
}

/* Reading a window. */

struct reading {
	struct line_window *w;
	uint64_t line;		       /* the present one */
	char find[LINES_FIND_MAX + 1]; /* in lower case */
	size_t find_len;
	struct strbuf plain;
};

static bool
on_wanted(void *arg, const struct scanned_line *s)
{
	struct reading *r = arg;
	struct line_window *w = r->w;
	struct log_line *out;

	if (++r->line < w->from)
		return true;
	out = &w->lines[w->n++];
	*out = (struct log_line){ .type = s->frame.type,
				  .flags = s->frame.flags,
				  .open = s->open,
				  .step = s->frame.step,
				  .time_ms = s->frame.time_ms,
				  .text = w->text.len,
				  .len = s->len };
	if (s->frame.type == FRAME_STDOUT || s->frame.type == FRAME_STDERR)
		out->style = s->at.style;
	strbuf_add(&w->text, s->text, s->len);
	return w->n < w->count && w->text.len < LINES_BYTES;
}

static void
on_plain(void *arg, const struct ansi_style *style, const char *text, size_t len)
{
	strbuf_add(arg, text, len);
}

static void
fold_case(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(text[i] + (text[i] >= 'A' && text[i] <= 'Z') * 32);
}

static bool
on_sought(void *arg, const struct scanned_line *s)
{
	struct reading *r = arg;
	struct ansi_style style = { 0 };

	if (++r->line < r->w->from || s->len < r->find_len)
		return true;
	strbuf_reset(&r->plain);
	ansi_line(&style, s->text, s->len, on_plain, &r->plain);
	fold_case(r->plain.data, r->plain.len);
	if (memmem(strbuf_str(&r->plain), r->plain.len, r->find, r->find_len))
		r->w->found = r->line;
	return !r->w->found;
}

/* From scan's place up to what the index knows; *at is where reading ended. */
static int
read_lines(struct lines *l, struct logsource *log, struct reading *r,
	   struct linescan *scan, uint64_t *at, uint64_t max, struct err *e)
{
	linescan_fn *fn = *r->w->find ? on_sought : on_wanted;
	cleanup_strbuf struct strbuf b = { 0 };
	uint64_t begin = *at;
	size_t used, n;

	while (!scan->stopped && *at < l->at && *at - begin < max) {
		n = l->at - *at < WINDOW_PIECE ? (size_t)(l->at - *at) : WINDOW_PIECE;
		strbuf_reset(&b);
		if (logsource_read(log, *at, n, &b, e))
			return -1;
		used = linescan_feed(scan, (uint8_t *)strbuf_str(&b), b.len, *at, fn,
				     r);
		*at += used;
		if (used == 0 && !scan->stopped)
			return err_set(e, ERR_CORRUPT, "the line index leads astray");
	}
	if (*at >= l->at)
		linescan_finish(scan, fn, r);
	return 0;
}

static void
window_begin(const struct lines *l, struct line_window *w)
{
	w->total = l->head.lines + l->open;
	w->end = l->at;
	memcpy(w->first, l->head.first, sizeof(w->first));
	if (w->count > LINES_MAX)
		w->count = LINES_MAX;
	if (w->tail)
		w->from = w->total > w->count ? w->total - w->count + 1 : 1;
	w->tail = false;
	if (w->from == 0)
		w->from = 1;
	w->n = 0;
	strbuf_reset(&w->text);
	if (!w->lines)
		w->lines = xcalloc(w->count ? w->count : 1, sizeof(*w->lines));
}

int
lines_window(struct lines *l, struct logsource *log, struct line_window *w,
	     uint64_t max, bool *more, struct err *e)
{
	struct reading r = { .w = w, .find_len = strlen(w->find) };
	struct line_place place;
	struct linescan scan;
	uint64_t at;
	int failed;

	*more = false;
	window_begin(l, w);
	STR_COPY(r.find, w->find);
	fold_case(r.find, r.find_len);
	if (w->from > w->total || (w->count == 0 && !*w->find))
		return 0;
	r.line = w->from - 1;
	if (find_mark(l, &r.line, &place, e))
		return -1;
	at = place.frame;
	linescan_init(&scan, &place);
	failed = read_lines(l, log, &r, &scan, &at, *w->find ? max : UINT64_MAX, e);
	*more = !failed && !scan.stopped && at < l->at;
	if (*w->find && *more)
		w->from = r.line + 1;
	linescan_free(&scan);
	strbuf_free(&r.plain);
	return failed;
}

void
line_window_free(struct line_window *w)
{
	free(w->lines);
	strbuf_free(&w->text);
}
