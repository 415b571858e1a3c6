/* LMDB that is ahead of the overlay, which happens by chance only in the whole. */
#include "db_fixture.h"
#include "db_view.h"

static struct db_view view;

static void
setup_view(void)
{
	struct db_opts o = { .dir = dir, .map_size = MAP };

	make_dir();
	view.env = db_env_open(&o, &err);
	cr_assert_not_null(view.env, "%s", err.msg);
}

static void
teardown_view(void)
{
	db_view_end(&view);
	db_env_close(view.env);
	remove_dir();
}

TestSuite(db_view, .init = setup_view, .fini = teardown_view, .timeout = 60);

/* Keys and values are single letters. */
static void
make_row(struct db_key *row, const char *key)
{
	db_key_make(row, DB_BY_TIME, key, 1);
}

static void
store(uint64_t seq, const char *key, const char *val)
{
	struct db_val v = { val, 1 }, r;
	struct db_key row;

	make_row(&row, key);
	r = (struct db_val){ row.bytes, row.len };
	db_env_begin(view.env);
	db_env_put(view.env, &r, &v);
	cr_assert_eq(db_env_commit(view.env, seq, &err), DB_COMMITTED);
}

struct shown {
	struct op op;
	struct db_key row;
};

static void
show(struct shown *s, uint64_t seq, const char *key, const char *val)
{
	make_row(&s->row, key);
	s->op = (struct op){ .row = { s->row.bytes, s->row.len },
			     .seq = seq,
			     .del = !val };
	if (val)
		s->op.val = (struct db_val){ val, 1 };
	db_overlay_show(&view.overlay, &s->op);
}

static char
value_of(const char *key)
{
	struct db_val k = { key, 1 }, v;
	int found = db_view_get(&view, DB_BY_TIME, &k, &v, &err);

	cr_assert_geq(found, 0);
	return found ? *(const char *)v.data : '-';
}

static bool
on_row_add(void *arg, const struct db_val *key, const struct db_val *val)
{
	strncat(arg, key->data, 1);
	strncat(arg, val->data, 1);
	return true;
}

static const char *
walked(bool reverse)
{
	struct db_walk w = { .table = DB_BY_TIME, .reverse = reverse };
	static char out[64];

	*out = '\0';
	cr_assert_eq(db_view_walk(&view, &w, on_row_add, out, &err), 0);
	return out;
}

Test(db_view, takes_of_the_overlay_what_lmdb_has_not)
{
	struct shown s[4];

	store(3, "a", "3");
	store(5, "b", "5");
	show(&s[0], 4, "b", "4");
	show(&s[1], 6, "c", "6");
	show(&s[2], 2, "d", "2");
	show(&s[3], 7, "a", NULL);
	cr_expect_eq(value_of("a"), '-');
	cr_expect_eq(value_of("b"), '5');
	cr_expect_eq(value_of("c"), '6');
	cr_expect_eq(value_of("d"), '-');
	cr_expect_str_eq(walked(false), "b5c6");
	cr_expect_str_eq(walked(true), "c6b5");
}

Test(db_view, stays_at_one_state_while_lmdb_goes_on)
{
	struct shown s[2];

	store(1, "a", "1");
	show(&s[0], 2, "a", "2");
	cr_expect_eq(value_of("a"), '2');
	store(3, "a", "3");
	cr_expect_eq(value_of("a"), '2');
	cr_expect_str_eq(walked(false), "a2");
	show(&s[1], 3, "a", "x");
	cr_expect_eq(value_of("a"), 'x');
	db_view_end(&view);
	cr_expect_eq(value_of("a"), '3');
	cr_expect_str_eq(walked(false), "a3");
}
