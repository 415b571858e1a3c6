/* The plain functions for SHA-1: those that replace them allocate, look up and pass
 * through a dozen pages of code, which costs a process that lives for a millisecond
 * more than the hashing. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "packfile.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

#define BUFFER (64 * 1024)
#define HASH_LEN GIT_OID_RAWSZ
#define LARGE_OFFSET 0x80000000u
/* What is smaller is not worth zlib's tables, which have to be cleared for each. */
#define DEFLATE_FROM 512

struct object {
	git_oid id;
	uint32_t crc;
	uint64_t offset;
};

/* A file whose bytes are hashed on their way. */
struct sink {
	int fd;
	SHA_CTX hash;
	size_t len; /* buffered */
	uint64_t total;
	uint8_t *buf;
};

struct packfile {
	char *path, *index;
	struct sink sink;
	z_stream z;
	bool z_ready, unfinished;
	struct object *objects;
	uint32_t count, added;
};

static int
sink_flush(struct sink *s, struct err *e)
{
	SHA1_Update(&s->hash, s->buf, s->len);
	if (fs_write_all(s->fd, s->buf, s->len, e))
		return -1;
	s->len = 0;
	return 0;
}

static int
sink_add(struct sink *s, const void *data, size_t len, struct err *e)
{
	const uint8_t *p = data;

	s->total += len;
	while (len) {
		size_t n = BUFFER - s->len < len ? BUFFER - s->len : len;

		memcpy(s->buf + s->len, p, n);
		s->len += n;
		p += n;
		len -= n;
		if (s->len == BUFFER && sink_flush(s, e))
			return -1;
	}
	return 0;
}

static int
sink_add32(struct sink *s, uint32_t v, struct err *e)
{
	uint8_t b[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
			 (uint8_t)v };

	return sink_add(s, b, sizeof(b), e);
}

static int
sink_open(struct sink *s, const char *path, struct err *e)
{
	s->len = 0;
	s->total = 0;
	s->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	if (s->fd < 0)
		return err_sys(e, "%s", path);
	SHA1_Init(&s->hash);
	return 0;
}

/* Writes the hash of everything before as the end of the file. */
static int
sink_close(struct sink *s, uint8_t hash[HASH_LEN], struct err *e)
{
	if (sink_flush(s, e))
		return -1;
	SHA1_Final(hash, &s->hash);
	if (fs_write_all(s->fd, hash, HASH_LEN, e))
		return -1;
	close(steal_fd(&s->fd));
	return 0;
}

struct packfile *
packfile_new(const char *dir, const git_oid *commit, uint32_t count, struct err *e)
{
	struct packfile *p = xcalloc(1, sizeof(*p));
	char hex[GIT_OID_HEXSZ + 1];

	git_oid_tostr(hex, sizeof(hex), commit);
	p->sink.fd = -1;
	p->path = xasprintf("%s/pack-%s.pack", dir, hex);
	p->index = xasprintf("%s/pack-%s.idx", dir, hex);
	p->count = count;
	p->objects = calloc((size_t)count + 1, sizeof(*p->objects));
	p->sink.buf = xmalloc(BUFFER);
	if (!p->objects) {
		err_set(e, ERR_TOO_LARGE, "%u objects need too much memory", count);
		goto failed;
	}
	if (sink_open(&p->sink, p->path, e))
		goto failed;
	p->unfinished = true;
	if (sink_add(&p->sink, "PACK", 4, e) ||
	    sink_add32(&p->sink, 2, e) || sink_add32(&p->sink, count, e))
		goto failed;
	return p;
failed:
	packfile_free(p);
	return NULL;
}

void
packfile_free(struct packfile *p)
{
	if (!p)
		return;
	if (p->sink.fd >= 0)
		close(p->sink.fd);
	if (p->unfinished)
		unlink(p->path);
	if (p->z_ready)
		deflateEnd(&p->z);
	free(p->sink.buf);
	free(p->objects);
	free(p->path);
	free(p->index);
	free(p);
}

/* Type and size: 4 bits of it in the first byte, 7 in each further one. */
static size_t
encode_header(uint8_t *out, git_object_t type, size_t size)
{
	size_t n = 0;
	uint8_t byte = (uint8_t)((unsigned)type << 4 | (size & 15));

	for (size >>= 4; size; size >>= 7) {
		out[n++] = byte | 0x80;
		byte = size & 0x7f;
	}
	out[n++] = byte;
	return n;
}

static int
add_bytes(struct packfile *p, struct object *o, const void *data, size_t len,
	  struct err *e)
{
	/* Without bytes there may be no address, which crc32() takes for a new start. */
	if (!len)
		return 0;
	o->crc = (uint32_t)crc32(o->crc, data, (uInt)len);
	return sink_add(&p->sink, data, len, e);
}

/* zlib counts in 32 bits. */
static void
feed(z_stream *z, const uint8_t **data, size_t *len)
{
	size_t n = *len > BUFFER ? BUFFER : *len;

	z->next_in = (Bytef *)(uintptr_t)*data;
	z->avail_in = (uInt)n;
	*data += n;
	*len -= n;
}

static int
add_deflated(struct packfile *p, struct object *o, const void *data, size_t len,
	     struct err *e)
{
	const uint8_t *in = data;
	uint8_t out[16 * 1024];
	int rc = Z_OK;

	if (p->z_ready)
		deflateReset(&p->z);
	else if (deflateInit(&p->z, Z_BEST_SPEED) != Z_OK)
		return err_set(e, ERR_TOO_LARGE, "no memory to deflate");
	p->z_ready = true;
	p->z.avail_in = 0;
	while (rc != Z_STREAM_END) {
		if (!p->z.avail_in)
			feed(&p->z, &in, &len);
		p->z.next_out = out;
		p->z.avail_out = sizeof(out);
		rc = deflate(&p->z, len ? Z_NO_FLUSH : Z_FINISH);
		if (rc == Z_STREAM_ERROR)
			return err_set(e, ERR_INTERNAL, "deflate failed");
		if (add_bytes(p, o, out, sizeof(out) - p->z.avail_out, e))
			return -1;
	}
	return 0;
}

/* A zlib stream of one stored block: header, length, its complement, data, checksum. */
static int
add_stored(struct packfile *p, struct object *o, const void *data, size_t len,
	   struct err *e)
{
	uint32_t sum = (uint32_t)adler32(adler32(0, NULL, 0), data, (uInt)len);
	uint8_t low = (uint8_t)len, high = (uint8_t)(len >> 8);
	const uint8_t head[] = { 0x78, 0x01, 0x01, low, high, (uint8_t)~low,
				 (uint8_t)~high };
	const uint8_t tail[] = { (uint8_t)(sum >> 24), (uint8_t)(sum >> 16),
				 (uint8_t)(sum >> 8), (uint8_t)sum };

	if (add_bytes(p, o, head, sizeof(head), e) || add_bytes(p, o, data, len, e))
		return -1;
	return add_bytes(p, o, tail, sizeof(tail), e);
}

int
packfile_add(struct packfile *p, const git_oid *id, git_object_t type, const void *data,
	     size_t len, struct err *e)
{
	struct object *o = &p->objects[p->added];
	uint8_t header[16];

	if (p->added == p->count)
		return err_set(e, ERR_INTERNAL, "one object too many for the pack");
	o->id = *id;
	o->offset = p->sink.total;
	o->crc = (uint32_t)crc32(0, NULL, 0);
	p->added++;
	if (add_bytes(p, o, header, encode_header(header, type, len), e))
		return -1;
	return len < DEFLATE_FROM ? add_stored(p, o, data, len, e)
				  : add_deflated(p, o, data, len, e);
}

static int
by_id(const void *a, const void *b)
{
	return memcmp(((const struct object *)a)->id.id,
		      ((const struct object *)b)->id.id, HASH_LEN);
}

static int
write_fanout(struct packfile *p, struct err *e)
{
	uint32_t n = 0;

	for (unsigned first = 0; first < 256; first++) {
		while (n < p->count && p->objects[n].id.id[0] <= first)
			n++;
		if (sink_add32(&p->sink, n, e))
			return -1;
	}
	return 0;
}

/* Offsets over 31 bits go to a table of their own, in order. */
static int
write_offsets(struct packfile *p, struct err *e)
{
	uint32_t large = 0;

	for (uint32_t i = 0; i < p->count; i++) {
		uint64_t offset = p->objects[i].offset;
		uint32_t v = offset < LARGE_OFFSET ? (uint32_t)offset
						   : LARGE_OFFSET | large++;

		if (sink_add32(&p->sink, v, e))
			return -1;
	}
	for (uint32_t i = 0; i < p->count; i++) {
		uint64_t offset = p->objects[i].offset;

		if (offset >= LARGE_OFFSET &&
		    (sink_add32(&p->sink, (uint32_t)(offset >> 32), e) ||
		     sink_add32(&p->sink, (uint32_t)offset, e)))
			return -1;
	}
	return 0;
}

/* Version 2: magic, fan-out, ids, checksums, offsets, the pack's hash, its own. */
static int
write_index(struct packfile *p, const uint8_t pack[HASH_LEN], struct err *e)
{
	static const uint8_t magic[8] = { 0xff, 't', 'O', 'c', 0, 0, 0, 2 };
	uint8_t hash[HASH_LEN];

	qsort(p->objects, p->count, sizeof(*p->objects), by_id);
	if (sink_open(&p->sink, p->index, e) || sink_add(&p->sink, magic, 8, e) ||
	    write_fanout(p, e))
		return -1;
	for (uint32_t i = 0; i < p->count; i++)
		if (sink_add(&p->sink, p->objects[i].id.id, HASH_LEN, e))
			return -1;
	for (uint32_t i = 0; i < p->count; i++)
		if (sink_add32(&p->sink, p->objects[i].crc, e))
			return -1;
	if (write_offsets(p, e) || sink_add(&p->sink, pack, HASH_LEN, e))
		return -1;
	return sink_close(&p->sink, hash, e);
}

int
packfile_finish(struct packfile *p, struct err *e)
{
	uint8_t hash[HASH_LEN];

	if (p->added != p->count)
		return err_set(e, ERR_INTERNAL, "the pack lacks objects");
	if (sink_close(&p->sink, hash, e) || write_index(p, hash, e))
		return -1;
	p->unfinished = false;
	return 0;
}
