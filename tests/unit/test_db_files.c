#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "db_fixture.h"

TestSuite(db_files, .init = make_dir, .fini = remove_dir, .timeout = 60);
TestSuite(db_files_open, .init = setup, .fini = teardown, .timeout = 60);

static void
on_each_data_fd(void (*fn)(int fd))
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *de;
	char target[PATH_MAX];

	cr_assert_not_null(d);
	while ((de = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), de->d_name, target,
				       sizeof(target) - 1);

		if (n <= 0)
			continue;
		target[n] = '\0';
		if (strncmp(target, dir, strlen(dir)) == 0)
			fn(atoi(de->d_name));
	}
	closedir(d);
}

/*
 * What must end the daemon.
 */

/* In a child, so that the test can tidy up. */
static bool
aborts(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		open_sized(MAP);
		fn();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void
put_too_long_key(void)
{
	char key[DB_KEY_MAX + 1] = {0};

	db_begin(db, 0);
	db_put(db, DB_SPEC, key, sizeof(key), "", 0);
}

static void
put_empty_key(void)
{
	db_begin(db, 0);
	db_put(db, DB_SPEC, "", 0, "", 0);
}

static void
put_outside_of_a_unit(void)
{
	put("k", "v");
}

static void
begin_twice(void)
{
	db_begin(db, 0);
	db_begin(db, 0);
}

static void
end_the_turn_inside_a_unit(void)
{
	db_begin(db, 0);
	loop_post(loop, on_nothing, NULL);
	loop_run(loop);
}

Test(db_files, aborts_on_misuse)
{
	cr_expect(aborts(put_too_long_key));
	cr_expect(aborts(put_empty_key));
	cr_expect(aborts(put_outside_of_a_unit));
	cr_expect(aborts(begin_twice));
	cr_expect(aborts(end_the_turn_inside_a_unit));
}

static int null_fd;

static void
replace_by_null(int fd)
{
	dup2(null_fd, fd);
}

static void
commit_to_nowhere(void)
{
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	on_each_data_fd(replace_by_null);
	commit("k", "v");
}

Test(db_files, aborts_when_a_commit_fails)
{
	cr_expect(aborts(commit_to_nowhere));
}

/*
 * Opening, closing.
 */

Test(db_files_open, keeps_its_content_and_name)
{
	char name[32];

	cr_assert_eq(strlen(db_instance(db)), 16);
	cr_assert_eq(strspn(db_instance(db), "0123456789abcdef"), 16);
	strcpy(name, db_instance(db));
	commit("k", "v");
	reopen();
	cr_expect(has_value("k", "v"));
	cr_expect_str_eq(db_instance(db), name);
}

Test(db_files_open, commits_and_calls_back_when_closed)
{
	struct outcome out = {0};
	struct chain chain = {.left = 3};

	db_begin(db, 0);
	put("k", "v");
	db_end(db, on_done, &out);
	on_done_again(&chain, NULL);
	reopen();
	cr_expect(out.done);
	cr_expect(has("k") && has("chain2") && has("chain0"));
}

static void
on_done_look_at_second(void *arg, const struct err *e)
{
	*(bool *)arg = has("second");
}

static void
on_done_put_second(void *arg, const struct err *e)
{
	cr_assert_not(has("second"));
	db_begin(db, 0);
	put("second", "v");
	db_end(db, on_done_look_at_second, arg);
}

Test(db_files_open, shows_each_callback_its_own_unit_although_an_older_one_was_reading)
{
	bool seen = false;

	db_begin(db, 0);
	put("first", "v");
	db_end(db, on_done_put_second, &seen);
	reopen();
	cr_expect(seen);
}

Test(db_files, is_opened_by_one_process)
{
	int go[2], status;
	char byte = 0;
	pid_t pid;

	cr_assert_eq(pipe(go), 0);
	pid = fork();
	if (pid == 0)
		_exit(read(go[0], &byte, 1) == 1 ? (int)try_open() : 255);
	open_sized(MAP);
	cr_assert_eq(write(go[1], &byte, 1), 1);
	waitpid(pid, &status, 0);
	cr_expect_eq(WEXITSTATUS(status), ERR_CONFLICT);
	cr_expect_eq(try_open(), ERR_CONFLICT);
	cr_expect_not_null(strstr(err.msg, "another slipwayd"), "%s", err.msg);
	close_db();
	cr_expect_eq(try_open(), ERR_NONE);
}

static enum err_code
reopen_with_schema(const void *schema, size_t len)
{
	db_begin(db, 0);
	db_put(db, DB_META, "schema", 6, schema, len);
	cr_assert_eq(end_and_wait(), ERR_NONE);
	close_db();
	return try_open();
}

Test(db_files, refuses_a_newer_schema)
{
	open_sized(MAP);
	cr_expect_eq(reopen_with_schema("\2\0\0\0", 4), ERR_INVALID);
	cr_expect_not_null(strstr(err.msg, "newer slipwayd"), "%s", err.msg);
}

Test(db_files, refuses_a_damaged_schema_record)
{
	open_sized(MAP);
	cr_expect_eq(reopen_with_schema("\1\0\0", 3), ERR_CORRUPT);
}

Test(db_files, refuses_a_path_that_is_no_directory)
{
	close(open(strcat(dir, "/file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	cr_expect_neq(try_open(), ERR_NONE);
	*strrchr(dir, '/') = '\0';
}

Test(db_files, refuses_a_file_that_is_no_database)
{
	cleanup_free char *path = xasprintf("%s/data.mdb", dir);
	char junk[8192];

	memset(junk, 'x', sizeof(junk));
	cr_assert_eq(fs_write_atomic(path, junk, sizeof(junk), 0600, &err), 0);
	cr_expect_eq(try_open(), ERR_CORRUPT);
}

static void
expect_private(int fd)
{
	struct stat st;

	cr_expect(fcntl(fd, F_GETFD) & FD_CLOEXEC, "fd %d", fd);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0600, "fd %d", fd);
}

Test(db_files, keeps_its_files_to_itself)
{
	struct stat st;

	umask(0);
	strcat(dir, "/db");
	open_sized(MAP);
	cr_assert_eq(stat(dir, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0700);
	on_each_data_fd(expect_private);
	close_db();
	*strrchr(dir, '/') = '\0';
}

Test(db_files_open, copies_itself)
{
	cleanup_free char *copy = xasprintf("%s/copy", dir);
	cleanup_free char *name = xstrdup(db_instance(db));

	commit("k", "v");
	cr_assert_eq(db_copy(db, copy, &err), 0, "%s", err.msg);
	cr_expect_neq(db_copy(db, copy, &err), 0);
	close_db();
	strcat(dir, "/copy");
	open_sized(MAP);
	cr_expect(has_value("k", "v"));
	cr_expect_str_eq(db_instance(db), name);
	*strrchr(dir, '/') = '\0';
}

/*
 * kill -9.
 */

struct ack {
	uint64_t n;
	int fd;
};

static void
commit_next(struct ack *ack);

static void
on_acknowledge(void *arg, const struct err *e)
{
	struct ack *ack = arg;

	if (e || write(ack->fd, &ack->n, sizeof(ack->n)) != sizeof(ack->n))
		_exit(1);
	ack->n += 8;
	commit_next(ack);
}

static char large[256 << 10];

static void
commit_next(struct ack *ack)
{
	db_begin(db, DB_ADMISSION);
	db_put(db, DB_JOB, &ack->n, sizeof(ack->n), &ack->n, sizeof(ack->n));
	db_put(db, DB_SPEC, &ack->n, sizeof(ack->n), &ack->n, sizeof(ack->n));
	/* So that the journal goes round. */
	db_put(db, DB_META, "large", 5, large, sizeof(large) / (1 + ack->n % 9));
	db_end(db, on_acknowledge, ack);
}

static void
commit_until_killed(int fd, uint64_t first)
{
	struct ack acks[8];

	/* In most rounds LMDB is written all the time, in some at the very end. */
	apply_ms = first >> 32 & 3 ? 1 : 0;
	open_sized(MAP);
	for (unsigned i = 0; i < 8; i++) {
		acks[i] = (struct ack){.n = first + i, .fd = fd};
		commit_next(&acks[i]);
	}
	loop_run(loop);
	_exit(1);
}

static void
expect_number(uint64_t n)
{
	struct db_val v;

	cr_assert_eq(db_get(db, DB_JOB, &n, sizeof(n), &v, &err), 1);
	cr_assert(v.len == sizeof(n) && memcmp(v.data, &n, sizeof(n)) == 0);
	cr_assert_eq(db_get(db, DB_SPEC, &n, sizeof(n), &v, &err), 1);
}

#define ROUNDS 8
Test(db_files, keeps_what_was_acknowledged_before_a_kill)
{
	static uint64_t acked[100000];
	size_t count = 0, aim = 0;

	for (unsigned round = 0; round < ROUNDS; round++) {
		int fds[2];
		pid_t pid;

		cr_assert_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0)
			commit_until_killed(fds[1], (uint64_t)round << 32);
		close(fds[1]);
		aim += 20 + 37 * round;
		while (count < ARRAY_LEN(acked) &&
		       read(fds[0], &acked[count], 8) == 8)
			if (++count == aim)
				kill(pid, SIGKILL);
		close(fds[0]);
		waitpid(pid, NULL, 0);
		cr_assert_geq(count, aim);
		aim = count;
	}
	open_sized(MAP);
	for (size_t i = 0; i < count; i++)
		expect_number(acked[i]);
	close_db();
}
