#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "engine/lines.h"
#include "frames_fixture.h"
#include "slipway/fs.h"
#include "slipway/logread.h"

static struct loop *loop;
static struct pool *pool;
static char state[64], dir[96], spool[128], stored[128];

static struct {
	bool failed;
	struct err err;
	struct line_window w; /* lines and text are copies */
	struct strbuf out;
	unsigned calls;
} got;

static void
start(void)
{
	memset(&got, 0, sizeof(got));
	strcpy(state, "/tmp/slipway-lines-XXXXXX");
	cr_assert_not_null(mkdtemp(state));
	snprintf(dir, sizeof(dir), "%s/jobs/j/1", state);
	snprintf(spool, sizeof(spool), "%s/spool", dir);
	snprintf(stored, sizeof(stored), "%s/lines", dir);
	cr_assert_eq(fs_mkdir_p(dir, 0700, NULL), 0);
	loop = loop_new(NULL);
	pool = pool_new(loop, NULL);
}

static void
stop(void)
{
	pool_free(pool);
	loop_free(loop);
	line_window_free(&got.w);
	strbuf_free(&got.out);
	fs_remove_tree(state, NULL, NULL, NULL, NULL);
}

TestSuite(lineindex, .init = start, .fini = stop, .timeout = 60);

/* Logs */

static void
append(const void *data, size_t len)
{
	uint8_t head[SPOOL_HEADER_LEN];
	int fd = open(spool, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	spool_header_encode(head);
	if (lseek(fd, 0, SEEK_END) == 0)
		cr_assert_eq(write(fd, head, sizeof(head)), sizeof(head));
	cr_assert_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
}

/* Lines "line <n>" from one number on, ten to a frame, every seventh in red. */
static void
append_lines(unsigned from, unsigned count)
{
	cleanup_strbuf struct strbuf log = { 0 }, text = { 0 };

	for (unsigned i = from; i < from + count; i++) {
		strbuf_addf(&text, i % 7 ? "line %u\n" : "\x1b[31mline %u\x1b[0m\n", i);
		if (i % 10 == 9 || i + 1 == from + count) {
			add_output(&log, 0, text.data);
			strbuf_reset(&text);
		}
	}
	append(log.data, log.len);
}

static void
seal(void)
{
	char sealed[160];
	struct stat st;
	int fd = open(spool, O_RDONLY | O_CLOEXEC);

	snprintf(sealed, sizeof(sealed), "%s.zst", spool);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(seal_write(fd, (uint64_t)st.st_size, sealed, NULL), 0);
	close(fd);
	cr_assert_eq(unlink(spool), 0);
}

/* Asking */

static void
on_window(void *arg, const struct err *err, const struct line_window *w,
	  const struct strbuf *out)
{
	line_window_free(&got.w);
	strbuf_reset(&got.out);
	got.calls++;
	got.failed = err != NULL;
	memset(&got.w, 0, sizeof(got.w));
	if (err)
		got.err = *err;
	if (!err) {
		got.w = *w;
		got.w.lines = w->n ? xmemdup(w->lines, w->n * sizeof(*w->lines)) : NULL;
		got.w.text = (struct strbuf){ 0 };
		strbuf_add(&got.w.text, strbuf_str(&w->text), w->text.len);
		strbuf_add(&got.out, strbuf_str(out), out->len);
	}
	loop_stop(loop);
}

static void
ask(const struct line_window *want)
{
	struct lineindex *x = lineindex_new(loop, pool, state, "j", 1);

	lineindex_get(x, want, NULL, on_window, NULL);
	loop_run(loop);
	lineindex_free(x);
}

static void
expect_text(size_t i, const char *want)
{
	const struct log_line *l = &got.w.lines[i];

	cr_assert_lt(i, got.w.n);
	cr_expect(l->len == strlen(want) &&
			  memcmp(got.w.text.data + l->text, want, l->len) == 0,
		  "line %zu: %.*s, not %s", i, (int)l->len, got.w.text.data + l->text,
		  want);
}

static void
expect_window(uint64_t from, unsigned count, uint64_t total, size_t n)
{
	char want[64];

	ask(&(struct line_window){ .from = from, .count = count });
	cr_assert_not(got.failed, "%s", got.err.msg);
	cr_expect_eq(got.w.total, total, "total %llu", (unsigned long long)got.w.total);
	cr_assert_eq(got.w.n, n, "%zu lines from %llu", got.w.n,
		     (unsigned long long)from);
	for (size_t i = 0; i < n; i++) {
		uint64_t line = from + i - 1;

		snprintf(want, sizeof(want),
			 line % 7 ? "line %llu" : "\x1b[31mline %llu\x1b[0m",
			 (unsigned long long)line);
		expect_text(i, want);
	}
}

Test(lineindex, a_log_without_lines_has_none)
{
	append("", 0);
	expect_window(1, 10, 0, 0);
	ask(&(struct line_window){ .count = 10, .tail = true });
	cr_expect_eq(got.w.total, 0);
	cr_expect_eq(got.w.end, LOGREAD_START);
}

Test(lineindex, no_log_is_told)
{
	ask(&(struct line_window){ .from = 1, .count = 1 });
	cr_expect(got.failed);
	cr_expect_eq(got.err.code, ERR_NOT_FOUND);
}

Test(lineindex, windows_anywhere)
{
	append_lines(0, 3000);
	expect_window(1, 1, 3000, 1);
	expect_window(LINES_STRIDE, 3, 3000, 3);
	expect_window(LINES_STRIDE + 1, 2, 3000, 2);
	expect_window(2999, 10, 3000, 2);
	expect_window(3000, 10, 3000, 1);
	expect_window(3001, 10, 3000, 0);
	expect_window(1, LINES_MAX + 1, 3000, LINES_MAX);
	expect_window(1, 0, 3000, 0);
}

Test(lineindex, a_tail_is_the_last_lines)
{
	append_lines(0, 1000);
	ask(&(struct line_window){ .count = 3, .tail = true });
	cr_assert_eq(got.w.n, 3);
	cr_expect_eq(got.w.from, 998);
	expect_text(2, "line 999");
	ask(&(struct line_window){ .count = 1001, .tail = true });
	cr_expect_eq(got.w.from, 1);
	cr_expect_eq(got.w.n, 1000);
}

Test(lineindex, grows_with_the_log)
{
	for (unsigned i = 0; i < 20; i++) {
		append_lines(i * 97, 97);
		expect_window(i * 97 + 1, 200, (i + 1) * 97, 97);
	}
	expect_window(1, 2000, 20 * 97, 20 * 97);
}

Test(lineindex, what_is_stored_is_not_read_again)
{
	uint8_t junk[200];
	int fd;

	append_lines(0, 2000);
	expect_window(1, 1, 2000, 1);
	/* The log's beginning is gone, and nobody notices. */
	memset(junk, 0xff, sizeof(junk));
	fd = open(spool, O_WRONLY | O_CLOEXEC);
	cr_assert_eq(pwrite(fd, junk, sizeof(junk), LOGREAD_START), sizeof(junk));
	close(fd);
	append_lines(2000, 500);
	expect_window(1900, 700, 2500, 601);
}

Test(lineindex, a_sealed_log_needs_no_new_index)
{
	append_lines(0, 5000);
	expect_window(4000, 5, 5000, 5);
	seal();
	expect_window(4000, 5, 5000, 5);
	expect_window(1, 2000, 5000, 2000);
}

Test(lineindex, a_sealed_log_can_be_the_first)
{
	append_lines(0, 5000);
	seal();
	expect_window(4999, 5, 5000, 2);
}

Test(lineindex, an_open_line_is_shown_and_grows)
{
	cleanup_strbuf struct strbuf log = { 0 }, more = { 0 };

	append_lines(0, 300);
	add_output(&log, 0, "wait");
	append(log.data, log.len);
	ask(&(struct line_window){ .count = 1, .tail = true });
	cr_expect_eq(got.w.total, 301);
	cr_expect(got.w.lines[0].open);
	expect_text(0, "wait");
	add_output(&more, 0, "ing\nend\n");
	append(more.data, more.len);
	ask(&(struct line_window){ .count = 2, .tail = true });
	cr_expect_eq(got.w.total, 302);
	cr_expect_not(got.w.lines[1].open);
	expect_text(0, "waiting");
}

Test(lineindex, a_torn_frame_waits_for_its_rest)
{
	cleanup_strbuf struct strbuf log = { 0 };
	uint64_t end;

	append_lines(0, 30);
	ask(&(struct line_window){ .count = 1, .tail = true });
	end = got.w.end;
	add_output(&log, 0, "torn\n");
	append(log.data, log.len - 2);
	ask(&(struct line_window){ .count = 1, .tail = true });
	cr_expect_eq(got.w.total, 30);
	cr_expect_eq(got.w.end, end);
	append(log.data + log.len - 2, 2);
	ask(&(struct line_window){ .count = 1, .tail = true });
	cr_expect_eq(got.w.total, 31);
	expect_text(0, "torn");
}

Test(lineindex, damage_ends_the_lines)
{
	uint8_t junk[64];

	memset(junk, 0xff, sizeof(junk));
	append_lines(0, 400);
	append(junk, sizeof(junk));
	expect_window(1, 500, 400, 400);
}

Test(lineindex, a_log_that_was_cut_is_indexed_anew)
{
	struct stat st;

	append_lines(0, 1000);
	cr_assert_eq(stat(spool, &st), 0);
	append_lines(1000, 1000);
	expect_window(1, 1, 2000, 1);
	cr_assert_eq(truncate(spool, st.st_size), 0);
	expect_window(900, 200, 1000, 101);
}

Test(lineindex, another_log_is_indexed_anew)
{
	append_lines(500, 1000);
	ask(&(struct line_window){ .from = 1, .count = 1 });
	cr_expect_eq(got.w.total, 1000);
	cr_assert_eq(unlink(spool), 0);
	append_lines(0, 2000);
	expect_window(990, 20, 2000, 20);
	expect_window(1995, 10, 2000, 6);
}

/* Flip each byte of the stored index: it is made anew, or it did not matter. */
Test(lineindex, a_damaged_index_never_shows)
{
	cleanup_strbuf struct strbuf index = { 0 };
	size_t step = 13;

	append_lines(0, 2000);
	expect_window(1, 1, 2000, 1);
	cr_assert_eq(fs_read_file(stored, 1u << 20, &index, NULL), 0);
	cr_expect_eq(index.len, LINES_HEAD_LEN + 8 * LINES_MARK_LEN);
	for (size_t i = 0; i < index.len; i += i < 64 ? 1 : step) {
		index.data[i] ^= 0x40;
		cr_assert_eq(fs_write_atomic(stored, index.data, index.len, 0600, NULL),
			     0);
		index.data[i] ^= 0x40;
		expect_window(1790, 5, 2000, 5);
		expect_window(300, 5, 2000, 5);
	}
	for (size_t len = 0; len < index.len; len += 97) {
		cr_assert_eq(fs_write_atomic(stored, index.data, len, 0600, NULL), 0);
		expect_window(1790, 5, 2000, 5);
	}
}

Test(lineindex, what_cannot_be_stored_is_shown_all_the_same)
{
	append_lines(0, 2000);
	cr_assert_eq(mkdir(stored, 0700), 0);
	expect_window(1790, 5, 2000, 5);
	cr_assert_eq(rmdir(stored), 0);
	cr_assert_eq(symlink("/etc/passwd", stored), 0);
	expect_window(1790, 5, 2000, 5);
}

Test(lineindex, knows_where_steps_begin)
{
	cleanup_strbuf struct strbuf log = { 0 };

	add_note(&log, "cloned", 0);
	add_step_start(&log, 0, "build", 1);
	add_output(&log, 0, "x\ny\n");
	add_step_start(&log, JOB_STEPS_MAX - 1, "last", 1);
	add_step_start(&log, JOB_STEPS_MAX, "one too many", 1);
	append(log.data, log.len);
	for (int i = 0; i < 2; i++) {
		ask(&(struct line_window){ .from = 1, .count = 10 });
		cr_expect_eq(got.w.first[0], 2);
		cr_expect_eq(got.w.first[1], 0);
		cr_expect_eq(got.w.first[JOB_STEPS_MAX - 1], 5);
		cr_expect_eq(got.w.total, 6);
	}
}

Test(lineindex, a_window_ends_early_when_its_lines_are_long)
{
	cleanup_strbuf struct strbuf log = { 0 }, text = { 0 };

	for (size_t i = 0; i < LINE_MAX_BYTES; i++)
		strbuf_addc(&text, 'x');
	strbuf_addc(&text, '\n');
	for (unsigned i = 0; i < 100; i++)
		add_output(&log, 0, text.data);
	append(log.data, log.len);
	ask(&(struct line_window){ .from = 1, .count = 100 });
	cr_expect_eq(got.w.total, 100);
	cr_expect_eq(got.w.n, LINES_BYTES / LINE_MAX_BYTES);
}

static void
expect_found(uint64_t from, const char *text, uint64_t found)
{
	struct line_window want = { .from = from };

	STR_COPY(want.find, text);
	ask(&want);
	cr_assert_not(got.failed, "%s", got.err.msg);
	cr_expect_eq(got.w.found, found, "%s from %llu: %llu", text,
		     (unsigned long long)from, (unsigned long long)got.w.found);
	cr_expect_eq(got.w.n, 0);
	if (!found)
		cr_expect_eq(got.w.from, 0, "there is nothing more to look through");
}

Test(lineindex, finds_text)
{
	cleanup_strbuf struct strbuf log = { 0 };

	append_lines(0, 3000);
	add_output(&log, 0, "Err\x1b[1mor: open");
	append(log.data, log.len);
	expect_found(1, "line 2741", 2742);
	expect_found(2742, "LINE 2741", 2742);
	expect_found(2743, "line 2741", 0);
	expect_found(1, "31m", 0);
	expect_found(1, "error: OPEN", 3001);
	expect_found(4000, "line", 0);
}

Test(lineindex, who_left_is_not_called)
{
	struct lineindex *x = lineindex_new(loop, pool, state, "j", 1);

	append_lines(0, 3000);
	lineindex_get(x, &(struct line_window){ .from = 1, .count = 1 }, NULL,
		      on_window, NULL);
	lineindex_free(x);
	loop_stop(loop);
	loop_post(loop, (void (*)(void *))loop_stop, loop);
	loop_run(loop);
	cr_expect_eq(got.calls, 0);
}

Test(lineindex, the_stored_head_is_checked)
{
	struct lines_head in = { .lines = 7,
				 .next = { .frame = 99,
					   .skip = 3,
					   .style = { 1, 2, 3 } },
				 .seen = 50 },
			  out;
	uint8_t raw[LINES_HEAD_LEN];

	in.first[3] = 7;
	lines_head_encode(&in, raw);
	cr_assert(lines_head_decode(&out, raw));
	cr_expect_eq(out.lines, 7);
	cr_expect_eq(out.next.skip, 3);
	cr_expect_eq(out.next.style.attrs, 3);
	cr_expect_eq(out.first[3], 7);
	in.first[3] = 8; /* a line that there is not */
	lines_head_encode(&in, raw);
	cr_expect_not(lines_head_decode(&out, raw));
}

Test(lineindex, a_mark_belongs_to_its_place)
{
	const struct line_place in = { .frame = 99, .skip = FRAME_PAYLOAD_MAX };
	uint8_t raw[LINES_MARK_LEN] = { 0 };
	struct line_place out;

	cr_expect_not(lines_mark_decode(&out, 0, raw));
	lines_mark_encode(&in, 5, raw);
	cr_expect(lines_mark_decode(&out, 5, raw));
	cr_expect_not(lines_mark_decode(&out, 6, raw));
	lines_mark_encode(&(struct line_place){ .frame = 99,
						.skip = FRAME_PAYLOAD_MAX + 1 },
			  5, raw);
	cr_expect_not(lines_mark_decode(&out, 5, raw));
}
