#include "../../src/engine/spool.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

struct seen {
	int types[64];
	size_t n;
	unsigned grown;
	bool done;
};

static struct loop *loop;
static struct spools *spools;
static char dir[64];
static struct seen seen;

static void
on_frame(void *arg, const struct frame *f, const uint8_t *payload)
{
	struct seen *s = arg;

	if (s->n < ARRAY_LEN(s->types))
		s->types[s->n++] = f->type;
}

static void
on_grown(void *arg)
{
	((struct seen *)arg)->grown++;
	loop_stop(loop);
}

static void
on_done(void *arg)
{
	((struct seen *)arg)->done = true;
	loop_stop(loop);
}

static const struct spool_events events = { on_frame, on_grown, &seen };

static void
start(void)
{
	memset(&seen, 0, sizeof(seen));
	strcpy(dir, "/tmp/slipway-spool-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	loop = loop_new(NULL);
	spools = spools_new(loop, NULL);
	cr_assert_eq(spool_create(dir, NULL), 0);
}

static void
stop(void)
{
	spools_free(spools);
	loop_free(loop);
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

TestSuite(spool, .init = start, .fini = stop, .timeout = 20);

static void
put(int fd, uint8_t type, uint16_t step, const void *payload, uint32_t len)
{
	struct frame f = { .len = len, .type = type, .step = step, .time_ms = 1 };
	uint8_t head[FRAME_HEADER_LEN];

	frame_encode(&f, head);
	cr_assert_eq(write(fd, head, sizeof(head)), (ssize_t)sizeof(head));
	cr_assert_eq(write(fd, payload, len), (ssize_t)len);
}

static struct spool *
open_it(void)
{
	struct err e = { 0 };
	struct spool *sp = spool_open(spools, dir, &events, &e);

	cr_assert_not_null(sp, "%s", e.msg);
	return sp;
}

static uint64_t
file_size(void)
{
	char path[80];
	struct stat st;

	snprintf(path, sizeof(path), "%s/spool", dir);
	cr_assert_eq(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

Test(spool, hops_over_output_and_tells_of_the_rest)
{
	struct spool *sp = open_it();
	static const uint8_t output[FRAME_PAYLOAD_MAX];
	uint8_t steps[2] = { 1, 0 };

	spool_watch(sp);
	put(spool_fd(sp), FRAME_JOB_START, FRAME_NO_STEP, steps, 2);
	put(spool_fd(sp), FRAME_STEP_START, 0, "build", 5);
	put(spool_fd(sp), FRAME_STDOUT, 0, output, sizeof(output));
	loop_run(loop);
	cr_assert_eq(seen.n, 2);
	cr_assert_eq(seen.types[1], FRAME_STEP_START);
	cr_assert_eq(spool_offset(sp), file_size());
	spool_close(sp);
}

Test(spool, a_watch_begins_with_what_is_there)
{
	struct spool *sp = open_it();
	uint8_t steps[2] = { 1, 0 };

	put(spool_fd(sp), FRAME_JOB_START, FRAME_NO_STEP, steps, 2);
	spool_watch(sp);
	loop_run(loop);
	cr_assert_eq(seen.n, 1);
	put(spool_fd(sp), FRAME_STEP_START, 0, "build", 5);
	loop_run(loop);
	cr_assert_eq(seen.n, 2);
	spool_close(sp);
}

Test(spool, notes_are_told_without_a_watch)
{
	struct spool *sp = open_it();

	spool_note(sp, "cloning", 0);
	loop_run(loop);
	cr_assert_eq(seen.n, 1);
	cr_assert_eq(seen.types[0], FRAME_NOTE);
	spool_close(sp);
}

Test(spool, finish_reads_to_the_end_first)
{
	struct spool *sp = open_it();

	for (unsigned i = 0; i < 10000; i++)
		put(spool_fd(sp), FRAME_NOTE, FRAME_NO_STEP, "x", 1);
	spool_finish(sp, on_done, &seen);
	while (!seen.done)
		loop_run(loop);
	cr_assert_eq(spool_offset(sp), file_size());
	cr_assert_eq(file_size(), SPOOL_HEADER_LEN + 10000 * (FRAME_HEADER_LEN + 1));
	spool_close(sp);
}

Test(spool, a_torn_tail_is_cut_and_told)
{
	struct spool *sp = open_it();
	uint64_t good;

	put(spool_fd(sp), FRAME_NOTE, FRAME_NO_STEP, "whole", 5);
	good = file_size();
	cr_assert_eq(write(spool_fd(sp), "half a header", 13), 13);
	spool_finish(sp, on_done, &seen);
	while (!seen.done)
		loop_run(loop);
	cr_assert_eq(spool_offset(sp), good);
	cr_assert_gt(file_size(), good, "a note follows the cut");
	loop_run(loop);
	cr_assert_eq(spool_offset(sp), file_size(), "and it is a good frame");
	spool_close(sp);
}

Test(spool, damage_ends_the_log_at_the_last_good_frame)
{
	struct spool *sp = open_it();

	put(spool_fd(sp), FRAME_NOTE, FRAME_NO_STEP, "whole", 5);
	put(spool_fd(sp), FRAME_TYPES + 5, 0, "??", 2);
	put(spool_fd(sp), FRAME_NOTE, FRAME_NO_STEP, "after", 5);
	spool_finish(sp, on_done, &seen);
	while (!seen.done)
		loop_run(loop);
	cr_assert_eq(spool_offset(sp), SPOOL_HEADER_LEN + FRAME_HEADER_LEN + 5);
	spool_close(sp);
}

Test(spool, a_link_in_its_place_is_not_followed)
{
	char path[80];
	struct err e = { 0 };

	snprintf(path, sizeof(path), "%s/spool", dir);
	cr_assert_eq(unlink(path), 0);
	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_assert_null(spool_open(spools, dir, &events, &e));
}

Test(spool, notes_hide_secrets)
{
	static const struct mask_secret secret = { (const uint8_t *)"hunter22", 8 };
	cleanup_strbuf struct strbuf text = { 0 };
	struct mask *m = mask_new(&secret, 1);
	struct spool *sp = open_it();
	char path[80];

	spool_set_mask(sp, m);
	spool_note(sp, "cloning with hunter22 as password", 0);
	snprintf(path, sizeof(path), "%s/spool", dir);
	cr_assert_eq(fs_read_file(path, 4096, &text, NULL), 0);
	cr_assert_null(memmem(text.data, text.len, "hunter22", 8));
	cr_assert_not_null(memmem(text.data, text.len, "with *** as", 11));
	spool_close(sp);
	mask_free(m);
}
