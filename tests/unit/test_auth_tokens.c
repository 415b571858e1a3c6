#include "auth_tokens.h"
#include "db_fixture.h"
#include "slipway/db_token.h"

static struct auth_tokens *ts;
static const struct netaddr here = { { 1 } };

static void
open_tokens(void)
{
	setup();
	ts = auth_tokens_new(db, &err);
	cr_assert(ts, "%s", err.msg);
}

static void
close_tokens(void)
{
	auth_tokens_free(ts);
	teardown();
}

static void
reopen_tokens(void)
{
	auth_tokens_free(ts);
	reopen();
	ts = auth_tokens_new(db, &err);
	cr_assert(ts, "%s", err.msg);
}

TestSuite(auth_tokens, .init = open_tokens, .fini = close_tokens, .timeout = 20);

static struct token
named(const char *name, uint8_t n)
{
	struct token t = { .hash = { n },
			   .id = "0123456789abcde",
			   .scope = TOKEN_READ };

	t.id[TOKEN_ID_LEN - 1] = (char)('a' + n % 26);
	STR_COPY(t.name, name);
	return t;
}

static void
on_stop(void *arg, const struct err *e)
{
	cr_assert_null(e);
	*(bool *)arg = true;
	loop_stop(loop);
}

static void
make_one(const struct token *t)
{
	bool ended = false;

	cr_assert_eq(auth_tokens_create(ts, t, on_stop, &ended, &err), 0, "%s",
		     err.msg);
	/* It opens nothing before it is on disk. */
	cr_assert_null(auth_tokens_find(ts, t->hash));
	cr_assert(!ended);
	loop_run(loop);
	cr_assert(ended);
}

static void
take_away(const struct token *t)
{
	bool ended = false;

	cr_assert_eq(auth_tokens_revoke(ts, t->name, on_stop, &ended, &err), 0);
	/* It opens nothing from here on. */
	cr_assert_null(auth_tokens_find(ts, t->hash));
	loop_run(loop);
	cr_assert(ended);
}

Test(auth_tokens, a_new_one_is_found_also_after_a_restart)
{
	struct token t = named("a", 1);

	cr_assert_not(auth_tokens_begun(ts));
	make_one(&t);
	cr_assert(auth_tokens_find(ts, t.hash) && auth_tokens_find_id(ts, t.id));
	reopen_tokens();
	cr_assert_str_eq(auth_tokens_find(ts, t.hash)->t.name, "a");
	cr_assert(auth_tokens_begun(ts));
	t.hash[31] = 1;
	cr_assert_null(auth_tokens_find(ts, t.hash));
}

Test(auth_tokens, a_revoked_one_is_gone_but_not_that_there_was_one)
{
	struct token t = named("a", 1);

	make_one(&t);
	take_away(&t);
	cr_assert_eq(auth_tokens_revoke(ts, "a", on_stop, NULL, &err), -1);
	cr_assert_eq(err.code, ERR_NOT_FOUND);
	cr_assert_not(auth_tokens_any_live(ts, 0));
	reopen_tokens();
	cr_assert_null(auth_tokens_find(ts, t.hash));
	cr_assert_null(auth_tokens_find_id(ts, t.id));
	cr_assert(auth_tokens_begun(ts));
}

Test(auth_tokens, a_name_is_taken_once)
{
	struct token t = named("a", 1), again = named("a", 2);

	make_one(&t);
	cr_assert_eq(auth_tokens_create(ts, &again, on_stop, NULL, &err), -1);
	cr_assert_eq(err.code, ERR_CONFLICT);
	cr_assert_str_eq(err.field, "name");
	take_away(&t);
	make_one(&again);
	cr_assert(auth_tokens_find(ts, again.hash));
}

Test(auth_tokens, there_is_a_limit)
{
	bool ended = false;
	char name[16];

	for (unsigned i = 0; i <= AUTH_TOKENS_MAX; i++) {
		struct token t;

		snprintf(name, sizeof(name), "t%u", i);
		t = named(name, (uint8_t)i);
		t.hash[1] = (uint8_t)(i >> 8);
		if (i < AUTH_TOKENS_MAX)
			cr_assert_eq(auth_tokens_create(ts, &t, on_stop, &ended, &err),
				     0);
		else
			cr_assert_eq(auth_tokens_create(ts, &t, on_stop, &ended, &err),
				     -1);
	}
	cr_assert_eq(err.code, ERR_CONFLICT);
	loop_run(loop);
}

Test(auth_tokens, live_is_what_has_not_expired)
{
	struct token t = named("a", 1);

	t.expires_at = 1000;
	make_one(&t);
	cr_assert(auth_tokens_any_live(ts, 999));
	cr_assert_not(auth_tokens_any_live(ts, 1000));
	cr_assert(auth_tokens_find(ts, t.hash));
}

static int64_t
stored_use(const struct token *t)
{
	struct token out;
	struct db_val v;

	cr_assert_eq(db_get(db, DB_TOKEN, t->hash, sizeof(t->hash), &v, &err), 1);
	cr_assert_eq(token_decode(t->hash, v.data, v.len, &out, &err), 0);
	return out.used_at;
}

static void
settle(void)
{
	db_begin(db, 0);
	put("x", "y");
	end_and_wait();
}

Test(auth_tokens, the_last_use_is_stored_at_most_once_a_minute_and_at_the_end)
{
	struct token t = named("a", 1);
	struct auth_token *at;

	make_one(&t);
	at = auth_tokens_find(ts, t.hash);
	auth_tokens_used(ts, at, 100000, &here);
	settle();
	cr_assert_eq(stored_use(&t), 100000);
	auth_tokens_used(ts, at, 159999, &here);
	settle();
	cr_assert_eq(stored_use(&t), 100000);
	auth_tokens_used(ts, at, 160000, NULL);
	settle();
	cr_assert_eq(stored_use(&t), 160000);
	cr_assert_eq(memcmp(&at->last_from, &here, sizeof(here)), 0);
	auth_tokens_used(ts, at, 170000, &here);
	reopen_tokens();
	cr_assert_eq(stored_use(&t), 170000);
	cr_assert_eq(auth_tokens_find(ts, t.hash)->t.used_at, 170000);
}

static void
on_each(void *arg, const struct token *t)
{
	strcat(arg, t->name);
}

Test(auth_tokens, are_listed_by_name)
{
	struct token b = named("b", 1), a = named("a", 2), c = named("c", 3);
	char names[8] = "";

	make_one(&b);
	make_one(&a);
	make_one(&c);
	auth_tokens_each(ts, on_each, names);
	cr_assert_str_eq(names, "abc");
}

Test(auth_tokens, a_damaged_record_opens_nothing_and_spares_the_others)
{
	static const uint8_t key[TOKEN_HASH_LEN] = { 9 };
	struct token t = named("a", 1);

	make_one(&t);
	db_begin(db, 0);
	db_put(db, DB_TOKEN, key, sizeof(key), "junk", 4);
	db_put(db, DB_TOKEN, "short", 5, "junk", 4);
	end_and_wait();
	reopen_tokens();
	cr_assert(auth_tokens_find(ts, t.hash));
	cr_assert_null(auth_tokens_find(ts, key));
}

static void
on_late(void *arg, const struct err *e)
{
	*(bool *)arg = true;
}

Test(auth_tokens, may_go_before_the_answer)
{
	struct token t = named("a", 1);
	bool ended = false;

	cr_assert_eq(auth_tokens_create(ts, &t, on_late, &ended, &err), 0);
	reopen_tokens();
	cr_assert(ended);
	cr_assert(auth_tokens_find(ts, t.hash));
}
