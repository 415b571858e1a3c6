#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>

#include "slipway/fs.h"
#include "slipway/logread.h"
#include "slipway/mem.h"
#include "slipway/seal.h"

#define FRAMES 3000
#define FRAME_LEN (FRAME_HEADER_LEN + 100)

struct answer {
	bool failed;
	struct err err;
	struct strbuf data;
	uint64_t next;
	unsigned calls;
};

static struct loop *loop;
static struct pool *pool;
static char state[64], dir[96];
static struct answer got;

static void
on_answer(void *arg, const struct err *err, const uint8_t *data, size_t len, uint64_t next)
{
	struct answer *a = arg;

	strbuf_reset(&a->data);
	a->failed = err != NULL;
	if (err)
		a->err = *err;
	strbuf_add(&a->data, data, len);
	a->next = next;
	a->calls++;
	loop_stop(loop);
}

static void
write_spool(void)
{
	cleanup_strbuf struct strbuf b = { 0 };
	uint8_t head[SPOOL_HEADER_LEN], fh[FRAME_HEADER_LEN];
	char path[128], text[101];

	spool_header_encode(head);
	strbuf_add(&b, head, sizeof(head));
	for (unsigned i = 0; i < FRAMES; i++) {
		struct frame f = { .len = 100, .type = FRAME_STDOUT, .time_ms = i };

		frame_encode(&f, fh);
		snprintf(text, sizeof(text), "%099u\n", i);
		strbuf_add(&b, fh, sizeof(fh));
		strbuf_add(&b, text, 100);
	}
	snprintf(path, sizeof(path), "%s/spool", dir);
	cr_assert_eq(fs_write_atomic(path, b.data, b.len, 0600, NULL), 0);
}

static void
seal(void)
{
	char spool[128], sealed[128];
	int fd;

	snprintf(spool, sizeof(spool), "%s/spool", dir);
	snprintf(sealed, sizeof(sealed), "%s/spool.zst", dir);
	fd = open(spool, O_RDONLY | O_CLOEXEC);
	cr_assert_eq(seal_write(fd, SPOOL_HEADER_LEN + FRAMES * FRAME_LEN, sealed, NULL), 0);
	close(fd);
	cr_assert_eq(unlink(spool), 0);
}

static void
start(void)
{
	memset(&got, 0, sizeof(got));
	strcpy(state, "/tmp/slipway-logread-XXXXXX");
	cr_assert_not_null(mkdtemp(state));
	snprintf(dir, sizeof(dir), "%s/jobs/j/1", state);
	cr_assert_eq(fs_mkdir_p(dir, 0700, NULL), 0);
	loop = loop_new(NULL);
	pool = pool_new(loop, NULL);
	write_spool();
}

static void
stop(void)
{
	pool_free(pool);
	loop_free(loop);
	strbuf_free(&got.data);
	fs_remove_tree(state, NULL, NULL, NULL, NULL);
}

TestSuite(logread, .init = start, .fini = stop, .timeout = 30);

/* Reads everything from the start; seal_at: seal the log after that many reads. */
static uint64_t
read_all(struct logread *r, unsigned seal_at)
{
	uint64_t at = LOGREAD_START, frames = 0;

	for (unsigned reads = 0;; reads++) {
		if (reads == seal_at)
			seal();
		logread_get(r, at, 1, on_answer, &got);
		loop_run(loop);
		cr_assert_not(got.failed, "%s", got.err.msg);
		if (got.data.len == 0)
			return frames;
		cr_assert_eq(got.data.len % FRAME_LEN, 0, "whole frames only");
		cr_assert_eq(got.next, at + got.data.len);
		frames += got.data.len / FRAME_LEN;
		at = got.next;
	}
}

Test(logread, reads_a_hot_log_whole)
{
	struct logread *r = logread_new(loop, pool, state, "j", 1);

	cr_assert_eq(read_all(r, 1000), FRAMES);
	logread_free(r);
}

Test(logread, does_not_notice_the_sealing)
{
	struct logread *r = logread_new(loop, pool, state, "j", 1);

	cr_assert_eq(read_all(r, 2), FRAMES);
	logread_free(r);
}

Test(logread, reads_a_sealed_log_whole)
{
	struct logread *r = logread_new(loop, pool, state, "j", 1);

	cr_assert_eq(read_all(r, 0), FRAMES);
	logread_free(r);
}

static void
check_boundaries(struct logread *r)
{
	const struct {
		uint64_t offset, want;
	} cases[] = {
		{ 0, LOGREAD_START },
		{ LOGREAD_START, LOGREAD_START },
		{ LOGREAD_START + 1, LOGREAD_START },
		{ LOGREAD_START + FRAME_LEN, LOGREAD_START + FRAME_LEN },
		{ LOGREAD_START + 2 * FRAME_LEN - 1, LOGREAD_START + FRAME_LEN },
		{ 1u << 30, LOGREAD_START + FRAMES * FRAME_LEN },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		logread_find_boundary(r, cases[i].offset, on_answer, &got);
		loop_run(loop);
		cr_assert_not(got.failed);
		cr_assert_eq(got.next, cases[i].want, "case %zu: %llu", i,
			     (unsigned long long)got.next);
	}
}

Test(logread, a_walk_may_begin_at_a_known_frame)
{
	struct logread *r = logread_new(loop, pool, state, "j", 1);
	const uint64_t known = LOGREAD_START + 5 * FRAME_LEN;

	for (uint64_t offset = known; offset < known + 3 * FRAME_LEN; offset++) {
		logread_find_boundary_from(r, known, offset, on_answer, &got);
		loop_run(loop);
		cr_assert_not(got.failed);
		cr_assert_eq(got.next, offset - (offset - LOGREAD_START) % FRAME_LEN);
	}
	logread_free(r);
}

Test(logread, foreign_offsets_fall_back_to_a_frame)
{
	struct logread *r = logread_new(loop, pool, state, "j", 1);

	check_boundaries(r);
	seal();
	logread_free(r);
	r = logread_new(loop, pool, state, "j", 1);
	check_boundaries(r);
	logread_free(r);
}

Test(logread, a_tail_begins_that_many_lines_before_the_end)
{
	struct logread *r = logread_new(loop, pool, state, "j", 1);

	logread_find_tail(r, 10, on_answer, &got);
	loop_run(loop);
	cr_assert_eq(got.next, LOGREAD_START + (FRAMES - 10) * FRAME_LEN);
	logread_find_tail(r, 100000, on_answer, &got);
	loop_run(loop);
	cr_assert_eq(got.next, LOGREAD_START);
	logread_free(r);
}

Test(logread, no_log_is_told)
{
	struct logread *r = logread_new(loop, pool, state, "other", 1);

	logread_get(r, LOGREAD_START, 1, on_answer, &got);
	loop_run(loop);
	cr_assert(got.failed);
	cr_assert_eq(got.err.code, ERR_NOT_FOUND);
	logread_free(r);
}

Test(logread, a_freed_reader_is_not_called)
{
	struct logread *r = logread_new(loop, pool, state, "j", 1);

	logread_get(r, LOGREAD_START, 1, on_answer, &got);
	logread_free(r);
	loop_stop(loop);
	loop_post(loop, (void (*)(void *))loop_stop, loop);
	loop_run(loop);
	cr_assert_eq(got.calls, 0);
}
