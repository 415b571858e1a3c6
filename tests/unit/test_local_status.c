#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/local_status.h"
#include "slipway/clock.h"
#include "slipway/mem.h"

static char status_dir[64];

static void
make_dir(void)
{
	strcpy(status_dir, "/tmp/slipway-status-XXXXXX");
	cr_assert_not_null(mkdtemp(status_dir));
}

static void
remove_dir(void)
{
	local_status_remove(status_dir);
	rmdir(status_dir);
}

static bool
parse(struct local_status *st, const char *text)
{
	return local_status_parse(st, text, strlen(text));
}

Test(local_status, a_whole_life_is_read)
{
	struct local_status st;

	cr_assert(parse(&st, "{\"boot-id\": \"abc\"}\n"
			     "{ \"child-pid\": 8879, \"cgroup-namespace\": 4026532553, "
			     "\"pid-namespace\": 4026532552 }\n"
			     "{\"cancel-sent\": true}\n"
			     "{ \"exit-code\": 42 }\n"));
	cr_assert_str_eq(st.boot_id, "abc");
	cr_assert_eq(st.child, 8879);
	cr_assert_eq(st.pid_ns, 4026532552u);
	cr_assert(st.cancel_sent);
	cr_assert(st.has_exit);
	cr_assert_eq(st.exit_code, 42);
}

Test(local_status, nothing_is_read_from_nothing)
{
	struct local_status st;

	cr_assert(parse(&st, ""));
	cr_assert_eq(st.child, 0);
	cr_assert_not(st.has_exit);
}

Test(local_status, a_torn_last_line_is_not_believed)
{
	struct local_status st;

	cr_assert(parse(&st, "{\"child-pid\": 7, \"pid-namespace\": 9}\n"
			     "{\"exit-code\": 0}"));
	cr_assert_eq(st.child, 7);
	cr_assert_not(st.has_exit);
}

Test(local_status, the_first_exit_code_and_the_first_child_count)
{
	struct local_status st;

	cr_assert(parse(&st, "{\"child-pid\": 7, \"pid-namespace\": 9}\n"
			     "{\"child-pid\": 8, \"pid-namespace\": 10}\n"
			     "{\"exit-code\": 3}\n{\"exit-code\": 0}\n"));
	cr_assert_eq(st.child, 7);
	cr_assert_eq(st.pid_ns, 9);
	cr_assert_eq(st.exit_code, 3);
}

Test(local_status, numbers_are_taken_at_their_limits_and_not_beyond)
{
	struct local_status st;

	cr_assert(parse(&st, "{\"exit-code\": 255}\n"));
	cr_assert_not(parse(&st, "{\"exit-code\": 256}\n"));
	cr_assert_not(st.has_exit);
	cr_assert_not(parse(&st, "{\"exit-code\": -1}\n"));
	cr_assert(parse(&st, "{\"child-pid\": 2147483647}\n"));
	cr_assert_not(parse(&st, "{\"child-pid\": 2147483648}\n"));
	cr_assert_not(parse(&st, "{\"child-pid\": 99999999999999999999}\n"));
	cr_assert_eq(st.child, 0);
}

Test(local_status, lines_that_are_no_objects_are_damage)
{
	static const char *const damaged[] = {
		"hello\n",	     "[1]\n",
		"{}{}\n",	     "{\"exit-code\": \"0\"}\n",
		"{\"exit-code\": 1", "{\"exit-code\": 1.0}\n",
		"\n",		     "{\"boot-id\": 7}\n",
		"{\"cancel-sent\": 1}\n",
	};
	struct local_status st;

	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		bool torn = !strchr(damaged[i], '\n');

		cr_assert_eq(parse(&st, damaged[i]), torn, "%s", damaged[i]);
		cr_assert_not(st.has_exit, "%s", damaged[i]);
	}
	cr_assert_not(local_status_parse(&st, "{}\0\n", 4));
}

Test(local_status, the_size_limit_holds)
{
	cleanup_free char *text = xmalloc(LOCAL_STATUS_MAX + 1);
	struct local_status st;

	memset(text, ' ', LOCAL_STATUS_MAX + 1);
	cr_assert(local_status_parse(&st, text, LOCAL_STATUS_MAX));
	cr_assert_not(local_status_parse(&st, text, LOCAL_STATUS_MAX + 1));
}

Test(local_status, creating_twice_is_a_conflict, .init = make_dir, .fini = remove_dir)
{
	struct err e = { 0 };
	int fd = local_status_create(status_dir, &e);

	cr_assert_geq(fd, 0, "%s", e.msg);
	cr_assert_eq(local_status_create(status_dir, &e), -1);
	cr_assert_eq(e.code, ERR_CONFLICT);
	close(fd);
}

Test(local_status, a_missing_file_is_told_apart, .init = make_dir, .fini = remove_dir)
{
	struct err e = { 0 };

	cr_assert_eq(local_status_open(status_dir, &e), -1);
	cr_assert_eq(e.code, ERR_NOT_FOUND);
}

Test(local_status, a_link_is_not_followed, .init = make_dir, .fini = remove_dir)
{
	cleanup_free char *path = xasprintf("%s/status", status_dir);
	struct err e = { 0 };

	cr_assert_eq(symlink("/etc/passwd", path), 0);
	cr_assert_eq(local_status_open(status_dir, &e), -1);
	cr_assert_eq(e.code, ERR_SYSTEM);
}

Test(local_status, the_lock_is_held_until_the_last_copy_is_closed, .init = make_dir,
     .fini = remove_dir)
{
	struct local_status st;
	struct err e = { 0 };
	int fd = local_status_create(status_dir, &e);
	int copy = dup(fd);
	int reader = local_status_open(status_dir, &e);

	cr_assert_geq(reader, 0, "%s", e.msg);
	cr_assert(local_status_is_held(reader));
	close(fd);
	cr_assert(local_status_is_held(reader));
	cr_assert_eq(local_status_read(reader, &st, &e), 0, "%s", e.msg);
	cr_assert_str_eq(st.boot_id, clock_boot_id());
	close(copy);
	cr_assert_not(local_status_is_held(reader));
	close(reader);
}

Test(local_status, notes_of_the_daemon_are_read_back, .init = make_dir,
     .fini = remove_dir)
{
	struct local_status st;
	struct err e = { 0 };
	int fd = local_status_create(status_dir, &e);
	int reader = local_status_open(status_dir, &e);

	cr_assert_eq(local_status_note_child(fd, getpid(), &e), 0, "%s", e.msg);
	cr_assert_eq(local_status_note_cancel(status_dir, &e), 0, "%s", e.msg);
	cr_assert_eq(local_status_note_exit(status_dir, 9, &e), 0, "%s", e.msg);
	cr_assert_eq(local_status_read(reader, &st, &e), 0, "%s", e.msg);
	cr_assert_eq(st.child, getpid());
	cr_assert_gt(st.start_time, 0);
	cr_assert(st.cancel_sent);
	cr_assert_eq(st.exit_code, 9);
	close(fd);
	close(reader);
}

static struct local_status
status_of(pid_t pid)
{
	struct local_status st = { .child = pid };
	struct stat ns;

	cr_assert_eq(stat("/proc/self/ns/pid", &ns), 0);
	st.pid_ns = ns.st_ino;
	STR_COPY(st.boot_id, clock_boot_id());
	return st;
}

Test(local_status, a_living_child_in_its_namespace_is_found)
{
	struct local_status st = status_of(getpid());
	int fd;

	cr_assert_eq(local_status_find_child(&st, &fd), LOCAL_CHILD_LIVES);
	cr_assert_geq(fd, 0);
	close(fd);
}

Test(local_status, a_process_of_another_namespace_is_never_taken_for_the_child)
{
	struct local_status st = status_of(getpid());
	int fd;

	st.pid_ns++;
	cr_assert_eq(local_status_find_child(&st, &fd), LOCAL_CHILD_GONE);
	cr_assert_eq(fd, -1);
}

Test(local_status, a_process_that_started_at_another_time_is_not_the_child)
{
	struct local_status st = status_of(getpid());
	int fd;

	st.pid_ns = 0;
	st.start_time = 1;
	cr_assert_eq(local_status_find_child(&st, &fd), LOCAL_CHILD_GONE);
	cr_assert_eq(fd, -1);
}

Test(local_status, a_child_of_another_boot_is_gone)
{
	struct local_status st = status_of(getpid());
	int fd;

	STR_COPY(st.boot_id, "00000000-0000-0000-0000-000000000000");
	cr_assert_eq(local_status_find_child(&st, &fd), LOCAL_CHILD_GONE);
	cr_assert_eq(fd, -1);
}

Test(local_status, a_dead_child_is_gone_even_while_it_is_a_zombie)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	struct local_status st = status_of(pid);
	siginfo_t info;
	int fd;

	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	cr_assert_eq(local_status_find_child(&st, &fd), LOCAL_CHILD_GONE);
	waitpid(pid, NULL, 0);
	cr_assert_eq(local_status_find_child(&st, &fd), LOCAL_CHILD_GONE);
	cr_assert_eq(fd, -1);
}
