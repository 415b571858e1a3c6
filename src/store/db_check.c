#include "slipway/db_check.h"

#include <errno.h>
#include <lmdb.h>
#include <string.h>
#include <unistd.h>

#include "db_key.h"
#include "slipway/mem.h"
#include "slipway/wire.h"

static int
failed(struct err *e, int rc, const char *dir)
{
	if (rc > 0) {
		errno = rc;
		return err_sys(e, "%s", dir);
	}
	return err_set(e, ERR_CORRUPT, "%s: %s", dir, mdb_strerror(rc));
}

static int
judge(const MDB_val *v, const char *dir, struct err *e)
{
	struct wire_r r;

	wire_r_init(&r, v->mv_data, v->mv_size);
	uint32_t schema = wire_r_u32(&r);

	if (!wire_r_done(&r) || !schema || schema > INT32_MAX)
		return err_set(e, ERR_CORRUPT, "%s: bad schema record", dir);
	if (schema > DB_SCHEMA)
		return err_set(e, ERR_INVALID,
			       "%s was written by a newer slipwayd (schema %u, this "
			       "one knows up to %u)",
			       dir, schema, DB_SCHEMA);
	return (int)schema;
}

static int
read_schema(MDB_env *env, const char *dir, struct err *e)
{
	static const char name[] = "schema";
	struct db_key key;
	MDB_txn *txn;
	MDB_dbi tree;
	MDB_val k, v;
	int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

	if (rc)
		return failed(e, rc, dir);
	db_key_make(&key, DB_META, name, strlen(name));
	k = (MDB_val){ .mv_size = key.len, .mv_data = key.bytes };
	rc = mdb_dbi_open(txn, NULL, 0, &tree);
	if (!rc)
		rc = mdb_get(txn, tree, &k, &v);
	/* Its first start was cut short: as good as none. */
	int schema = rc == MDB_NOTFOUND ? 0
		     : rc		? failed(e, rc, dir)
					: judge(&v, dir, e);

	mdb_txn_abort(txn);
	return schema;
}

int
db_check(const char *dir, struct err *e)
{
	cleanup_free char *data = xasprintf("%s/data.mdb", dir);
	cleanup_free char *lock = xasprintf("%s/lock.mdb", dir);
	/* Where the lock file is missing nobody uses it, and we must not make one that
	 * the daemon's user could not open. */
	unsigned flags = MDB_RDONLY | MDB_NOTLS | (access(lock, F_OK) ? MDB_NOLOCK : 0);
	MDB_env *env;
	int schema;

	if (access(data, R_OK))
		return errno == ENOENT ? 0 : err_sys(e, "%s", dir);
	int rc = mdb_env_create(&env);

	if (rc)
		return failed(e, rc, dir);
	rc = mdb_env_open(env, dir, flags, 0600);
	schema = rc ? failed(e, rc, dir) : read_schema(env, dir, e);
	mdb_env_close(env);
	return schema;
}
