/*
 * A database in a directory of its own, for the tests of db. Everything is static:
 * each file of tests has its own.
 */
#pragma once

#include <criterion/criterion.h>
#include <limits.h>
#include <sys/wait.h>

#include "slipway/db.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

#define MAP (INT64_C(64) << 20)
#define MIB (1u << 20)
#define NEVER (INT64_C(1) << 40) /* for apply_ms: only when asked or closed */

static char dir[PATH_MAX];
static struct loop *loop;
static struct db *db;
static struct err err;
static int64_t apply_ms;

static inline void
make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/test-db-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
}

static inline void
open_sized(int64_t map_size)
{
	struct db_opts o = {.dir = dir, .map_size = map_size, .apply_ms = apply_ms};

	loop = loop_new(&err);
	cr_assert_not_null(loop, "%s", err.msg);
	o.loop = loop;
	db = db_open(&o, &err);
	cr_assert_not_null(db, "%s", err.msg);
}

static inline void
close_db(void)
{
	db_close(db);
	loop_free(loop);
}

static inline void
setup(void)
{
	make_dir();
	open_sized(MAP);
}

static inline void
teardown(void)
{
	close_db();
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

static inline void
remove_dir(void)
{
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

static inline void
reopen(void)
{
	close_db();
	open_sized(MAP);
}

static inline void
on_nothing(void *arg)
{
}

static inline void
put(const char *key, const char *val)
{
	db_put(db, DB_SPEC, key, strlen(key), val, strlen(val));
}

static inline void
put_zeros(const char *key, size_t len)
{
	cleanup_free void *zeros = xcalloc(1, len);

	db_put(db, DB_SPEC, key, strlen(key), zeros, len);
}

static inline bool
has(const char *key)
{
	struct db_val v;
	int found = db_get(db, DB_SPEC, key, strlen(key), &v, &err);

	cr_assert_geq(found, 0, "%s", err.msg);
	return found == 1;
}

static inline bool
has_value(const char *key, const char *val)
{
	struct db_val v;

	return db_get(db, DB_SPEC, key, strlen(key), &v, &err) == 1 &&
	       v.len == strlen(val) && memcmp(v.data, val, v.len) == 0;
}

struct outcome {
	bool done, last;
	enum err_code code;
	unsigned order;
};

static unsigned ndone;

static inline void
on_done(void *arg, const struct err *e)
{
	struct outcome *out = arg;

	cr_assert(!out->done);
	out->done = true;
	out->code = e ? e->code : ERR_NONE;
	out->order = ++ndone;
	if (out->last)
		loop_stop(loop);
}

/* Run the loop until this unit, which the caller has begun, is settled. */
static inline enum err_code
end_and_wait(void)
{
	struct outcome out = {.last = true};

	db_end(db, on_done, &out);
	cr_assert(!out.done);
	loop_run(loop);
	cr_assert(out.done);
	return out.code;
}

static inline void
commit(const char *key, const char *val)
{
	db_begin(db, 0);
	put(key, val);
	cr_assert_eq(end_and_wait(), ERR_NONE);
}

/* In a process that ends as if it were killed after fn, with the database open. */
static inline void
crash_after(void (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		open_sized(MAP);
		fn();
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline enum err_code
try_open(void)
{
	struct db_opts o = {.dir = dir, .map_size = MAP, .loop = loop_new(&err)};
	struct db *other;

	err = (struct err){0};
	other = db_open(&o, &err);
	db_close(other);
	loop_free(o.loop);
	return other ? ERR_NONE : err.code;
}

struct chain {
	int left;
	unsigned flags;
};

static inline void
on_done_again(void *arg, const struct err *e)
{
	struct chain *chain = arg;
	char key[32];

	if (chain->left-- == 0) {
		loop_stop(loop);
		return;
	}
	snprintf(key, sizeof(key), "chain%d", chain->left);
	db_begin(db, 0);
	put(key, "v");
	db_end(db, on_done_again, arg);
}
