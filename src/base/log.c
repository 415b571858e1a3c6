#include "slipway/log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "slipway/mem.h"

#define LOG_TEXT_MAX 2048
#define LOG_LINE_MAX 4096

static const char *const subs[LOG_SUBS] = {
	[LOG_DAEMON] = "daemon", [LOG_LOOP] = "loop", [LOG_HTTP] = "http",
	[LOG_STORE] = "store",	 [LOG_CONF] = "conf", [LOG_ENGINE] = "engine",
	[LOG_SCHED] = "sched",	 [LOG_RUN] = "run",   [LOG_SPOOL] = "spool",
	[LOG_EXEC] = "exec",	 [LOG_WEB] = "web",   [LOG_WORKER] = "worker",
};

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARN] = { "warn", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

/* One word, so that level and subsystems change together: the level in the low byte,
 * above it a bit per subsystem that also gets debug. */
static atomic_uint filter = LOG_LEVEL_INFO;
#define LOG_LEVEL_BITS 8
static_assert(LOG_SUBS <= 24, "a bit per subsystem");

static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool journal;

/* JOURNAL_STREAM names the stream by inode; a redirected stderr is not it. */
static void
log_find_journal(void)
{
	const char *want = getenv("JOURNAL_STREAM");
	char have[64];
	struct stat st;

	if (!want || fstat(STDERR_FILENO, &st))
		return;
	snprintf(have, sizeof(have), "%ju:%ju", (uintmax_t)st.st_dev,
		 (uintmax_t)st.st_ino);
	journal = !strcmp(have, want);
}

void
log_set_level(enum log_level level)
{
	atomic_store(&filter, (unsigned)level);
}

static bool
log_parse_subs(const char *list, unsigned *bits)
{
	while (*list) {
		size_t n = strcspn(list, ","), i;

		for (i = 0; i < LOG_SUBS; i++)
			if (strlen(subs[i]) == n && !memcmp(subs[i], list, n))
				break;
		if (i == LOG_SUBS)
			return false;
		*bits |= 1u << (LOG_LEVEL_BITS + i);
		list += n;
		if (*list == ',' && !*++list)
			return false;
	}
	return *bits != 0;
}

static bool
log_parse_level(const char *name, unsigned *out)
{
	static const char prefix[] = "debug:";

	*out = 0;
	if (!strncmp(name, prefix, sizeof(prefix) - 1)) {
		if (!log_parse_subs(name + sizeof(prefix) - 1, out))
			return false;
		*out |= LOG_LEVEL_INFO;
		return true;
	}
	for (unsigned i = 0; i < ARRAY_LEN(levels); i++) {
		if (!strcmp(levels[i].name, name)) {
			*out = i;
			return true;
		}
	}
	return false;
}

bool
log_level_is_valid(const char *name)
{
	unsigned f;

	return log_parse_level(name, &f);
}

bool
log_set_level_name(const char *name)
{
	unsigned f;

	if (!log_parse_level(name, &f))
		return false;
	atomic_store(&filter, f);
	return true;
}

bool
log_wants(enum log_sub sub, enum log_level level)
{
	unsigned f = atomic_load_explicit(&filter, memory_order_relaxed);

	return (unsigned)level <= (f & ((1u << LOG_LEVEL_BITS) - 1)) ||
	       (f >> (LOG_LEVEL_BITS + (unsigned)sub) & 1);
}

static size_t
log_put_time(char *out, size_t size)
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &tm);
	return n +
	       (size_t)snprintf(out + n, size - n, ".%03ldZ ", ts.tv_nsec / 1000000);
}

/* Room for the longest escape and the newline stays free. */
static size_t
log_put_text(char *out, size_t n, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text;
	     *p && n < LOG_LINE_MAX - 6; p++) {
		if (*p < 0x20 || *p == 0x7f)
			n += (size_t)snprintf(out + n, 5, "\\x%02x", *p);
		else
			out[n++] = (char)*p;
	}
	return n;
}

static void __attribute__((format(printf, 3, 0)))
log_put(enum log_sub sub, enum log_level level, const char *fmt, va_list ap)
{
	char text[LOG_TEXT_MAX], line[LOG_LINE_MAX];
	int saved = errno;
	size_t n;

	pthread_once(&journal_once, log_find_journal);
	vsnprintf(text, sizeof(text), fmt, ap);
	if (journal) {
		n = (size_t)snprintf(line, 128, "<%d>%s: ", levels[level].priority,
				     subs[sub]);
	} else {
		n = log_put_time(line, 64);
		n += (size_t)snprintf(line + n, 64, "%-5s %s: ", levels[level].name,
				      subs[sub]);
	}
	n = log_put_text(line, n, text);
	line[n++] = '\n';
	while (write(STDERR_FILENO, line, n) < 0 && errno == EINTR)
		;
	errno = saved;
}

void
log_write(enum log_sub sub, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (!log_wants(sub, level))
		return;
	va_start(ap, fmt);
	log_put(sub, level, fmt, ap);
	va_end(ap);
}

void
log_fatal(enum log_sub sub, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_put(sub, LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
	abort();
}
