#include "db_view.h"

#include <string.h>

int
db_view_get(struct db_view *v, enum db_table t, const struct db_val *key,
	    struct db_val *out, struct err *e)
{
	const struct op *op;
	struct db_key buf;
	struct db_val row;
	uint64_t seq;

	if (key->len == 0 || key->len > DB_KEY_MAX)
		return err_set(e, ERR_INTERNAL, "database: key of %zu bytes", key->len);
	if (db_env_read_begin(v->env, &seq, e) < 0)
		return -1;
	db_key_make(&buf, t, key->data, key->len);
	row = (struct db_val){ buf.bytes, buf.len };
	op = db_overlay_get(&v->overlay, &row);
	if (!op || op->seq <= seq)
		return db_env_get(v->env, &row, out, e);
	*out = op->val;
	return op->del ? 0 : 1;
}

/*
 * Walking: two streams of rows in order, merged. Where both have a row, the overlay's is
 * the newer one.
 */

struct merge {
	enum db_table table;
	struct db_key prefix; /* never empty */
	struct db_rows stored;
	const struct db_overlay *overlay;
	const struct op *op; /* the overlay's next, or NULL */
	uint64_t seq;	     /* what LMDB has of the overlay */
};

/* The next that LMDB lacks, from op on. */
static const struct op *
newer(const struct merge *m, const struct op *op)
{
	while (op && op->seq <= m->seq)
		op = db_overlay_seek(m->overlay, &op->row, m->stored.reverse, true);
	return op;
}

static int
merge_open(struct merge *m, struct db_env *env, const struct db_walk *w, struct err *e)
{
	struct db_key start;
	struct db_val from;
	bool skip = false;

	db_key_make(&m->prefix, w->table, w->prefix, w->prefix_len);
	if (db_key_is_by_job(w->table))
		m->prefix.len--;
	start = m->prefix;
	if (w->from) {
		db_key_make(&start, w->table, w->from, w->from_len);
		skip = w->skip_from;
	} else if (w->reverse) {
		db_key_make_successor(&start);
		skip = true;
	}
	from = (struct db_val){ start.bytes, start.len };
	m->op = newer(m, db_overlay_seek(m->overlay, &from, w->reverse, skip));
	return db_env_rows_open(env, &m->stored, &from, skip, e);
}

/* < 0: the stored row is next, > 0: the overlay's, 0: both, it is the same. */
static int
merge_order(const struct merge *m)
{
	int d;

	if (!m->op || !m->stored.row.data)
		return m->op ? 1 : -1;
	d = db_row_compare(&m->stored.row, &m->op->row);
	return m->stored.reverse ? -d : d;
}

static bool
is_inside(const struct merge *m, const struct db_val *row)
{
	return row->len >= m->prefix.len &&
	       memcmp(row->data, m->prefix.bytes, m->prefix.len) == 0;
}

static int
merge_run(struct merge *m,
	  bool (*fn)(void *arg, const struct db_val *key, const struct db_val *val),
	  void *arg, struct err *e)
{
	while (m->op || m->stored.row.data) {
		const int order = merge_order(m);
		const struct db_val *row = order < 0 ? &m->stored.row : &m->op->row;
		const struct db_val *val = order < 0 ? &m->stored.val : &m->op->val;
		struct db_val key;

		if (!is_inside(m, row))
			return 0;
		if ((order < 0 || !m->op->del) && db_key_of_row(m->table, row, &key) &&
		    !fn(arg, &key, val))
			return 0;
		if (order >= 0)
			m->op = newer(m, db_overlay_seek(m->overlay, &m->op->row,
							 m->stored.reverse, true));
		if (order <= 0 && db_env_rows_next(&m->stored, e) < 0)
			return -1;
	}
	return 0;
}

int
db_view_walk(struct db_view *v, const struct db_walk *w,
	     bool (*fn)(void *arg, const struct db_val *key, const struct db_val *val),
	     void *arg, struct err *e)
{
	struct merge m = { .table = w->table,
			   .overlay = &v->overlay,
			   .stored.reverse = w->reverse };
	int rc;

	if (w->prefix_len > DB_KEY_MAX || w->from_len > DB_KEY_MAX)
		return err_set(e, ERR_INTERNAL, "database: key too long");
	if (db_key_is_by_job(w->table) && (w->prefix_len || w->from))
		return err_set(e, ERR_INTERNAL, "database: walk of a part of it");
	if (db_env_read_begin(v->env, &m.seq, e) < 0 ||
	    merge_open(&m, v->env, w, e) < 0)
		return -1;
	rc = merge_run(&m, fn, arg, e);
	db_env_rows_close(&m.stored);
	return rc;
}

void
db_view_end(struct db_view *v)
{
	db_env_read_end(v->env);
}
