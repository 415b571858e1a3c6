#include "db_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "slipway/db_check.h"

TestSuite(db_check, .init = make_dir, .fini = remove_dir, .timeout = 30);

static void
close_with_schema(const void *schema, size_t len)
{
	open_sized(MAP);
	db_begin(db, 0);
	db_put(db, DB_META, "schema", 6, schema, len);
	cr_assert_eq(end_and_wait(), ERR_NONE);
	close_db();
	err = (struct err){ 0 };
}

Test(db_check, none_is_fine)
{
	cr_expect_eq(db_check(dir, &err), 0);
	cr_expect_eq(db_check("/nonexistent", &err), 0);
}

Test(db_check, one_of_ours_is_fine)
{
	open_sized(MAP);
	close_db();
	cr_expect_eq(db_check(dir, &err), DB_SCHEMA, "%s", err.msg);
}

Test(db_check, one_of_a_newer_version_is_refused)
{
	static const unsigned char newer[4] = { DB_SCHEMA + 1 };

	close_with_schema(newer, sizeof(newer));
	cr_expect_eq(db_check(dir, &err), -1);
	cr_expect_eq(err.code, ERR_INVALID);
	cr_expect(strstr(err.msg, "newer slipwayd"), "%s", err.msg);
}

Test(db_check, a_damaged_record_is_refused)
{
	close_with_schema("\1\0\0", 3);
	cr_expect_eq(db_check(dir, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
}

Test(db_check, a_file_that_is_no_database_is_refused)
{
	cleanup_free char *path = xasprintf("%s/data.mdb", dir);
	cleanup_file FILE *f = fopen(path, "w");

	for (int i = 0; i < 2000; i++)
		fputs("nonsense", f);
	fflush(f);
	cr_expect_eq(db_check(dir, &err), -1);
	cr_expect_neq(err.code, ERR_NONE);
}

Test(db_check, one_in_use_is_read_beside_its_user)
{
	int go[2], status;
	char byte = 0;

	cr_assert_eq(pipe(go), 0);
	pid_t pid = fork();

	if (pid == 0)
		_exit(read(go[0], &byte, 1) == 1 ? db_check(dir, &err) : 255);
	open_sized(MAP);
	cr_assert_eq(write(go[1], &byte, 1), 1);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(WEXITSTATUS(status), DB_SCHEMA);
	close_db();
}

Test(db_check, it_leaves_no_lock_file_of_its_own_user)
{
	cleanup_free char *path = xasprintf("%s/lock.mdb", dir);

	open_sized(MAP);
	close_db();
	unlink(path);
	cr_expect_eq(db_check(dir, &err), DB_SCHEMA, "%s", err.msg);
	cr_expect_neq(access(path, F_OK), 0);
}
