/*
 * The ring, from `tail` (the oldest record that LMDB lacks) to `head` (where the next
 * one goes):
 *
 *   | header | free ... | tail: records ... | head: free ... |     or, wrapped,
 *   | header | records ... | head: free ... | tail: records ... | unused |
 *
 * Head never meets tail from behind: equal means empty.
 */
#include "db_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "db_journal_record.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define MAGIC "\xffslipway journal"
#define VERSION 1
#define INSTANCE_LEN 16
#define BEGIN JOURNAL_BLOCK
/* The journal must not be what fills the disk. */
#define MIN_FREE (UINT64_C(4) * JOURNAL_SIZE)
#define BUFFER_KEPT (64u << 10)

struct db_journal {
	int fd;
	bool no_sync;
	uint64_t salt;
	uint64_t head, tail;
	uint8_t *buffer;
	size_t buffer_size;
};

/*
 * The first block.
 */

/* As it is in the file, followed by zeros. */
struct header {
	char magic[16];
	uint32_t version, size;
	char instance[INSTANCE_LEN];
	uint64_t salt, checksum;
};

static uint64_t
header_sum(const struct header *h)
{
	return db_record_checksum(h, offsetof(struct header, checksum), 0);
}

static int
check_header(const struct header *h, const char *path, const char *instance,
	     struct err *e)
{
	if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0 ||
	    h->checksum != header_sum(h))
		return err_set(e, ERR_CORRUPT, "%s is damaged: it is no journal", path);
	if (h->version > VERSION)
		return err_set(e, ERR_INVALID,
			       "%s was written by a newer slipwayd (version %u, this "
			       "one knows up to %u)",
			       path, h->version, VERSION);
	if (memcmp(h->instance, instance, INSTANCE_LEN) != 0)
		return err_set(e, ERR_CONFLICT,
			       "%s belongs to another database (%.16s, not %s): bring "
			       "that back, or remove the journal and what only it has",
			       path, h->instance, instance);
	return 0;
}

/*
 * Opening.
 */

static int
write_at(int fd, const void *data, size_t len, uint64_t offset)
{
	const uint8_t *p = data;
	ssize_t n;

	while (len > 0) {
		n = pwrite(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

/* Written, not just allocated: a first write into allocated blocks would have to be
 * noted down by the file system with the sync that follows it. */
static int
fill(int fd, const char *instance)
{
	static const uint8_t zeros[64 << 10];
	struct header h = { .magic = MAGIC, .version = VERSION, .size = JOURNAL_SIZE };

	memcpy(h.instance, instance, INSTANCE_LEN);
	if (getrandom(&h.salt, sizeof(h.salt), 0) != sizeof(h.salt))
		return -1;
	h.checksum = header_sum(&h);
	for (uint64_t at = 0; at < JOURNAL_SIZE; at += sizeof(zeros))
		if (write_at(fd, zeros, sizeof(zeros), at) < 0)
			return -1;
	return write_at(fd, &h, sizeof(h), 0) < 0 || fsync(fd) < 0 ? -1 : 0;
}

static int
sync_dir(const char *dir)
{
	cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : fsync(fd);
}

/* 1 made, 0 no room, -1. */
static int
make(const char *dir, const char *path, const char *instance, struct err *e)
{
	cleanup_free char *new = xasprintf("%s.new", path);
	cleanup_close int fd = -1;
	uint64_t avail, total;

	unlink(new);
	if (fs_space(dir, &avail, &total, e) < 0)
		return -1;
	if (avail < MIN_FREE)
		return 0;
	fd = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "%s", new);
	if (fill(fd, instance) == 0 && rename(new, path) == 0 && sync_dir(dir) == 0)
		return 1;
	err_sys(e, "%s", new);
	unlink(new);
	return e->code == ERR_NO_SPACE ? 0 : -1;
}

static int
open_file(struct db_journal *j, const char *path, const char *instance, struct err *e)
{
	struct header h = { 0 };
	struct stat st;

	j->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (j->fd < 0 || fstat(j->fd, &st) < 0 || pread(j->fd, &h, sizeof(h), 0) < 0)
		return err_sys(e, "%s", path);
	if (check_header(&h, path, instance, e) < 0)
		return -1;
	if (h.size != JOURNAL_SIZE || st.st_size != JOURNAL_SIZE)
		return err_set(e, ERR_CORRUPT, "%s is damaged: it has %jd bytes", path,
			       (intmax_t)st.st_size);
	j->salt = h.salt;
	return 0;
}

int
db_journal_open(struct db_journal **out, const struct db_opts *o, const char *instance,
		struct err *e)
{
	cleanup_free char *path = xasprintf("%s/journal", o->dir);
	struct db_journal *j;
	int made = 1;

	*out = NULL;
	if (access(path, F_OK) < 0 && errno == ENOENT)
		made = make(o->dir, path, instance, e);
	if (made <= 0) {
		if (made == 0)
			log_warn(LOG_STORE,
				 "no room for a journal, commits are slower");
		return made;
	}
	j = xcalloc(1, sizeof(*j));
	j->head = j->tail = BEGIN;
	j->no_sync = o->no_sync;
	if (open_file(j, path, instance, e) < 0) {
		db_journal_close(j);
		return -1;
	}
	*out = j;
	return 0;
}

void
db_journal_close(struct db_journal *j)
{
	if (!j)
		return;
	if (j->fd >= 0)
		close(j->fd);
	free(j->buffer);
	free(j);
}

/*
 * Reading what LMDB lacks.
 */

struct finds {
	struct db_record *all;
	size_t n, cap;
	uint64_t torn; /* the seq of one that is not whole, or 0 */
};

static int
compare_seq(const void *a, const void *b)
{
	const struct db_record *x = a, *y = b;

	return (x->seq > y->seq) - (x->seq < y->seq);
}

static void
find_records(struct finds *f, const uint8_t *ring, size_t len, uint64_t salt,
	     uint64_t applied)
{
	enum db_record_kind kind;
	struct db_record r;

	for (size_t at = 0, step; at < len; at += step) {
		kind = db_record_decode(ring + at, len - at, salt, &r);
		step = kind == RECORD_WHOLE ? r.size : JOURNAL_BLOCK;
		if (kind == RECORD_NONE || r.seq <= applied)
			continue;
		if (kind == RECORD_TORN) {
			f->torn = r.seq;
			continue;
		}
		if (f->n == f->cap) {
			f->cap = f->cap ? f->cap * 2 : 64;
			f->all = xreallocarray(f->all, f->cap, sizeof(*f->all));
		}
		f->all[f->n++] = r;
	}
	if (f->n > 0)
		qsort(f->all, f->n, sizeof(*f->all), compare_seq);
}

static int
add_changes(struct batch *b, const struct db_record *r, struct err *e)
{
	struct unit *u = batch_add_unit(b, NULL, 0);
	struct db_key row;
	struct wire_r w;
	struct op in, *op;

	wire_r_init(&w, r->changes, r->len);
	while (db_record_next(&w, &in)) {
		row.len = in.row.len;
		memcpy(row.bytes, in.row.data, row.len);
		op = batch_add_op(b, NULL, u, &row, in.val.len);
		op->del = in.del;
		batch_set_value(op, in.val.data);
	}
	if (!wire_r_done(&w))
		return err_set(e, ERR_CORRUPT,
			       "journal: change %" PRIu64 " is malformed", r->seq);
	b->seq = r->seq;
	return 0;
}

static int
collect(struct finds *f, uint64_t applied, struct batch *b, struct err *e)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->all[i].seq != applied + 1 + i)
			return err_set(e, ERR_CORRUPT,
				       "the journal is damaged: change %" PRIu64
				       " is missing, but a later one (%" PRIu64
				       ") is there",
				       applied + 1 + i, f->all[i].seq);
		if (add_changes(b, &f->all[i], e) < 0)
			return -1;
	}
	/* A write that never ended: nobody was told that it had. */
	if (f->torn > applied + f->n)
		log_info(LOG_STORE, "the last record of the journal was cut short");
	return 0;
}

static int
read_ring(const struct db_journal *j, uint8_t *ring, size_t len, struct err *e)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(j->fd, ring + done, len - done, (off_t)(BEGIN + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read journal");
		if (n == 0)
			return err_set(e, ERR_CORRUPT, "the journal became shorter");
		done += (size_t)n;
	}
	return 0;
}

int
db_journal_read(struct db_journal *j, uint64_t applied, struct batch **out,
		struct err *e)
{
	const size_t len = JOURNAL_SIZE - BEGIN;
	cleanup_free uint8_t *ring = xmalloc(len);
	struct batch *b = batch_new();
	struct finds f = { 0 };
	int rc = -1;

	*out = NULL;
	if (read_ring(j, ring, len, e) == 0) {
		find_records(&f, ring, len, j->salt, applied);
		rc = collect(&f, applied, b, e);
	}
	if (rc == 0 && f.n > 0)
		*out = STEAL(b);
	batch_free(b, NULL);
	free(f.all);
	return rc;
}

/*
 * Writing.
 */

bool
db_journal_reserve(struct db_journal *j, struct batch *b)
{
	const size_t size = b->size;

	if (j->head == j->tail)
		j->head = j->tail = BEGIN;
	if (j->head >= j->tail) {
		if (j->head + size > JOURNAL_SIZE && BEGIN + size < j->tail)
			j->head = BEGIN;
		else if (j->head + size > JOURNAL_SIZE)
			return false;
	} else if (j->head + size >= j->tail) {
		return false;
	}
	j->head += size;
	b->journal_end = j->head;
	return true;
}

int
db_journal_append(struct db_journal *j, const struct batch *b, struct err *e)
{
	const size_t size = b->size;
	int rc;

	if (j->buffer_size < size) {
		free(j->buffer);
		j->buffer = xmalloc(size);
		j->buffer_size = size;
	}
	db_record_encode(j->buffer, b, j->salt);
	rc = write_at(j->fd, j->buffer, size, b->journal_end - size);
	if (rc < 0)
		err_sys(e, "write journal");
	else if (!j->no_sync && fdatasync(j->fd) < 0)
		log_fatal(LOG_STORE, "sync journal: %s", strerror(errno));
	if (j->buffer_size > BUFFER_KEPT) {
		free(STEAL(j->buffer));
		j->buffer_size = 0;
	}
	return rc;
}

void
db_journal_release(struct db_journal *j, const struct batch *b)
{
	if (b->journal_end > 0)
		j->tail = b->journal_end;
}
