#include "db_env.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "db_dir.h"
#include "db_key.h"
#include "db_map.h"
#include "slipway/fs.h"
#include "slipway/id.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/wire.h"

#define INSTANCE_LEN 16
/* LMDB reports a write that the file system cut short as EIO; with less than this free
 * that is taken for what it is. */
#define DISK_FULL_BELOW (16u << 20)

struct db_env {
	MDB_env *env;
	MDB_dbi tree;
	char *dir;
	int lock_fd;
	uint64_t quota; /* the map as configured; a grown one admits no more work */
	char instance[INSTANCE_LEN + 1];
	uint64_t applied; /* at the opening */
	_Atomic uint64_t used;
	struct db_map map;

	MDB_txn *wtxn; /* NULL when beginning failed */
	int wrc;       /* first failure of the transaction */

	MDB_txn *rtxn; /* kept between reads, reset when not reading */
	uint64_t rseq;
	bool reading;
	pthread_rwlock_t map_lock; /* shared: a reader is in the map; excl.: it moves */
	/* A copy lasts; growing waits for it here, where the reader does not queue. */
	pthread_mutex_t copying;
};

static int
lmdb_err(struct err *e, int rc, const char *what)
{
	enum err_code code = ERR_INTERNAL;

	if (rc > 0) {
		errno = rc;
		return err_sys(e, "database: %s", what);
	}
	if (rc == MDB_MAP_FULL)
		code = ERR_NO_SPACE;
	else if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_INVALID ||
		 rc == MDB_VERSION_MISMATCH)
		code = ERR_CORRUPT;
	return err_set(e, code, "database: %s: %s", what, mdb_strerror(rc));
}

static MDB_val
to_lmdb(const struct db_val *v)
{
	union {
		const void *in;
		void *out;
	} p = { .in = v->data };

	return (MDB_val){ .mv_size = v->len, .mv_data = p.out };
}

static struct db_val
from_lmdb(const MDB_val *v)
{
	return (struct db_val){ .data = v->mv_data, .len = v->mv_size };
}

static int
open_lmdb(struct db_env *env, const struct db_opts *o, struct err *e)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (o->no_sync ? MDB_NOSYNC : 0);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = ((size_t)o->map_size + page - 1) / page * page;
	int rc, fd, dead = 0;

	rc = mdb_env_create(&env->env);
	if (rc != 0)
		return lmdb_err(e, rc, "create");
	env->quota = size;
	if ((rc = mdb_env_set_mapsize(env->env, size)) != 0 ||
	    (rc = mdb_env_open(env->env, env->dir, flags, 0600)) != 0 ||
	    (rc = mdb_env_get_fd(env->env, &fd)) != 0 ||
	    (rc = mdb_reader_check(env->env, &dead)) != 0)
		return lmdb_err(e, rc, env->dir);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(e, "%s", env->dir);
	if (dead > 0)
		log_info(LOG_STORE, "cleared %d stale readers", dead);
	env->map = db_map_find(fd);
	return 0;
}

static MDB_val
meta_row(struct db_key *row, const char *name)
{
	db_key_make(row, DB_META, name, strlen(name));
	return (MDB_val){ .mv_size = row->len, .mv_data = row->bytes };
}

static int
meta_get(struct db_env *env, MDB_txn *txn, const char *name, MDB_val *out)
{
	struct db_key row;
	MDB_val k = meta_row(&row, name);

	return mdb_get(txn, env->tree, &k, out);
}

static int
meta_put(struct db_env *env, MDB_txn *txn, const char *name, struct db_val val)
{
	struct db_key row;
	MDB_val k = meta_row(&row, name), v = to_lmdb(&val);

	return mdb_put(txn, env->tree, &k, &v, 0);
}

/* The last change that this state has. Absent before the first. */
static int
get_applied(struct db_env *env, MDB_txn *txn, uint64_t *seq, struct err *e)
{
	struct wire_r r;
	MDB_val v;
	int rc = meta_get(env, txn, "applied", &v);

	*seq = 0;
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return lmdb_err(e, rc, "applied");
	wire_r_init(&r, v.mv_data, v.mv_size);
	*seq = wire_r_u64(&r);
	return wire_r_done(&r) ? 0
			       : err_set(e, ERR_CORRUPT,
					 "%s: bad record of what is applied", env->dir);
}

static int
put_applied(struct db_env *env, MDB_txn *txn, uint64_t seq)
{
	uint8_t bytes[8];

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(seq >> 8 * i);
	return meta_put(env, txn, "applied", (struct db_val){ bytes, sizeof(bytes) });
}

static int
create_meta(struct db_env *env, MDB_txn *txn, struct err *e)
{
	const uint8_t schema[4] = { DB_SCHEMA & 0xff, DB_SCHEMA >> 8 & 0xff };
	int rc;

	id_random_hex(env->instance, INSTANCE_LEN);
	rc = meta_put(env, txn, "schema", (struct db_val){ schema, sizeof(schema) });
	if (rc == 0)
		rc = meta_put(env, txn, "instance",
			      (struct db_val){ env->instance, INSTANCE_LEN });
	return rc == 0 ? 0 : lmdb_err(e, rc, "first record");
}

static int
check_meta(struct db_env *env, MDB_txn *txn, struct err *e)
{
	struct wire_r r;
	uint32_t schema;
	MDB_val v;
	int rc;

	rc = meta_get(env, txn, "schema", &v);
	if (rc == MDB_NOTFOUND)
		return create_meta(env, txn, e);
	if (rc != 0)
		return lmdb_err(e, rc, "schema");
	wire_r_init(&r, v.mv_data, v.mv_size);
	schema = wire_r_u32(&r);
	if (!wire_r_done(&r) || schema == 0)
		return err_set(e, ERR_CORRUPT, "%s: bad schema record", env->dir);
	if (schema > DB_SCHEMA)
		return err_set(e, ERR_INVALID,
			       "%s was written by a newer slipwayd (schema %u, this "
			       "one knows up to %u)",
			       env->dir, schema, DB_SCHEMA);
	rc = meta_get(env, txn, "instance", &v);
	if (rc != 0 || v.mv_size != INSTANCE_LEN)
		return err_set(e, ERR_CORRUPT, "%s: bad instance record", env->dir);
	memcpy(env->instance, v.mv_data, INSTANCE_LEN);
	return get_applied(env, txn, &env->applied, e);
}

/* Pages that hold something. The high-water mark of the file would not do: it never
 * falls when jobs are deleted. */
static uint64_t
measure_used(struct db_env *env, MDB_txn *txn)
{
	uint64_t bytes = 0;
	MDB_stat st;

	/* 0 is LMDB's free list */
	for (MDB_dbi dbi = 0; dbi <= env->tree; dbi++)
		if (mdb_stat(txn, dbi, &st) == 0)
			bytes += (st.ms_branch_pages + st.ms_leaf_pages +
				  st.ms_overflow_pages) *
				 (uint64_t)st.ms_psize;
	return bytes;
}

static int
open_tree(struct db_env *env, struct err *e)
{
	MDB_txn *txn;
	int rc;

	rc = mdb_txn_begin(env->env, NULL, 0, &txn);
	if (rc != 0)
		return lmdb_err(e, rc, "begin");
	rc = mdb_dbi_open(txn, NULL, 0, &env->tree);
	if (rc != 0)
		lmdb_err(e, rc, "open");
	if (rc != 0 || check_meta(env, txn, e) < 0) {
		mdb_txn_abort(txn);
		return -1;
	}
	atomic_store(&env->used, measure_used(env, txn));
	rc = mdb_txn_commit(txn);
	return rc == 0 ? 0 : lmdb_err(e, rc, "first commit");
}

static void
init_map_lock(struct db_env *env)
{
	pthread_rwlockattr_t attr;

	/* Else a reader that comes back every turn could keep the writer out. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr,
				      PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&env->map_lock, &attr);
	pthread_rwlockattr_destroy(&attr);
}

struct db_env *
db_env_open(const struct db_opts *o, struct err *e)
{
	struct db_env *env = xcalloc(1, sizeof(*env));

	env->dir = xstrdup(o->dir);
	init_map_lock(env);
	pthread_mutex_init(&env->copying, NULL);
	env->lock_fd = db_dir_take(env->dir, e);
	if (env->lock_fd < 0 || open_lmdb(env, o, e) < 0 || open_tree(env, e) < 0) {
		db_env_close(env);
		return NULL;
	}
	return env;
}

void
db_env_close(struct db_env *env)
{
	db_env_read_end(env);
	if (env->rtxn)
		mdb_txn_abort(env->rtxn);
	if (env->env)
		mdb_env_close(env->env);
	if (env->lock_fd >= 0)
		close(env->lock_fd);
	pthread_mutex_destroy(&env->copying);
	pthread_rwlock_destroy(&env->map_lock);
	free(env->dir);
	free(env);
}

const char *
db_env_instance(const struct db_env *env)
{
	return env->instance;
}

uint64_t
db_env_applied(const struct db_env *env)
{
	return env->applied;
}

uint64_t
db_env_used(const struct db_env *env)
{
	return atomic_load_explicit(&env->used, memory_order_relaxed);
}

uint64_t
db_env_quota(const struct db_env *env)
{
	return env->quota;
}

/*
 * The writer.
 */

void
db_env_begin(struct db_env *env)
{
	env->wtxn = NULL;
	env->wrc = mdb_txn_begin(env->env, NULL, 0, &env->wtxn);
}

void
db_env_put(struct db_env *env, const struct db_val *row, const struct db_val *val)
{
	MDB_val k = to_lmdb(row), v = to_lmdb(val);

	if (env->wrc == 0)
		env->wrc = mdb_put(env->wtxn, env->tree, &k, &v, 0);
}

void
db_env_del(struct db_env *env, const struct db_val *row)
{
	MDB_val k = to_lmdb(row);
	int rc;

	if (env->wrc != 0)
		return;
	rc = mdb_del(env->wtxn, env->tree, &k, NULL);
	if (rc != MDB_NOTFOUND)
		env->wrc = rc;
}

static bool
is_disk_full(const struct db_env *env, int rc)
{
	uint64_t avail, total;

	if (rc == ENOSPC || rc == EDQUOT)
		return true;
	return rc == EIO && fs_space(env->dir, &avail, &total, NULL) == 0 &&
	       avail < DISK_FULL_BELOW;
}

enum db_outcome
db_env_commit(struct db_env *env, uint64_t seq, struct err *e)
{
	MDB_txn *txn = STEAL(env->wtxn);
	uint64_t used = 0;
	int rc = env->wrc;

	if (rc == 0)
		rc = put_applied(env, txn, seq);
	if (rc == 0) {
		used = measure_used(env, txn);
		rc = mdb_txn_commit(txn);
	} else if (txn) {
		mdb_txn_abort(txn);
	}
	if (rc == 0) {
		atomic_store_explicit(&env->used, used, memory_order_relaxed);
		return DB_COMMITTED;
	}
	lmdb_err(e, rc, "commit");
	if (rc == MDB_MAP_FULL)
		return DB_MAP_FULL;
	return is_disk_full(env, rc) ? DB_DISK_FULL : DB_BROKEN;
}

int
db_env_grow(struct db_env *env, struct err *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size;
	MDB_envinfo info;
	int rc, fd;

	rc = mdb_env_info(env->env, &info);
	if (rc != 0)
		return lmdb_err(e, rc, "size");
	size = (info.me_mapsize + info.me_mapsize / 4) / page * page;
	pthread_mutex_lock(&env->copying);
	pthread_rwlock_wrlock(&env->map_lock);
	rc = mdb_env_set_mapsize(env->env, size);
	pthread_rwlock_unlock(&env->map_lock);
	pthread_mutex_unlock(&env->copying);
	if (rc == 0)
		rc = mdb_env_get_fd(env->env, &fd);
	if (rc != 0)
		return lmdb_err(e, rc, "grow");
	env->map = db_map_find(fd);
	log_warn(LOG_STORE, "database map grown to %zu MiB; raise its configured size",
		 size >> 20);
	return 0;
}

void
db_env_cool(struct db_env *env)
{
	db_map_cool(&env->map);
}

/*
 * The reader.
 */

int
db_env_read_begin(struct db_env *env, uint64_t *seq, struct err *e)
{
	int rc;

	if (env->reading) {
		*seq = env->rseq;
		return 0;
	}
	pthread_rwlock_rdlock(&env->map_lock);
	if (env->rtxn)
		rc = mdb_txn_renew(env->rtxn);
	else
		rc = mdb_txn_begin(env->env, NULL, MDB_RDONLY, &env->rtxn);
	if (rc != 0) {
		pthread_rwlock_unlock(&env->map_lock);
		return lmdb_err(e, rc, "read");
	}
	env->reading = true;
	if (get_applied(env, env->rtxn, &env->rseq, e) < 0) {
		db_env_read_end(env);
		return -1;
	}
	*seq = env->rseq;
	return 0;
}

void
db_env_read_end(struct db_env *env)
{
	if (!env->reading)
		return;
	mdb_txn_reset(env->rtxn);
	env->reading = false;
	pthread_rwlock_unlock(&env->map_lock);
}

int
db_env_get(struct db_env *env, const struct db_val *row, struct db_val *out,
	   struct err *e)
{
	MDB_val k = to_lmdb(row), v;
	int rc;

	rc = mdb_get(env->rtxn, env->tree, &k, &v);
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return lmdb_err(e, rc, "get");
	*out = from_lmdb(&v);
	return 1;
}

static int
rows_result(struct db_rows *rows, int rc, const MDB_val *k, const MDB_val *v,
	    struct err *e)
{
	rows->row = rc == 0 ? from_lmdb(k) : (struct db_val){ 0 };
	rows->val = rc == 0 ? from_lmdb(v) : (struct db_val){ 0 };
	return rc == 0 || rc == MDB_NOTFOUND ? 0 : lmdb_err(e, rc, "walk");
}

static int
seek(MDB_cursor *c, const struct db_val *from, bool reverse, bool skip, MDB_val *k,
     MDB_val *v)
{
	struct db_val at;
	int rc;

	*k = to_lmdb(from);
	rc = mdb_cursor_get(c, k, v, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND && reverse)
		return mdb_cursor_get(c, k, v, MDB_LAST);
	if (rc != 0)
		return rc;
	at = from_lmdb(k);
	if (db_row_compare(&at, from) == 0 ? skip : reverse)
		return mdb_cursor_get(c, k, v, reverse ? MDB_PREV : MDB_NEXT);
	return 0;
}

int
db_env_rows_open(struct db_env *env, struct db_rows *rows, const struct db_val *from,
		 bool skip, struct err *e)
{
	MDB_cursor *c;
	MDB_val k, v;
	int rc = mdb_cursor_open(env->rtxn, env->tree, &c);

	if (rc != 0)
		return lmdb_err(e, rc, "walk");
	rows->cursor = c;
	rc = seek(c, from, rows->reverse, skip, &k, &v);
	if (rows_result(rows, rc, &k, &v, e) == 0)
		return 0;
	db_env_rows_close(rows);
	return -1;
}

int
db_env_rows_next(struct db_rows *rows, struct err *e)
{
	MDB_val k, v;
	int rc = mdb_cursor_get(rows->cursor, &k, &v,
				rows->reverse ? MDB_PREV : MDB_NEXT);

	return rows_result(rows, rc, &k, &v, e);
}

void
db_env_rows_close(struct db_rows *rows)
{
	mdb_cursor_close(rows->cursor);
}

/*
 * The copier.
 */

int
db_env_copy(struct db_env *env, const char *dir, struct err *e)
{
	cleanup_free char *path = xasprintf("%s/data.mdb", dir);
	cleanup_close int fd = -1;
	int rc;

	if (fs_mkdir_p(dir, 0700, e) < 0)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "%s", path);
	pthread_mutex_lock(&env->copying);
	rc = mdb_env_copyfd2(env->env, fd, 0);
	pthread_mutex_unlock(&env->copying);
	if (rc == 0 && fsync(fd) < 0)
		rc = errno;
	if (rc == 0)
		return 0;
	unlink(path);
	return lmdb_err(e, rc, "copy");
}
