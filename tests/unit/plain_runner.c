/*
 * Runs the tests without libcriterion, which cannot work under ThreadSanitizer (it maps
 * memory at places that the sanitizer owns). The macros stay Criterion's: they leave the
 * tests in a section, and call the functions below. One process per test, with a time
 * limit; the last line is of the same form as Criterion's.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIME_LIMIT 180
#define EXIT_FAILED 1
#define EXIT_SKIPPED 77

extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak));
extern struct criterion_suite *__stop_cr_sts[] __attribute__((weak));

struct criterion_options criterion_options;

static struct criterion_test *current;
static bool failed;

static const struct criterion_test_extra_data *
suite_of(const struct criterion_test *t)
{
	for (struct criterion_suite **s = __start_cr_sts; s < __stop_cr_sts; s++)
		if (*s && strcmp((*s)->name, t->category) == 0)
			return (*s)->data;
	return NULL;
}

/* What the macros call. */

int cr_asprintf(char **out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void criterion_skip_test(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

void
criterion_internal_test_setup(void)
{
	const struct criterion_test_extra_data *suite = suite_of(current);

	if (suite && suite->init)
		suite->init();
	if (current->data->init)
		current->data->init();
}

void
criterion_internal_test_main(void (*fn)(void))
{
	fn();
}

void
criterion_internal_test_teardown(void)
{
	const struct criterion_test_extra_data *suite = suite_of(current);

	if (current->data->fini)
		current->data->fini();
	if (suite && suite->fini)
		suite->fini();
}

void
criterion_send_assert(struct criterion_assert_stats *stats)
{
	if (stats->passed)
		return;
	failed = true;
	fprintf(stderr, "[----] %s:%u: Assertion Failed\n[----]   %s\n", stats->file,
		stats->line, stats->message ? stats->message : "");
}

void
criterion_abort_test(void)
{
	exit(EXIT_FAILED);
}

void
criterion_continue_test(void)
{
}

void
cri_asserts_passed_incr(void)
{
}

void
criterion_skip_test(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "[SKIP] %s::%s: ", current->category, current->name);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(EXIT_SKIPPED);
}

int
cr_asprintf(char **out, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(out, format, ap);
	va_end(ap);
	return n;
}

void
cr_asprintf_free(char *text)
{
	free(text);
}

char *
cr_translate_assert_msg(int index, ...)
{
	va_list ap;
	const char *text;

	va_start(ap, index);
	text = index == CRITERION_ASSERT_MSG_FAIL ? "failed" : va_arg(ap, const char *);
	va_end(ap);
	return strdup(text);
}

/* The runner. */

static void __attribute__((noreturn))
test_run(struct criterion_test *t)
{
	current = t;
	setpgid(0, 0);
	alarm(t->data->timeout > 0 ? (unsigned)t->data->timeout + 1 : TIME_LIMIT);
	t->test();
	exit(failed ? EXIT_FAILED : 0);
}

static bool
test_passed(const struct criterion_test *t, int status)
{
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == t->data->signal;
	return WEXITSTATUS(status) == EXIT_SKIPPED ||
	       (WEXITSTATUS(status) == t->data->exit_code && !t->data->signal);
}

int
main(int argc, char **argv)
{
	unsigned tested = 0, passing = 0, crashing = 0;

	for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst; t++) {
		int status = 0;
		pid_t pid;

		if (!*t || (argc > 1 && !strstr((*t)->data->identifier_, argv[1])))
			continue;
		pid = fork();
		if (pid == 0)
			test_run(*t);
		if (pid < 0 || waitpid(pid, &status, 0) != pid) {
			perror("fork");
			return EXIT_FAILED;
		}
		/* What it left running; a test that failed may not have tidied up. */
		kill(-pid, SIGKILL);
		tested++;
		if (test_passed(*t, status)) {
			passing++;
			continue;
		}
		crashing += WIFSIGNALED(status);
		fprintf(stderr, "[FAIL] %s::%s%s\n", (*t)->category, (*t)->name,
			WIFSIGNALED(status) ? ": CRASH!" : "");
	}
	fprintf(stderr,
		"[====] Synthesis: Tested: %u | Passing: %u | Failing: %u | Crashing: %u\n",
		tested, passing, tested - passing, crashing);
	return passing == tested && tested ? 0 : EXIT_FAILED;
}
