#include <criterion/criterion.h>
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zstd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/seal.h"

static char dir[PATH_MAX - 16], sealed_path[PATH_MAX];
static struct err err;

static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/test-seal-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(sealed_path, sizeof(sealed_path), "%s/log.zst", dir);
	srand(3);
}

static void
teardown(void)
{
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

TestSuite(seal, .init = setup, .fini = teardown, .timeout = 60);

/* Half text, half noise: frames of quite different sizes. */
static uint8_t *
make_log(size_t len)
{
	uint8_t *log = xmalloc(len + 1);

	for (size_t i = 0; i < len; i++)
		log[i] = i / 100000 % 2 ? (uint8_t)rand() : (uint8_t)('a' + i % 23);
	return log;
}

static int
make_spool(const uint8_t *log, size_t len)
{
	int fd = memfd_create("spool", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	cr_assert_eq(fs_write_all(fd, log, len, &err), 0);
	return fd;
}

static uint8_t *
seal(size_t len)
{
	uint8_t *log = make_log(len);
	cleanup_close int fd = make_spool(log, len);

	cr_assert_eq(seal_write(fd, len, sealed_path, &err), 0, "%s", err.msg);
	return log;
}

static struct sealed *
open_sealed(void)
{
	struct sealed *s = sealed_open(sealed_path, &err);

	cr_assert_not_null(s, "%s", err.msg);
	return s;
}

static void
expect_read(struct sealed *s, const uint8_t *log, size_t len, uint64_t offset,
	    size_t max)
{
	cleanup_strbuf struct strbuf out = {0};
	size_t want = offset >= len ? 0 : len - (size_t)offset;

	if (want > max)
		want = max;
	strbuf_adds(&out, "x");
	cr_assert_eq(sealed_read(s, offset, max, &out, &err), 0, "%s", err.msg);
	cr_assert_eq(out.len, want + 1);
	cr_assert(want == 0 || memcmp(out.data + 1, log + offset, want) == 0);
}

static const size_t sizes[] = {0,	       1,	       100,
			       SEAL_BLOCK - 1, SEAL_BLOCK,     SEAL_BLOCK + 1,
			       2 * SEAL_BLOCK, 3 * SEAL_BLOCK + 17};

Test(seal, gives_back_any_range)
{
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t len = sizes[i];
		cleanup_free uint8_t *log = seal(len);
		struct sealed *s = open_sealed();

		cr_expect_eq(sealed_size(s), len);
		expect_read(s, log, len, 0, len + 1);
		expect_read(s, log, len, 0, 0);
		expect_read(s, log, len, len, 10);
		expect_read(s, log, len, UINT64_MAX, SIZE_MAX);
		for (int n = 0; n < 50; n++)
			expect_read(s, log, len, (uint64_t)rand() % (len + 2),
				    (size_t)rand() % (SEAL_BLOCK * 3 / 2));
		sealed_close(s);
	}
}

static void
read_sealed(struct strbuf *out)
{
	cr_assert_eq(fs_read_file(sealed_path, SIZE_MAX / 2, out, &err), 0, "%s",
		     err.msg);
}

Test(seal, is_a_plain_zstd_file)
{
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		cleanup_free uint8_t *log = seal(sizes[i]);
		cleanup_free uint8_t *got = xmalloc(sizes[i] + 1);
		cleanup_strbuf struct strbuf file = {0};
		size_t n;

		read_sealed(&file);
		n = ZSTD_decompress(got, sizes[i] + 1, file.data, file.len);
		cr_assert_eq(n, sizes[i]);
		cr_assert_arr_eq(got, log, n);
	}
}

Test(seal, takes_only_the_length_asked_for)
{
	cleanup_free uint8_t *log = make_log(1000);
	cleanup_close int fd = make_spool(log, 1000);
	struct sealed *s;

	cr_assert_eq(seal_write(fd, 999, sealed_path, &err), 0);
	s = open_sealed();
	cr_expect_eq(sealed_size(s), 999);
	sealed_close(s);
}

static unsigned
count_files(void)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

Test(seal, leaves_nothing_behind_when_the_spool_is_too_short)
{
	cleanup_free uint8_t *log = make_log(1000);
	cleanup_close int fd = make_spool(log, 1000);

	cr_expect_eq(seal_write(fd, 1001, sealed_path, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	cr_expect_eq(count_files(), 0);
}

Test(seal, refuses_more_than_it_could_read)
{
	cleanup_close int fd = make_spool((const uint8_t *)"", 0);
	uint64_t len = UINT64_C(65536) * SEAL_BLOCK + 1;

	cr_expect_eq(seal_write(fd, len, sealed_path, &err), -1);
	cr_expect_eq(err.code, ERR_TOO_LARGE);
	cr_expect_eq(count_files(), 0);
}

Test(seal, writes_a_private_file_and_replaces_an_old_one)
{
	struct stat st;

	umask(0);
	free(seal(10));
	free(seal(20));
	cr_assert_eq(stat(sealed_path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600);
	cr_expect_eq(count_files(), 1);
}

/*
 * Damage.
 */

static void
write_sealed(const void *data, size_t len)
{
	cr_assert_eq(fs_write_atomic(sealed_path, data, len, 0600, &err), 0);
}

static void
expect_corrupt_open(const char *what)
{
	struct sealed *s;

	err = (struct err){0};
	s = sealed_open(sealed_path, &err);
	cr_expect_null(s, "%s", what);
	cr_expect_eq(err.code, ERR_CORRUPT, "%s: %s", what, err.msg);
	sealed_close(s);
}

Test(seal, tells_any_truncation)
{
	cleanup_strbuf struct strbuf file = {0};

	free(seal(1000));
	read_sealed(&file);
	for (size_t len = 0; len < file.len; len++) {
		write_sealed(file.data, len);
		expect_corrupt_open("cut");
	}
}

/* Every single bit: either the file is refused, or the frame is, or (for bits that
 * carry nothing) the content is what it was. Never other content. */
Test(seal, never_gives_back_altered_content)
{
	cleanup_free uint8_t *log = seal(300);
	cleanup_strbuf struct strbuf file = {0};

	read_sealed(&file);
	for (size_t bit = 0; bit < file.len * 8; bit++) {
		cleanup_strbuf struct strbuf out = {0};
		struct sealed *s;

		file.data[bit / 8] ^= (char)(1 << bit % 8);
		write_sealed(file.data, file.len);
		s = sealed_open(sealed_path, &err);
		if (s && sealed_read(s, 0, 1000, &out, &err) == 0)
			cr_assert(out.len == 300 && memcmp(out.data, log, 300) == 0,
				  "bit %zu", bit);
		sealed_close(s);
		file.data[bit / 8] ^= (char)(1 << bit % 8);
	}
}

Test(seal, tells_a_damaged_frame_and_reads_the_others)
{
	cleanup_free uint8_t *log = seal(3 * SEAL_BLOCK);
	cleanup_strbuf struct strbuf file = {0}, out = {0};
	struct sealed *s;

	read_sealed(&file);
	file.data[file.len / 2] ^= 1;
	write_sealed(file.data, file.len);
	s = open_sealed();
	expect_read(s, log, 3 * SEAL_BLOCK, 0, 1000);
	cr_expect_eq(sealed_read(s, SEAL_BLOCK + 5, 10, &out, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	cr_expect_eq(out.len, 0);
	expect_read(s, log, 3 * SEAL_BLOCK, 2 * SEAL_BLOCK, 1000);
	sealed_close(s);
}

static void
put_u32(struct strbuf *out, uint32_t v)
{
	v = htole32(v);
	strbuf_add(out, &v, sizeof(v));
}

struct forged {
	const char *what;
	uint32_t magic, size, file, spool, frames;
	uint8_t descriptor;
	uint32_t end_magic;
	bool good;
};

#define FRAME 50 /* bytes in front of the table */
static const struct forged forgeries[] = {
	{"sound", 0x184D2A5E, 17, FRAME, 9, 1, 0, 0x8F92EAB1, true},
	{"largest content", 0x184D2A5E, 17, FRAME, SEAL_BLOCK, 1, 0, 0x8F92EAB1, true},
	{"more content", 0x184D2A5E, 17, FRAME, SEAL_BLOCK + 1, 1, 0, 0x8F92EAB1, 0},
	{"no content", 0x184D2A5E, 17, FRAME, 0, 1, 0, 0x8F92EAB1, false},
	{"empty frame", 0x184D2A5E, 17, 0, 9, 1, 0, 0x8F92EAB1, false},
	{"short frame", 0x184D2A5E, 17, FRAME - 1, 9, 1, 0, 0x8F92EAB1, false},
	{"long frame", 0x184D2A5E, 17, FRAME + 1, 9, 1, 0, 0x8F92EAB1, false},
	{"huge frame", 0x184D2A5E, 17, UINT32_MAX, 9, 1, 0, 0x8F92EAB1, false},
	{"other skippable frame", 0x184D2A5F, 17, FRAME, 9, 1, 0, 0x8F92EAB1, false},
	{"wrong table size", 0x184D2A5E, 18, FRAME, 9, 1, 0, 0x8F92EAB1, false},
	{"no frames", 0x184D2A5E, 17, FRAME, 9, 0, 0, 0x8F92EAB1, false},
	{"too many frames", 0x184D2A5E, 17, FRAME, 9, 2, 0, 0x8F92EAB1, false},
	{"far too many", 0x184D2A5E, 17, FRAME, 9, 65537, 0, 0x8F92EAB1, false},
	{"most frames", 0x184D2A5E, 17, FRAME, 9, UINT32_MAX, 0, 0x8F92EAB1, false},
	{"checksums", 0x184D2A5E, 17, FRAME, 9, 1, 0x80, 0x8F92EAB1, false},
	{"other end", 0x184D2A5E, 17, FRAME, 9, 1, 0, 0x8F92EAB2, false},
};

Test(seal, checks_the_seek_table)
{
	for (size_t i = 0; i < ARRAY_LEN(forgeries); i++) {
		const struct forged *f = &forgeries[i];
		cleanup_strbuf struct strbuf file = {0};
		struct sealed *s;

		for (int n = 0; n < FRAME; n++)
			strbuf_addc(&file, 'z');
		put_u32(&file, f->magic);
		put_u32(&file, f->size);
		put_u32(&file, f->file);
		put_u32(&file, f->spool);
		put_u32(&file, f->frames);
		strbuf_addc(&file, (char)f->descriptor);
		put_u32(&file, f->end_magic);
		write_sealed(file.data, file.len);
		if (!f->good) {
			expect_corrupt_open(f->what);
			continue;
		}
		s = open_sealed();
		cr_expect_eq(sealed_size(s), f->spool);
		cr_expect_eq(sealed_read(s, 0, 10, &file, &err), -1);
		cr_expect_eq(err.code, ERR_CORRUPT);
		sealed_close(s);
	}
}

/* A frame that holds more or less than the table says. */
Test(seal, believes_the_table_and_not_the_frame)
{
	static const uint32_t claims[] = {999, 1001};
	cleanup_strbuf struct strbuf file = {0};

	free(seal(1000));
	read_sealed(&file);
	for (size_t i = 0; i < ARRAY_LEN(claims); i++) {
		cleanup_strbuf struct strbuf out = {0};
		uint32_t claim = htole32(claims[i]);
		struct sealed *s;

		memcpy(file.data + file.len - 13, &claim, 4);
		write_sealed(file.data, file.len);
		s = open_sealed();
		cr_expect_eq(sealed_read(s, 0, 2000, &out, &err), -1);
		cr_expect_eq(err.code, ERR_CORRUPT);
		cr_expect_eq(out.len, 0);
		sealed_close(s);
	}
}

Test(seal, does_not_follow_links)
{
	cleanup_free char *link_path = xasprintf("%s/link", dir);

	free(seal(10));
	cr_assert_eq(symlink(sealed_path, link_path), 0);
	cr_expect_null(sealed_open(link_path, &err));
	cr_expect_null(sealed_open(dir, &err));
}
