#include "slipway/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sys/stat.h>
#include <zstd.h>

#include "seal_table.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

#define LEVEL 3
#define NO_FRAME UINT32_MAX

/* All of it, or what is there before the end of the file. */
static ssize_t
read_at(int fd, void *buf, size_t len, uint64_t offset, struct err *e)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, (uint8_t *)buf + done, len - done,
			  (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read log");
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static int
read_exactly(int fd, void *buf, size_t len, uint64_t offset, struct err *e)
{
	ssize_t n = read_at(fd, buf, len, offset, e);

	if (n < 0)
		return -1;
	if ((size_t)n < len)
		return err_set(e, ERR_CORRUPT, "log is shorter than it says");
	return 0;
}

/*
 * Writing.
 */

struct sealer {
	int in, out;
	ZSTD_CCtx *zstd;
	uint8_t *raw, *packed;
	size_t packed_size;
	struct seal_table table;
};

static int
sealer_init(struct sealer *s, uint64_t len, struct err *e)
{
	uint64_t frames = (len + SEAL_BLOCK - 1) / SEAL_BLOCK;

	if (frames > SEAL_FRAMES_MAX)
		return err_set(e, ERR_TOO_LARGE, "log of %" PRIu64 " bytes", len);
	s->zstd = ZSTD_createCCtx();
	if (!s->zstd ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_compressionLevel,
						LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(s->zstd, ZSTD_c_checksumFlag, 1)))
		return err_set(e, ERR_INTERNAL, "zstd cannot be set up");
	s->packed_size = ZSTD_compressBound(SEAL_BLOCK);
	s->raw = xmalloc(SEAL_BLOCK);
	s->packed = xmalloc(s->packed_size);
	s->table.marks = xcalloc(frames + 1, sizeof(*s->table.marks));
	return 0;
}

static void
sealer_free(struct sealer *s)
{
	ZSTD_freeCCtx(s->zstd);
	free(s->raw);
	free(s->packed);
	seal_table_free(&s->table);
}

static int
write_frame(struct sealer *s, size_t len, struct err *e)
{
	struct seal_mark *m = &s->table.marks[s->table.frames];
	size_t n;

	if (read_exactly(s->in, s->raw, len, m->spool, e) < 0)
		return -1;
	n = ZSTD_compress2(s->zstd, s->packed, s->packed_size, s->raw, len);
	if (ZSTD_isError(n))
		return err_set(e, ERR_INTERNAL, "zstd: %s", ZSTD_getErrorName(n));
	if (fs_write_all(s->out, s->packed, n, e) < 0)
		return -1;
	m[1].file = m->file + n;
	m[1].spool = m->spool + len;
	s->table.frames++;
	return 0;
}

static int
write_sealed(int in, int out, uint64_t len, struct err *e)
{
	__attribute__((cleanup(sealer_free))) struct sealer s = {.in = in, .out = out};
	cleanup_strbuf struct strbuf table = {0};

	if (sealer_init(&s, len, e) < 0)
		return -1;
	for (uint64_t left = len; left > 0;) {
		size_t n = left < SEAL_BLOCK ? (size_t)left : SEAL_BLOCK;

		if (write_frame(&s, n, e) < 0)
			return -1;
		left -= n;
	}
	seal_table_encode(&s.table, &table);
	return fs_write_all(out, table.data, table.len, e);
}

static int
sync_directory(const char *file, struct err *e)
{
	cleanup_free char *copy = xstrdup(file);
	const char *dir = dirname(copy);
	cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_sys(e, "%s", dir);
	return 0;
}

int
seal_write(int spool_fd, uint64_t len, const char *dst, struct err *e)
{
	cleanup_free char *tmp = xasprintf("%s.XXXXXX", dst);
	cleanup_close int fd = mkostemp(tmp, O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "%s", tmp);
	if (write_sealed(spool_fd, fd, len, e) < 0)
		goto fail;
	if (fsync(fd) < 0 || rename(tmp, dst) < 0) {
		err_sys(e, "%s", dst);
		goto fail;
	}
	return sync_directory(dst, e);
fail:
	unlink(tmp);
	return -1;
}

/*
 * Reading.
 */

struct sealed {
	int fd;
	ZSTD_DCtx *zstd;
	struct seal_table table;
	uint32_t frame; /* the one in raw, or NO_FRAME */
	uint8_t *raw, *packed;
};

static int
read_table(struct sealed *s, struct err *e)
{
	uint8_t footer[SEAL_FOOTER_LEN];
	cleanup_free uint8_t *data = NULL;
	struct stat st;
	uint64_t size;
	size_t len;

	if (fstat(s->fd, &st) < 0)
		return err_sys(e, "stat");
	size = (uint64_t)st.st_size;
	if (size < sizeof(footer))
		return err_set(e, ERR_CORRUPT, "sealed log: cut short");
	if (read_exactly(s->fd, footer, sizeof(footer), size - sizeof(footer), e) < 0 ||
	    seal_table_length(footer, size, &len, e) < 0)
		return -1;
	data = xmalloc(len);
	if (read_exactly(s->fd, data, len, size - len, e) < 0)
		return -1;
	return seal_table_parse(&s->table, data, len, size, e);
}

struct sealed *
sealed_open(const char *path, struct err *e)
{
	struct sealed *s = xcalloc(1, sizeof(*s));

	s->frame = NO_FRAME;
	s->fd = fs_open_regular(path, O_RDONLY, e);
	if (s->fd < 0)
		goto fail;
	s->zstd = ZSTD_createDCtx();
	if (!s->zstd) {
		err_set(e, ERR_INTERNAL, "zstd cannot be set up");
		goto fail;
	}
	if (read_table(s, e) < 0) {
		err_wrap(e, "%s", path);
		goto fail;
	}
	return s;
fail:
	sealed_close(s);
	return NULL;
}

void
sealed_close(struct sealed *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	ZSTD_freeDCtx(s->zstd);
	seal_table_free(&s->table);
	free(s->raw);
	free(s->packed);
	free(s);
}

uint64_t
sealed_size(const struct sealed *s)
{
	return s->table.marks[s->table.frames].spool;
}

/* The frame that holds this offset, which is inside the spool. */
static uint32_t
find_frame(const struct seal_table *t, uint64_t offset)
{
	uint32_t low = 0, high = t->frames;

	while (high - low > 1) {
		uint32_t mid = low + (high - low) / 2;

		if (t->marks[mid].spool <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* In one piece into memory of the size that the table tells and bounds, so what the
 * frame says of its window and content allocates nothing. */
static int
load_frame(struct sealed *s, uint32_t frame, struct err *e)
{
	const struct seal_mark *m = &s->table.marks[frame];
	size_t packed = (size_t)(m[1].file - m[0].file);
	size_t raw = (size_t)(m[1].spool - m[0].spool);
	size_t n;

	if (s->frame == frame)
		return 0;
	s->frame = NO_FRAME;
	s->packed = xrealloc(s->packed, packed);
	s->raw = xrealloc(s->raw, raw);
	if (read_exactly(s->fd, s->packed, packed, m->file, e) < 0)
		return -1;
	n = ZSTD_decompressDCtx(s->zstd, s->raw, raw, s->packed, packed);
	if (ZSTD_isError(n))
		return err_set(e, ERR_CORRUPT, "sealed log: frame %u: %s", frame,
			       ZSTD_getErrorName(n));
	if (n != raw)
		return err_set(e, ERR_CORRUPT, "sealed log: frame %u is too short",
			       frame);
	s->frame = frame;
	return 0;
}

int
sealed_read(struct sealed *s, uint64_t offset, size_t max, struct strbuf *out,
	    struct err *e)
{
	uint64_t size = sealed_size(s);

	while (max > 0 && offset < size) {
		uint32_t frame = find_frame(&s->table, offset);
		const struct seal_mark *m = &s->table.marks[frame];
		uint64_t n = m[1].spool - offset;

		if (load_frame(s, frame, e) < 0)
			return -1;
		if (n > max)
			n = max;
		strbuf_add(out, s->raw + (offset - m->spool), (size_t)n);
		offset += n;
		max -= (size_t)n;
	}
	return 0;
}
