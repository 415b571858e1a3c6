#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/launch_msg.h"
#include "slipway/mem.h"

static const char *const args[] = { "/usr/bin/bwrap", "--unshare-user", "", NULL };
static const char *const env[] = { "PATH=/bin", NULL };

static struct launch_start
sample(void)
{
	return (struct launch_start){
		.id = 7,
		.deadline_ms = 1ull << 40,
		.argv = args,
		.envp = env,
		.cwd = "/workspace",
		.fds = { 2, 3, LAUNCH_MSG_FD_MAX },
		.nfds = 3,
		.limits = { { 4, 0, 0 }, { 7, 1024, UINT64_MAX } },
		.nlimits = 2,
		.has_user = true,
		.setsid = true,
		.uid = 1000,
		.gid = 1001,
		.oom_score_adj = -300,
		.group = "slipway-j1-1",
		.memory = 1ull << 33,
		.pids = 512,
		.cpu_permille = 1500,
	};
}

static struct wire_w
encoded(const struct launch_start *s)
{
	struct wire_w w;

	cr_assert(launch_start_encode(s, &w));
	return w;
}

Test(launch_msg, start_survives_the_trip)
{
	struct launch_start in = sample(), out;
	struct wire_w w = encoded(&in);

	cr_assert_eq(launch_msg_peek(w.data, w.len), LAUNCH_START);
	cr_assert(launch_start_decode(w.data, w.len, &out));
	cr_expect_eq(out.id, 7);
	cr_expect_eq(out.deadline_ms, 1ull << 40);
	for (size_t i = 0; i < 3; i++)
		cr_expect_str_eq(out.argv[i], args[i]);
	cr_expect_null(out.argv[3]);
	cr_expect_str_eq(out.envp[0], env[0]);
	cr_expect_null(out.envp[1]);
	cr_expect_str_eq(out.cwd, "/workspace");
	cr_assert_eq(out.nfds, 3);
	cr_expect_eq(out.fds[2], LAUNCH_MSG_FD_MAX);
	cr_assert_eq(out.nlimits, 2);
	cr_expect_eq(out.limits[1].hard, UINT64_MAX);
	cr_expect(out.has_user && out.setsid && !out.no_new_privs);
	cr_expect_eq(out.gid, 1001);
	cr_expect_eq(out.oom_score_adj, -300);
	cr_expect_str_eq(out.group, "slipway-j1-1");
	cr_expect_eq(out.memory, 1ull << 33);
	cr_expect_eq(out.cpu_permille, 1500);
	launch_start_free(&out);
	wire_w_free(&w);
}

Test(launch_msg, every_truncation_and_extension_is_refused)
{
	struct launch_start in = sample(), out;
	struct wire_w w = encoded(&in);

	for (size_t n = 0; n < w.len; n++)
		cr_assert_not(launch_start_decode(w.data, n, &out), "%zu", n);
	wire_w_u8(&w, 0);
	cr_assert_not(launch_start_decode(w.data, w.len, &out));
	wire_w_free(&w);
}

Test(launch_msg, mutated_bytes_never_crash)
{
	struct launch_start in = sample(), out;
	struct wire_w w = encoded(&in);

	for (size_t i = 0; i < w.len; i++)
		for (unsigned v = 0; v < 256; v += 51) {
			uint8_t old = w.data[i];

			w.data[i] = (uint8_t)v;
			if (launch_start_decode(w.data, w.len, &out))
				launch_start_free(&out);
			w.data[i] = old;
		}
	wire_w_free(&w);
}

static bool
is_taken(const struct launch_start *s)
{
	struct launch_start out;
	struct wire_w w = encoded(s);
	bool ok = launch_start_decode(w.data, w.len, &out);

	if (ok)
		launch_start_free(&out);
	wire_w_free(&w);
	return ok;
}

Test(launch_msg, numbers_are_held_to_their_limits)
{
	static const char *const none[] = { NULL };
	struct launch_start s = sample();

	cr_expect(is_taken(&s));
	s.fds[1] = LAUNCH_MSG_FD_MAX + 1;
	cr_expect_not(is_taken(&s));
	s.fds[1] = s.fds[0];
	cr_expect_not(is_taken(&s), "a number twice");
	s = sample();
	s.oom_score_adj = 1000;
	cr_expect(is_taken(&s));
	s.oom_score_adj = 1001;
	cr_expect_not(is_taken(&s));
	s = sample();
	s.argv = none;
	cr_expect_not(is_taken(&s), "no program");
	s = sample();
	STR_COPY(s.group, "../escape");
	cr_expect_not(is_taken(&s));
	s.group[0] = '\0';
	cr_expect(is_taken(&s));
}

Test(launch_msg, arguments_are_limited_in_number_and_size)
{
	static const char *many[LAUNCH_MSG_ARGS + 2];
	struct launch_start s = sample();
	char *big = calloc(1, LAUNCH_MSG_MAX + 1);
	const char *const one[] = { big, NULL };
	struct wire_w w;

	for (size_t i = 0; i < LAUNCH_MSG_ARGS; i++)
		many[i] = "x";
	s.argv = s.envp = many;
	cr_expect(is_taken(&s));
	many[LAUNCH_MSG_ARGS] = "x";
	cr_expect_not(is_taken(&s));

	s = sample();
	w = encoded(&s);
	size_t rest = w.len - strlen(args[0]) - strlen(args[1]) - 2 * 4;

	wire_w_free(&w);
	s.argv = one;
	memset(big, 'x', LAUNCH_MSG_MAX - rest);
	cr_expect(is_taken(&s));
	big[LAUNCH_MSG_MAX - rest] = 'x';
	cr_expect_not(launch_start_encode(&s, &w));
	free(big);
}

Test(launch_msg, another_version_is_no_message)
{
	struct wire_w w;

	cr_assert(launch_hello_encode(&w));
	cr_expect(launch_hello_decode(w.data, w.len));
	for (size_t i = 0; i < 6; i++) {
		w.data[i]++;
		cr_expect_eq(launch_msg_peek(w.data, w.len), 0);
		cr_expect_not(launch_hello_decode(w.data, w.len));
		w.data[i]--;
	}
	w.data[6] = LAUNCH_REMOVE + 1;
	cr_expect_eq(launch_msg_peek(w.data, w.len), 0);
	wire_w_free(&w);
}

Test(launch_msg, answers_survive_the_trip)
{
	struct launch_started good = { .id = 9, .pid = 4711 }, out;
	struct launch_started bad = {
		.id = 9, .pid = -1, .code = ERR_DENIED, .msg = "no"
	};
	struct wire_w w;

	cr_assert(launch_started_encode(&good, &w));
	cr_assert(launch_started_decode(w.data, w.len, &out));
	cr_expect(out.id == 9 && out.pid == 4711 && out.code == ERR_NONE);
	for (size_t n = 0; n < w.len; n++)
		cr_expect_not(launch_started_decode(w.data, n, &out));
	wire_w_free(&w);
	cr_assert(launch_started_encode(&bad, &w));
	cr_assert(launch_started_decode(w.data, w.len, &out));
	cr_expect(out.code == ERR_DENIED && !strcmp(out.msg, "no"));
	wire_w_free(&w);
	/* Started, and an error, too; or neither. */
	bad.pid = 1;
	cr_assert(launch_started_encode(&bad, &w));
	cr_expect_not(launch_started_decode(w.data, w.len, &out));
	wire_w_free(&w);
	good.pid = 0;
	cr_assert(launch_started_encode(&good, &w));
	cr_expect_not(launch_started_decode(w.data, w.len, &out));
	wire_w_free(&w);
	bad = (struct launch_started){ .code = ERR_CODES };
	cr_assert(launch_started_encode(&bad, &w));
	cr_expect_not(launch_started_decode(w.data, w.len, &out));
	wire_w_free(&w);
}

static bool
welcome(const char *group)
{
	char out[16];
	struct wire_w w;

	cr_assert(launch_welcome_encode(group, &w));
	bool ok = launch_welcome_decode(w.data, w.len, out, sizeof(out));

	cr_expect(!ok || !strcmp(out, group));
	wire_w_free(&w);
	return ok;
}

Test(launch_msg, welcome_names_a_directory_or_none)
{
	cr_expect(welcome(""));
	cr_expect(welcome("/sys/fs/cgroup1"));
	cr_expect_not(welcome("/sys/fs/cgroup12"));
	cr_expect_not(welcome("relative"));
}

Test(launch_msg, groups_are_names_of_ours)
{
	cr_expect(launch_group_is_valid("slipway-job-17.x_Y-1"));
	cr_expect_not(launch_group_is_valid(""));
	cr_expect_not(launch_group_is_valid("supervisor"));
	cr_expect_not(launch_group_is_valid("slipway-/.."));
	cr_expect_not(launch_group_is_valid("slipway-a b"));
}
