#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/worker_task.h"

static char url[] = "https://h/x", commit[] = "main", branch[] = "", mirrors[] = "/m",
	    dest[] = "/d", host[] = "h", root1[] = "/srv", root2[] = "/home",
	    match[] = "h/*", user[] = "u", token[] = "secret-token", key[] = "",
	    known[] = "h ssh-rsa AAAA\n";
static char *hosts[] = { host }, *roots[] = { root1, root2 };
static struct worker_credential credential = { match, user, token, key, known };

static struct worker_fetch
sample(void)
{
	return (struct worker_fetch){ .url = url, .commit = commit, .branch = branch,
				      .mirrors = mirrors, .dest = dest, .depth = 1,
				      .submodules = true, .max_bytes = 1ull << 40,
				      .max_objects = 7, .hosts = { hosts, 1 },
				      .roots = { roots, 2 },
				      .credentials = &credential, .ncredentials = 1 };
}

static struct wire_w
encoded(const struct worker_fetch *t)
{
	struct wire_w w = { 0 };
	struct err e = { 0 };

	cr_assert_eq(worker_fetch_encode(t, &w, &e), 0, "%s", e.msg);
	return w;
}

Test(worker_task, fetch_survives_the_trip)
{
	struct worker_fetch in = sample(), out;
	struct wire_w w = encoded(&in);
	struct err e = { 0 };

	cr_assert_eq(worker_fetch_decode(w.data, w.len, &out, &e), 0, "%s", e.msg);
	cr_expect_str_eq(out.url, url);
	cr_expect_str_eq(out.commit, commit);
	cr_expect_str_eq(out.branch, branch);
	cr_expect_str_eq(out.mirrors, mirrors);
	cr_expect_str_eq(out.dest, dest);
	cr_expect_eq(out.depth, 1);
	cr_expect(out.submodules);
	cr_expect_eq(out.max_bytes, 1ull << 40);
	cr_expect_eq(out.max_objects, 7);
	cr_assert_eq(out.roots.n, 2);
	cr_expect_str_eq(out.roots.v[1], root2);
	cr_assert_eq(out.hosts.n, 1);
	cr_assert_eq(out.ncredentials, 1);
	cr_expect_str_eq(out.credentials[0].token, token);
	cr_expect_str_eq(out.credentials[0].known_hosts, known);
	worker_fetch_free(&out);
	wire_w_free(&w);
}

Test(worker_task, every_truncation_and_extension_is_refused)
{
	struct worker_fetch in = sample(), out;
	struct wire_w w = encoded(&in);
	struct err e = { 0 };

	for (size_t n = 0; n < w.len; n++)
		cr_assert_eq(worker_fetch_decode(w.data, n, &out, &e), -1, "%zu", n);
	cr_assert_eq(e.code, ERR_PROTOCOL);
	wire_w_u8(&w, 0);
	cr_assert_eq(worker_fetch_decode(w.data, w.len, &out, &e), -1);
	wire_w_free(&w);
}

Test(worker_task, mutated_bytes_never_crash)
{
	struct worker_fetch in = sample(), out;
	struct wire_w w = encoded(&in);
	struct err e = { 0 };

	for (size_t i = 0; i < w.len; i++)
		for (unsigned v = 0; v < 256; v += 51) {
			uint8_t old = w.data[i];

			w.data[i] = (uint8_t)v;
			if (!worker_fetch_decode(w.data, w.len, &out, &e))
				worker_fetch_free(&out);
			w.data[i] = old;
		}
	wire_w_free(&w);
}

Test(worker_task, another_version_or_depth_is_refused)
{
	struct worker_fetch in = sample(), out;
	struct err e = { 0 };
	struct wire_w w = encoded(&in);

	w.data[0]++;
	cr_assert_eq(worker_fetch_decode(w.data, w.len, &out, &e), -1);
	wire_w_free(&w);
	in.depth = 2;
	w = encoded(&in);
	cr_assert_eq(worker_fetch_decode(w.data, w.len, &out, &e), -1);
	wire_w_free(&w);
}

Test(worker_task, size_is_limited)
{
	struct worker_fetch in = sample();
	struct wire_w w = { 0 };
	struct err e = { 0 };
	char *big = malloc(WORKER_TASK_MAX + 1);

	memset(big, 'k', WORKER_TASK_MAX);
	big[WORKER_TASK_MAX] = '\0';
	credential.ssh_key = big;
	cr_assert_eq(worker_fetch_encode(&in, &w, &e), -1);
	cr_assert_eq(e.code, ERR_TOO_LARGE);
	wire_w_free(&w);
	big[WORKER_TASK_MAX - 1000] = '\0';
	w = encoded(&in);
	cr_assert_leq(w.len, WORKER_TASK_MAX);
	wire_w_free(&w);
	free(big);
}

Test(worker_task, frames_are_cut_out_of_a_stream)
{
	struct wire_w w = { 0 };
	struct worker_frame f;
	size_t used;

	worker_frame_write(&w, WORKER_NOTE, "hello", 5);
	worker_frame_write(&w, WORKER_RESULT, "", 0);
	for (size_t n = 0; n < WORKER_FRAME_HEAD + 5; n++)
		cr_assert_eq(worker_frame_next(w.data, n, &f, &used), 0);
	cr_assert_eq(worker_frame_next(w.data, w.len, &f, &used), 1);
	cr_assert_eq(f.type, WORKER_NOTE);
	cr_assert_eq(f.len, 5);
	cr_assert_eq(memcmp(f.data, "hello", 5), 0);
	cr_assert_eq(used, WORKER_FRAME_HEAD + 5);
	cr_assert_eq(worker_frame_next(w.data + used, w.len - used, &f, &used), 1);
	cr_assert_eq(f.type, WORKER_RESULT);
	cr_assert_eq(f.len, 0);
	wire_w_free(&w);
}

Test(worker_task, bad_frames_are_refused)
{
	uint8_t head[WORKER_FRAME_HEAD] = { 0 };
	struct worker_frame f;
	size_t used;

	head[4] = WORKER_NOTE;
	head[1] = WORKER_FRAME_MAX >> 8;
	cr_assert_eq(worker_frame_next(head, sizeof(head), &f, &used), 0);
	head[0] = 1;
	cr_assert_eq(worker_frame_next(head, sizeof(head), &f, &used), -1);
	head[0] = head[1] = 0;
	head[4] = 0;
	cr_assert_eq(worker_frame_next(head, sizeof(head), &f, &used), -1);
	head[4] = WORKER_RESULT + 1;
	cr_assert_eq(worker_frame_next(head, sizeof(head), &f, &used), -1);
}

Test(worker_task, errors_survive_and_are_cleaned)
{
	struct wire_w w = { 0 };
	struct err in = { .code = ERR_DENIED, .sys = 13 }, out;

	strcpy(in.msg, "no\nway\x1b[31m");
	worker_error_encode(&in, &w);
	worker_error_decode(w.data, w.len, &out);
	cr_assert_eq(out.code, ERR_DENIED);
	cr_assert_eq(out.sys, 13);
	cr_assert_str_eq(out.msg, "no way [31m");
	w.data[0] = ERR_CODES;
	worker_error_decode(w.data, w.len, &out);
	cr_assert_eq(out.code, ERR_PROTOCOL);
	w.data[0] = ERR_NONE;
	worker_error_decode(w.data, w.len, &out);
	cr_assert_eq(out.code, ERR_PROTOCOL);
	worker_error_decode(w.data, 3, &out);
	cr_assert_eq(out.code, ERR_PROTOCOL);
	wire_w_free(&w);
}

Test(worker_task, result_is_forty_lower_case_digits)
{
	char sha[WORKER_SHA_LEN + 1];
	const char *good = "0123456789abcdef0123456789abcdef01234567";

	cr_assert(worker_result_decode(good, 40, sha));
	cr_assert_str_eq(sha, good);
	cr_assert_not(worker_result_decode(good, 39, sha));
	cr_assert_not(worker_result_decode(
		"0123456789ABCDEF0123456789abcdef01234567", 40, sha));
	cr_assert_not(worker_result_decode(
		"0123456789abcdef0123456789abcdef0123456/", 40, sha));
}

Test(worker_task, notes_become_one_printable_line)
{
	char out[8];

	worker_note_clean("a\tb\r\n", 5, out, sizeof(out));
	cr_assert_str_eq(out, "a b");
	worker_note_clean("1234567890", 10, out, sizeof(out));
	cr_assert_str_eq(out, "1234567");
	worker_note_clean("123456\xc3\xa4", 8, out, sizeof(out));
	cr_assert_str_eq(out, "123456", "no half character at the end");
	worker_note_clean("\xff", 1, out, sizeof(out));
	cr_assert_str_eq(out, "\xef\xbf\xbd");
	worker_note_clean("", 0, out, sizeof(out));
	cr_assert_str_eq(out, "");
}

Test(worker_task, spawn_messages_survive)
{
	struct worker_spawn in = { 1ull << 33, 5 }, out;
	struct wire_w w = { 0 }, a = { 0 };
	int error = 0;

	worker_spawn_encode(&in, &w);
	cr_assert_leq(w.len, WORKER_SPAWN_MAX);
	cr_assert(worker_spawn_decode(w.data, w.len, &out));
	cr_assert_eq(out.memory, in.memory);
	cr_assert_eq(out.file_size, in.file_size);
	cr_assert_not(worker_spawn_decode(w.data, w.len - 1, &out));
	worker_spawned_encode(11, &a);
	cr_assert(worker_spawned_decode(a.data, a.len, &error));
	cr_assert_eq(error, 11);
	cr_assert_not(worker_spawned_decode(a.data, a.len - 1, &error));
	wire_w_free(&w);
	wire_w_free(&a);
}
