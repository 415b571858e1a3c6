#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/secret.h"

static char dir[64];

static void
make_dir(void)
{
	unsetenv("CREDENTIALS_DIRECTORY");
	STR_COPY(dir, "/tmp/test_secret-XXXXXX");
	cr_assert(mkdtemp(dir));
}

static void
remove_dir(void)
{
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

static void
put(const char *name, const void *data, size_t len, mode_t mode)
{
	cleanup_free char *path = xasprintf("%s/%s", dir, name);
	struct err e;

	cr_assert_eq(fs_write_atomic(path, data, len, mode, &e), 0);
}

TestSuite(secret, .init = make_dir, .fini = remove_dir);

Test(secret, one_trailing_newline_is_dropped)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;

	put("A", "abcd\n\n", 6, 0600);
	cr_assert_eq(secret_load(&s, dir, "A", &e), 0);
	cr_assert_eq(s.len, 5);
	cr_assert_str_eq(s.data, "abcd\n");
}

Test(secret, holds_any_bytes)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;

	put("A",
	    "a\0\xff"
	    "b",
	    4, 0400);
	cr_assert_eq(secret_load(&s, dir, "A", &e), 0);
	cr_assert_eq(s.len, 4);
	cr_assert_eq(memcmp(s.data,
			    "a\0\xff"
			    "b",
			    5),
		     0);
}

Test(secret, length_is_4_to_8192)
{
	static char big[SECRET_MAX + 2];
	cleanup_secret struct secret s = { 0 };
	struct err e;

	memset(big, 'x', sizeof(big));
	put("A", "abc\n", 4, 0600);
	cr_assert_eq(secret_load(&s, dir, "A", &e), -1);
	cr_assert_eq(e.code, ERR_INVALID);
	put("A", big, SECRET_MAX + 1, 0600);
	cr_assert_eq(secret_load(&s, dir, "A", &e), -1);
	cr_assert_eq(e.code, ERR_INVALID);
	cr_assert_null(s.data);
	big[SECRET_MAX] = '\n';
	put("A", big, SECRET_MAX + 1, 0600);
	cr_assert_eq(secret_load(&s, dir, "A", &e), 0);
	cr_assert_eq(s.len, SECRET_MAX);
	put("A", "abcd", 4, 0600);
	cr_assert_eq(secret_load(&s, dir, "A", &e), 0);
	cr_assert_eq(s.len, 4);
}

Test(secret, what_others_can_read_is_refused)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0601 };
	cleanup_secret struct secret s = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		put("A", "abcd", 4, modes[i]);
		cr_assert_eq(secret_load(&s, dir, "A", &e), -1);
		cr_assert_eq(e.code, ERR_DENIED);
	}
}

Test(secret, systemds_credentials_may_be_group_readable)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;

	put("A", "abcd", 4, 0440);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	cr_assert_eq(secret_load(&s, dir, "A", &e), 0);
	setenv("CREDENTIALS_DIRECTORY", "/tmp/test_secret-other", 1);
	cr_assert_eq(secret_load(&s, dir, "A", &e), -1);
}

Test(secret, links_and_other_things_are_refused)
{
	cleanup_free char *link = xasprintf("%s/L", dir),
			  *fifo = xasprintf("%s/F", dir);
	cleanup_secret struct secret s = { 0 };
	struct err e;

	put("A", "abcd", 4, 0600);
	cr_assert_eq(symlink("A", link), 0);
	cr_assert_eq(mkfifo(fifo, 0600), 0);
	cr_assert_eq(secret_load(&s, dir, "L", &e), -1);
	cr_assert_eq(e.code, ERR_DENIED);
	cr_assert_eq(secret_load(&s, dir, "F", &e), -1);
	cr_assert_eq(e.code, ERR_DENIED);
}

Test(secret, names_cannot_leave_the_directory)
{
	static const char *const bad[] = { "", ".", "..", "../x", "a/b", "a.b", "a b" };
	char name[66];
	cleanup_secret struct secret s = { 0 };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert_eq(secret_load(&s, dir, bad[i], &e), -1);
		cr_assert_eq(e.code, ERR_INVALID);
	}
	memset(name, 'a', sizeof(name));
	name[65] = '\0';
	cr_assert_eq(secret_load(&s, dir, name, &e), -1);
	cr_assert_eq(e.code, ERR_INVALID);
	name[64] = '\0';
	put(name, "abcd", 4, 0600);
	cr_assert_eq(secret_load(&s, dir, name, &e), 0);
}

Test(secret, a_missing_one_is_not_found)
{
	cleanup_secret struct secret s = { 0 };
	struct err e;

	cr_assert_eq(secret_load(&s, dir, "NOPE", &e), -1);
	cr_assert_eq(e.code, ERR_NOT_FOUND);
	cr_assert_eq(secret_load(&s, "", "A", &e), -1);
	cr_assert_eq(e.code, ERR_NOT_FOUND);
}

Test(secret, setting_again_from_itself_is_safe)
{
	cleanup_secret struct secret s = { 0 };

	secret_set(&s, "abcdef", 6);
	secret_set(&s, s.data + 2, 4);
	cr_assert_str_eq(s.data, "cdef");
	secret_wipe(&s);
	cr_assert_null(s.data);
	cr_assert_eq(s.len, 0);
}
