#include "../../src/cli/spawn.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "slipway/clock.h"
#include "slipway/mem.h"

static int
sh(const char *script, bool with_errors, int timeout_ms, struct strbuf *out)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	const struct spawn_opts o = { .argv = argv, .timeout_ms = timeout_ms,
				      .with_errors = with_errors };

	return spawn_read(&o, out);
}

Test(spawn, gives_output_and_exit_code)
{
	cleanup_strbuf struct strbuf out = { 0 };

	cr_expect_eq(sh("echo out; echo err >&2; cat; exit 3", false, 5000, &out), 3);
	cr_expect_str_eq(strbuf_str(&out), "out\n");
	strbuf_reset(&out);
	cr_expect_eq(sh("echo err >&2", true, 5000, &out), 0);
	cr_expect_str_eq(strbuf_str(&out), "err\n");
}

Test(spawn, ends_what_takes_too_long)
{
	cleanup_strbuf struct strbuf out = { 0 };
	int64_t before = clock_mono_ms();

	cr_expect_eq(sh("echo first; exec sleep 60", false, 300, &out), -1);
	cr_expect_str_eq(strbuf_str(&out), "first\n");
	cr_expect_lt(clock_mono_ms() - before, 30000);
}

Test(spawn, tells_death_by_a_signal)
{
	cleanup_strbuf struct strbuf out = { 0 };

	cr_expect_eq(sh("kill -9 $$", false, 5000, &out), -1);
}

Test(spawn, keeps_no_more_than_its_limit)
{
	cleanup_strbuf struct strbuf out = { 0 };

	cr_expect_eq(sh("head -c 300000 /dev/zero", false, 5000, &out), 0);
	cr_expect_leq(out.len, SPAWN_OUTPUT_MAX);
	cr_expect_gt(out.len, 4096);
}

Test(spawn, a_program_that_is_not_there)
{
	const char *const argv[] = { "no-such-program", NULL };
	const struct spawn_opts o = { .argv = argv, .timeout_ms = 1000 };
	cleanup_strbuf struct strbuf out = { 0 };
	cleanup_free char *found = spawn_find("sh"), *none = spawn_find(argv[0]);

	cr_expect_eq(spawn_read(&o, &out), -1);
	cr_expect_null(none);
	cr_assert_not_null(found);
	cr_expect_eq(access(found, X_OK), 0);
}
