#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	spool_note → spool_poll, until init starts
 *	spool_watch: inotify → the spool's dirty mark
 *	  → spool_poll → on_frame ... → on_grown
 *	                burst: the watch pauses a little, so that a noisy step costs
 *	                one pass per pause, however many frames it writes
 *	exit    → spool_finish → poll to the end → cut what is torn → done
 */

#define FRAMES_PER_TURN 4096
#define WINDOW 4096
#define BURST_PAUSE_MS 10
#define BACKSTOP_MS 5000

LIST_HEAD(spool_list, spool);

struct spools {
	struct loop *loop;
	int inotify;
	struct loop_fd *watch;
	struct loop_timer *pause, *backstop;
	int64_t last_event;
	struct spool_list list;
};

struct spool {
	LIST_ENTRY(spool) link;
	struct spools *owner;
	struct spool_events ev;
	const struct mask *mask;
	char *path;
	int fd, wd;
	uint64_t offset;
	struct frame_seq seq;
	const char *damage;
	struct loop_timer *again; /* budget used up: go on next turn */
	void (*finished)(void *arg);
	void *finished_arg;
};

static void
on_inotify(int fd, unsigned what, void *arg)
{
	struct spools *s = arg;
	char buf[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n = read(fd, buf, sizeof(buf));
	int64_t now = clock_mono_ms();
	struct spool *sp, *next;
	bool all = false;

	for (char *p = buf; n > 0 && p < buf + n;) {
		struct inotify_event *ie = (struct inotify_event *)(void *)p;

		all = all || (ie->mask & IN_Q_OVERFLOW);
		LIST_FOREACH(sp, &s->list, link)
			if (sp->wd == ie->wd)
				loop_timer_set(sp->again, 0);
		p += sizeof(*ie) + ie->len;
	}
	for (sp = LIST_FIRST(&s->list); all && sp; sp = next) {
		next = LIST_NEXT(sp, link);
		loop_timer_set(sp->again, 0);
	}
	if (now - s->last_event < BURST_PAUSE_MS) {
		loop_fd_set(s->watch, 0);
		loop_timer_set(s->pause, BURST_PAUSE_MS);
	}
	s->last_event = now;
}

static void
on_pause_over(void *arg)
{
	struct spools *s = arg;

	loop_fd_set(s->watch, LOOP_READ);
}

static void
on_backstop(void *arg)
{
	struct spools *s = arg;
	struct spool *sp;

	LIST_FOREACH(sp, &s->list, link)
		loop_timer_set(sp->again, 0);
	if (!LIST_EMPTY(&s->list))
		loop_timer_set(s->backstop, BACKSTOP_MS);
}

struct spools *
spools_new(struct loop *l, struct err *e)
{
	struct spools *s = xcalloc(1, sizeof(*s));

	s->loop = l;
	LIST_INIT(&s->list);
	s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->inotify < 0) {
		err_sys(e, "inotify");
		free(s);
		return NULL;
	}
	s->watch = loop_fd_new(l, s->inotify, LOOP_READ, on_inotify, s);
	s->pause = loop_timer_new(l, on_pause_over, s);
	s->backstop = loop_timer_new(l, on_backstop, s);
	return s;
}

void
spools_free(struct spools *s)
{
	if (!s)
		return;
	loop_timer_free(s->pause);
	loop_timer_free(s->backstop);
	loop_fd_free(s->watch);
	close(s->inotify);
	free(s);
}

int
spool_create(const char *dir, struct err *e)
{
	cleanup_free char *path = xasprintf("%s/spool", dir);
	cleanup_close int fd = -1;
	uint8_t header[SPOOL_HEADER_LEN];

	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(e, "%s", path);
	spool_header_encode(header);
	return fs_write_all(fd, header, sizeof(header), e);
}

static void spool_poll(struct spool *sp);

static void
on_again(void *arg)
{
	spool_poll(arg);
}

struct spool *
spool_open(struct spools *s, const char *dir, const struct spool_events *ev, struct err *e)
{
	cleanup_free char *path = xasprintf("%s/spool", dir);
	uint8_t header[SPOOL_HEADER_LEN];
	struct spool *sp;
	int fd = fs_open_regular(path, O_RDWR | O_APPEND, e);

	if (fd < 0)
		return NULL;
	if (pread(fd, header, sizeof(header), 0) != sizeof(header) ||
	    !spool_header_ok(header)) {
		close(fd);
		err_set(e, ERR_CORRUPT, "%s: not a spool of this version", path);
		return NULL;
	}
	sp = xcalloc(1, sizeof(*sp));
	sp->owner = s;
	sp->ev = *ev;
	sp->fd = fd;
	sp->path = STEAL(path);
	sp->offset = SPOOL_HEADER_LEN;
	sp->again = loop_timer_new(s->loop, on_again, sp);
	sp->wd = -1;
	LIST_INSERT_HEAD(&s->list, sp, link);
	if (!loop_timer_is_set(s->backstop))
		loop_timer_set(s->backstop, BACKSTOP_MS);
	return sp;
}

void
spool_watch(struct spool *sp)
{
	sp->wd = inotify_add_watch(sp->owner->inotify, sp->path, IN_MODIFY);
	if (sp->wd < 0)
		log_warn(LOG_SPOOL, "%s: no inotify (%s), polling", sp->path,
			 strerror(errno));
	loop_timer_set(sp->again, 0);
}

static void
spool_free(void *arg)
{
	struct spool *sp = arg;

	loop_timer_free(sp->again);
	close(sp->fd);
	free(sp->path);
	free(sp);
}

void
spool_close(struct spool *sp)
{
	if (!sp)
		return;
	LIST_REMOVE(sp, link);
	if (LIST_EMPTY(&sp->owner->list))
		loop_timer_stop(sp->owner->backstop);
	if (sp->wd >= 0)
		inotify_rm_watch(sp->owner->inotify, sp->wd);
	loop_timer_stop(sp->again);
	loop_defer(sp->owner->loop, spool_free, sp);
}

int
spool_fd(const struct spool *sp)
{
	return sp->fd;
}

uint64_t
spool_offset(const struct spool *sp)
{
	return sp->offset;
}

void
spool_set_mask(struct spool *sp, const struct mask *m)
{
	sp->mask = m;
}

static void
note_write(struct spool *sp, const uint8_t *text, size_t len, unsigned flags)
{
	uint8_t buf[FRAME_HEADER_LEN + 4096];
	struct frame f = { .type = FRAME_NOTE, .flags = (uint8_t)flags,
			   .step = FRAME_NO_STEP, .time_ms = (uint64_t)clock_wall_ms() };
	struct err e = { 0 };

	f.len = (uint32_t)(len > 4096 ? 4096 : len);
	frame_encode(&f, buf);
	memcpy(buf + FRAME_HEADER_LEN, text, f.len);
	if (fs_write_all(sp->fd, buf, FRAME_HEADER_LEN + f.len, &e))
		log_error(LOG_SPOOL, "%s: note lost: %s", sp->path, e.msg);
}

void
spool_note(struct spool *sp, const char *text, unsigned flags)
{
	size_t len = strlen(text);
	uint8_t *masked;

	if (!sp->mask) {
		note_write(sp, (const uint8_t *)text, len, flags);
	} else {
		masked = mask_text(sp->mask, (const uint8_t *)text, len, &len);
		if (masked)
			note_write(sp, masked, len, flags);
		free(masked);
	}
	loop_timer_set(sp->again, 0);
}

/* Frames whose payload means something to the daemon. */
static bool
frame_is_structured(const struct frame *f)
{
	return f->type != FRAME_STDOUT && f->type != FRAME_STDERR && f->type != FRAME_NOTE;
}

static void
frame_deliver(struct spool *sp, const struct frame *f, const uint8_t *payload)
{
	if (payload && f->type == FRAME_JOB_START && f->len >= 2)
		frame_seq_job_start(&sp->seq,
				    (uint16_t)(payload[0] | payload[1] << 8));
	if (f->type != FRAME_STDOUT && f->type != FRAME_STDERR)
		sp->ev.on_frame(sp->ev.arg, f, payload);
}

/* A small piece of the file, so that runs of short frames cost one pread; after a long
 * frame only the next header is read, as more long ones are likely to follow. */
struct window {
	uint64_t at;
	size_t len;
	bool sparse;
	uint8_t data[WINDOW];
};

static const uint8_t *
window_get(struct spool *sp, struct window *w, uint64_t at, size_t need)
{
	ssize_t n;

	if (at < w->at || at + need > w->at + w->len) {
		n = pread(sp->fd, w->data, w->sparse ? need : sizeof(w->data), (off_t)at);
		w->at = at;
		w->len = n > 0 ? (size_t)n : 0;
	}
	return at + need <= w->at + w->len ? w->data + (at - w->at) : NULL;
}

/* One frame. False: no whole frame there, or damage. */
static bool
spool_next(struct spool *sp, struct window *w, uint64_t size)
{
	const uint8_t *p = window_get(sp, w, sp->offset, FRAME_HEADER_LEN);
	const uint8_t *payload = NULL;
	struct frame_seq seq = sp->seq;
	struct frame f;

	if (!p)
		return false;
	frame_decode(&f, p);
	sp->damage = frame_check(&seq, &f);
	if (sp->damage || sp->offset + FRAME_HEADER_LEN + f.len > size)
		return false;
	if (frame_is_structured(&f)) {
		if (f.len > WINDOW - FRAME_HEADER_LEN) {
			sp->damage = "overlong structured frame";
			return false;
		}
		p = window_get(sp, w, sp->offset, FRAME_HEADER_LEN + f.len);
		if (!p)
			return false;
		payload = p + FRAME_HEADER_LEN;
	}
	w->sparse = f.len > WINDOW;
	sp->seq = seq;
	sp->offset += FRAME_HEADER_LEN + f.len;
	frame_deliver(sp, &f, payload);
	return true;
}

static uint64_t
spool_size(const struct spool *sp)
{
	struct stat st;

	return fstat(sp->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void
spool_conclude(struct spool *sp)
{
	void (*done)(void *arg) = sp->finished;
	uint64_t size = spool_size(sp);
	char text[160];

	sp->finished = NULL;
	if (size > sp->offset) {
		log_warn(LOG_SPOOL, "%s: %s at %llu of %llu bytes, cut", sp->path,
			 sp->damage ? sp->damage : "torn frame",
			 (unsigned long long)sp->offset, (unsigned long long)size);
		snprintf(text, sizeof(text), "the log is damaged here: %s",
			 sp->damage ? sp->damage : "its last frame is incomplete");
		if (ftruncate(sp->fd, (off_t)sp->offset) == 0)
			spool_note(sp, text, FRAME_ERROR);
		sp->damage = NULL;
	}
	done(sp->finished_arg);
}

/* Read what is there now, at most a budget of frames per turn. */
static void
spool_poll(struct spool *sp)
{
	struct window w = { 0 };
	uint64_t before = sp->offset, size = spool_size(sp);
	unsigned n = 0;

	loop_timer_stop(sp->again);
	while (n < FRAMES_PER_TURN && sp->offset < size && spool_next(sp, &w, size))
		n++;
	if (sp->offset != before)
		sp->ev.on_grown(sp->ev.arg);
	if (n == FRAMES_PER_TURN)
		loop_timer_set(sp->again, 0);
	else if (sp->finished)
		spool_conclude(sp);
}

void
spool_finish(struct spool *sp, void (*done)(void *arg), void *arg)
{
	sp->finished = done;
	sp->finished_arg = arg;
	loop_timer_set(sp->again, 0);
}
