#include "slipway/logread.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/seal.h"

/*
 *	get → hot file, in the page cache? read now, answer deferred
 *	    → cold or sealed? task to the pool, answer when it is done
 *	The place of the log is looked up again whenever a read finds none, so a reader
 *	crosses the sealing without noticing: offsets are the same on both sides.
 *
 * A task outlives its reader: it owns copies, and `reader` is cleared when the reader
 * goes first.
 */

#define READ_MIN (FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX)
#define TAIL_SPARE 1024 /* frames of a tail that end no line */

enum task_kind { TASK_GET, TASK_BOUNDARY, TASK_TAIL };

struct task {
	struct logread *reader; /* NULL: nobody waits any more */
	enum task_kind kind;
	char *spool, *sealed;
	struct sealed *handle; /* the reader's, while the task has it */
	uint64_t from, offset;
	size_t max;
	unsigned lines;
	logread_fn *fn;
	void *arg;
	struct strbuf out;
	uint64_t next;
	bool failed;
	struct err err;
};

struct logread {
	struct loop *loop;
	struct pool *pool;
	char *spool, *sealed;
	int fd;		       /* hot file, or -1 */
	struct sealed *handle; /* sealed log; keeps its last block between reads */
	struct task *task;
};

struct logread *
logread_new(struct loop *l, struct pool *p, const char *state_dir, const char *job,
	    unsigned attempt)
{
	struct logread *r = xcalloc(1, sizeof(*r));

	r->loop = l;
	r->pool = p;
	r->fd = -1;
	r->spool = xasprintf("%s/jobs/%s/%u/spool", state_dir, job, attempt);
	r->sealed = xasprintf("%s/jobs/%s/%u/spool.zst", state_dir, job, attempt);
	return r;
}

void
logread_free(struct logread *r)
{
	if (!r)
		return;
	if (r->task)
		r->task->reader = NULL;
	if (r->fd >= 0)
		close(r->fd);
	sealed_close(r->handle);
	free(r->spool);
	free(r->sealed);
	free(r);
}

static void
task_free(struct task *t)
{
	free(t->spool);
	free(t->sealed);
	sealed_close(t->handle);
	strbuf_free(&t->out);
	free(t);
}

static void
on_task_done(void *arg)
{
	struct task *t = arg;

	if (t->reader) {
		t->reader->task = NULL;
		t->reader->handle = STEAL(t->handle);
		t->fn(t->arg, t->failed ? &t->err : NULL, (uint8_t *)t->out.data,
		      t->out.len, t->next);
	}
	task_free(t);
}

/* Whole frames at the start of data; *damage when one cannot be a frame. */
static size_t
frames_whole(const uint8_t *data, size_t len, bool *damage)
{
	struct frame f;
	size_t at = 0;

	*damage = false;
	while (len - at >= FRAME_HEADER_LEN) {
		frame_decode(&f, data + at);
		if (f.len > FRAME_PAYLOAD_MAX || f.type == 0 || f.type >= FRAME_TYPES) {
			*damage = true;
			break;
		}
		if (len - at - FRAME_HEADER_LEN < f.len)
			break;
		at += FRAME_HEADER_LEN + f.len;
	}
	return at;
}

static void
task_trim(struct task *t)
{
	bool damage;

	t->out.len = frames_whole((uint8_t *)t->out.data, t->out.len, &damage);
	t->next = t->offset + t->out.len;
	if (damage && t->out.len == 0)
		t->failed = err_set(&t->err, ERR_CORRUPT, "the log is damaged at %llu",
				    (unsigned long long)t->offset) != 0;
}

static int
logread_open_hot(struct logread *r)
{
	if (r->fd < 0)
		r->fd = fs_open_regular(r->spool, O_RDONLY, NULL);
	return r->fd;
}

static void
task_keep(struct task *t, ssize_t n)
{
	if (n < 0)
		t->failed = err_sys(&t->err, "reading the log") != 0;
	t->out.len = n > 0 ? (size_t)n : 0;
	task_trim(t);
}

static bool
hot_ends_at(int fd, uint64_t offset)
{
	struct stat st;

	return fstat(fd, &st) < 0 || (uint64_t)st.st_size <= offset;
}

/* What is in the page cache. False: the disk would have to be waited for. Not every file
 * system can tell. */
static bool
task_get_cached(struct task *t, int fd)
{
	struct iovec iov;
	ssize_t n;

	strbuf_reserve(&t->out, t->max);
	iov = (struct iovec){ t->out.data, t->max };
	n = preadv2(fd, &iov, 1, (off_t)t->offset, RWF_NOWAIT);
	if (n < 0 && errno == EOPNOTSUPP)
		n = preadv2(fd, &iov, 1, (off_t)t->offset, 0);
	if (n < 0 && errno == EAGAIN)
		return false;
	task_keep(t, n);
	return t->failed || t->out.len > 0 || n == 0 ||
	       hot_ends_at(fd, t->offset + (uint64_t)n);
}

/* On a pool thread. A log that is neither hot nor sealed was removed, or never was. */
static struct sealed *
task_open_sealed(struct task *t)
{
	struct err e = { 0 };

	if (!t->handle)
		t->handle = sealed_open(t->sealed, &e);
	if (!t->handle) {
		t->failed = true;
		t->err = e;
		if (access(t->sealed, F_OK) != 0)
			err_set(&t->err, ERR_NOT_FOUND, "there is no log (any more)");
	}
	return t->handle;
}

static void
on_get_work(void *arg)
{
	struct task *t = arg;
	cleanup_close int fd = fs_open_regular(t->spool, O_RDONLY, NULL);
	struct sealed *s;

	if (fd >= 0) {
		strbuf_reserve(&t->out, t->max);
		task_keep(t, pread(fd, t->out.data, t->max, (off_t)t->offset));
		return;
	}
	s = task_open_sealed(t);
	if (!s)
		return;
	t->failed = sealed_read(s, t->offset, t->max, &t->out, &t->err) != 0;
	if (!t->failed)
		task_trim(t);
}

/* A cursor over frame headers, hot or sealed, for walks on a pool thread. Many short
 * frames are read with one call; after a long one only the next header is. */
struct walk {
	int fd;
	struct sealed *sealed;
	uint64_t size;
	uint64_t at;
	size_t len;
	bool sparse;
	uint8_t data[4096];
};

static bool
walk_open(struct walk *w, struct task *t)
{
	struct stat st;

	w->sealed = NULL;
	w->len = 0;
	w->sparse = false;
	w->fd = fs_open_regular(t->spool, O_RDONLY, NULL);
	if (w->fd >= 0) {
		w->size = fstat(w->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
		return true;
	}
	w->sealed = task_open_sealed(t);
	if (w->sealed)
		w->size = sealed_size(w->sealed);
	return w->sealed != NULL;
}

static void
walk_close(struct walk *w)
{
	if (w->fd >= 0)
		close(w->fd);
}

static const uint8_t *
walk_bytes(struct walk *w, uint64_t at)
{
	cleanup_strbuf struct strbuf b = { 0 };
	size_t want = w->sparse ? FRAME_HEADER_LEN : sizeof(w->data);
	ssize_t n;

	if (at >= w->at && at + FRAME_HEADER_LEN <= w->at + w->len)
		return w->data + (at - w->at);
	if (w->fd >= 0) {
		n = pread(w->fd, w->data, want, (off_t)at);
	} else {
		n = sealed_read(w->sealed, at, want, &b, NULL) == 0 ? (ssize_t)b.len
								    : 0;
		memcpy(w->data, strbuf_str(&b), (size_t)n);
	}
	w->at = at;
	w->len = n > 0 ? (size_t)n : 0;
	return w->len >= FRAME_HEADER_LEN ? w->data : NULL;
}

static bool
walk_header(struct walk *w, uint64_t at, struct frame *f)
{
	const uint8_t *p = walk_bytes(w, at);

	if (!p)
		return false;
	frame_decode(f, p);
	w->sparse = f->len > sizeof(w->data);
	return f->len <= FRAME_PAYLOAD_MAX && f->type > 0 && f->type < FRAME_TYPES;
}

static void
on_boundary_work(void *arg)
{
	struct task *t = arg;
	uint64_t at = t->from;
	struct frame f;
	struct walk w;

	if (!walk_open(&w, t))
		return;
	while (at < t->offset && walk_header(&w, at, &f) &&
	       at + FRAME_HEADER_LEN + f.len <= t->offset &&
	       at + FRAME_HEADER_LEN + f.len <= w.size)
		at += FRAME_HEADER_LEN + f.len;
	t->next = at;
	walk_close(&w);
}

static unsigned
frame_lines(struct walk *w, uint64_t at, const struct frame *f)
{
	struct strbuf b = { 0 };
	unsigned n = 0;

	strbuf_reserve(&b, f->len);
	if (w->fd >= 0) {
		ssize_t got = pread(w->fd, b.data, f->len,
				    (off_t)(at + FRAME_HEADER_LEN));
		b.len = got > 0 ? (size_t)got : 0;
	} else if (sealed_read(w->sealed, at + FRAME_HEADER_LEN, f->len, &b, NULL)) {
		b.len = 0;
	}
	for (size_t i = 0; i < b.len; i++)
		n += b.data[i] == '\n';
	strbuf_free(&b);
	return n;
}

/* A ring remembers where the last frames of output began. One that ends no line counts
 * nothing: too many lines do no harm, too few are missed. */
static void
on_tail_work(void *arg)
{
	struct task *t = arg;
	size_t n = 0, take, cap = t->lines + TAIL_SPARE;
	cleanup_free uint64_t *ring = xcalloc(cap, sizeof(*ring));
	uint64_t at = LOGREAD_START;
	unsigned lines = 0;
	struct frame f;
	struct walk w;

	if (!walk_open(&w, t))
		return;
	while (at < w.size && walk_header(&w, at, &f) &&
	       at + FRAME_HEADER_LEN + f.len <= w.size) {
		if (f.type == FRAME_STDOUT || f.type == FRAME_STDERR)
			ring[n++ % cap] = at;
		at += FRAME_HEADER_LEN + f.len;
	}
	t->next = at;
	for (take = n < cap ? n : cap; take > 0 && lines < t->lines; take--) {
		t->next = ring[--n % cap];
		if (walk_header(&w, t->next, &f))
			lines += frame_lines(&w, t->next, &f);
	}
	if (lines < t->lines && n == 0)
		t->next = LOGREAD_START;
	walk_close(&w);
}

static struct task *
task_new(struct logread *r, enum task_kind kind, logread_fn *fn, void *arg)
{
	struct task *t = xcalloc(1, sizeof(*t));

	t->reader = r;
	t->kind = kind;
	t->spool = xstrdup(r->spool);
	t->sealed = xstrdup(r->sealed);
	t->fn = fn;
	t->arg = arg;
	t->handle = STEAL(r->handle);
	r->task = t;
	return t;
}

static void
task_submit(struct logread *r, struct task *t)
{
	static void (*const work[])(void *) = {
		[TASK_GET] = on_get_work,
		[TASK_BOUNDARY] = on_boundary_work,
		[TASK_TAIL] = on_tail_work,
	};

	if (pool_submit(r->pool, POOL_TRANSFER, work[t->kind], on_task_done, t,
			&t->err)) {
		t->failed = true;
		loop_defer(r->loop, on_task_done, t);
	}
}

void
logread_get(struct logread *r, uint64_t offset, size_t max, logread_fn *fn, void *arg)
{
	struct task *t = task_new(r, TASK_GET, fn, arg);

	t->offset = t->next = offset;
	t->max = max > READ_MIN ? max : READ_MIN;
	if (logread_open_hot(r) >= 0 && task_get_cached(t, r->fd))
		loop_defer(r->loop, on_task_done, t);
	else
		task_submit(r, t);
}

void
logread_find_boundary_from(struct logread *r, uint64_t from, uint64_t offset,
			   logread_fn *fn, void *arg)
{
	struct task *t = task_new(r, TASK_BOUNDARY, fn, arg);

	t->from = from;
	t->offset = offset;
	t->next = LOGREAD_START;
	task_submit(r, t);
}

void
logread_find_boundary(struct logread *r, uint64_t offset, logread_fn *fn, void *arg)
{
	logread_find_boundary_from(r, LOGREAD_START, offset, fn, arg);
}

void
logread_find_tail(struct logread *r, unsigned lines, logread_fn *fn, void *arg)
{
	struct task *t = task_new(r, TASK_TAIL, fn, arg);

	t->lines = lines;
	t->next = LOGREAD_START;
	task_submit(r, t);
}

uint64_t
logread_size(struct logread *r)
{
	struct stat st;

	if (logread_open_hot(r) >= 0 && fstat(r->fd, &st) == 0)
		return (uint64_t)st.st_size;
	return 0;
}
