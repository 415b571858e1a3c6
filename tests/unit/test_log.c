#include <criterion/criterion.h>
#include <errno.h>
#include <regex.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/log.h"

static int pipe_fds[2];

static void
catch_stderr(void)
{
	unsetenv("JOURNAL_STREAM");
	cr_assert_eq(pipe(pipe_fds), 0);
	cr_assert_eq(dup2(pipe_fds[1], STDERR_FILENO), STDERR_FILENO);
}

static const char *
caught(void)
{
	static char buf[65536];
	ssize_t n;

	/* Something to read, always: no hang when nothing was logged. */
	cr_assert_eq(write(pipe_fds[1], "$", 1), 1);
	n = read(pipe_fds[0], buf, sizeof(buf) - 1);
	cr_assert_gt(n, 0);
	buf[n - 1] = '\0';
	return buf;
}

static void
assert_matches(const char *text, const char *pattern)
{
	regex_t re;

	cr_assert_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	cr_assert_eq(regexec(&re, text, 0, NULL, 0), 0, "%s", text);
	regfree(&re);
}

#define STAMP "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z"

Test(log, a_line_has_time_level_subsystem_and_text, .init = catch_stderr)
{
	log_info(LOG_RUN, "job=%s text", "j1");
	assert_matches(caught(), "^" STAMP " info  run: job=j1 text\n$");
	log_error(LOG_STORE, "x");
	assert_matches(caught(), "^" STAMP " error store: x\n$");
}

Test(log, under_journald_lines_have_a_priority_and_no_time, .init = catch_stderr)
{
	char stream[64];
	struct stat st;

	cr_assert_eq(fstat(STDERR_FILENO, &st), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", stream, 1);
	log_info(LOG_RUN, "a");
	log_warn(LOG_EXEC, "b");
	log_error(LOG_LOOP, "c");
	cr_assert_str_eq(caught(), "<6>run: a\n<4>exec: b\n<3>loop: c\n");
}

Test(log, another_stream_than_stderr_is_not_journald, .init = catch_stderr)
{
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_info(LOG_RUN, "a");
	assert_matches(caught(), "^" STAMP " info  run: a\n$");
}

Test(log, control_bytes_are_escaped_and_utf8_is_kept, .init = catch_stderr)
{
	log_info(LOG_RUN, "a\nb\x1b\x7f\t\xc3\xa4");
	assert_matches(caught(), "run: a\\\\x0ab\\\\x1b\\\\x7f\\\\x09\xc3\xa4\n$");
}

Test(log, an_overlong_text_is_one_bounded_line, .init = catch_stderr)
{
	static char text[10000];
	const char *line;

	memset(text, '\n', sizeof(text) - 1);
	log_info(LOG_RUN, "%s", text);
	line = caught();
	cr_assert_leq(strlen(line), 4096);
	cr_assert_gt(strlen(line), 4000);
	cr_assert_eq(strchr(line, '\n') - line, (ptrdiff_t)strlen(line) - 1);
}

Test(log, levels_filter, .init = catch_stderr)
{
	log_debug(LOG_RUN, "hidden");
	log_set_level(LOG_LEVEL_WARN);
	log_info(LOG_RUN, "hidden");
	cr_assert_str_eq(caught(), "");
	cr_assert(log_wants(LOG_RUN, LOG_LEVEL_WARN));
	cr_assert_not(log_wants(LOG_RUN, LOG_LEVEL_INFO));
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug(LOG_RUN, "shown");
	assert_matches(caught(), "debug run: shown\n$");
}

Test(log, debug_of_some_subsystems_only)
{
	cr_assert(log_set_level_name("debug:run,store"));
	cr_assert(log_wants(LOG_RUN, LOG_LEVEL_DEBUG));
	cr_assert(log_wants(LOG_STORE, LOG_LEVEL_DEBUG));
	cr_assert_not(log_wants(LOG_HTTP, LOG_LEVEL_DEBUG));
	cr_assert(log_wants(LOG_HTTP, LOG_LEVEL_INFO));
	cr_assert(log_set_level_name("error"));
	cr_assert_not(log_wants(LOG_RUN, LOG_LEVEL_WARN));
}

Test(log, unknown_level_names_change_nothing)
{
	static const char *const bad[] = {
		"", "loud", "debug:", "Info", "debug:nope", "debug:run,", "info:run"
	};

	log_set_level(LOG_LEVEL_WARN);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		cr_assert_not(log_set_level_name(bad[i]), "%s", bad[i]);
		cr_assert_not(log_level_is_valid(bad[i]));
	}
	cr_assert(log_level_is_valid("debug:worker"));
	cr_assert(log_wants(LOG_RUN, LOG_LEVEL_WARN));
	cr_assert_not(log_wants(LOG_RUN, LOG_LEVEL_INFO));
}

Test(log, errno_survives, .init = catch_stderr)
{
	errno = ENOTTY;
	log_info(LOG_RUN, "x");
	cr_assert_eq(errno, ENOTTY);
}

Test(log, fatal_aborts, .init = catch_stderr, .signal = SIGABRT)
{
	log_fatal(LOG_STORE, "broken");
}
