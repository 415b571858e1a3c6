#include <criterion/criterion.h>
#include <string.h>

#include "slipway/mem.h"
#include "slipway/token.h"

Test(token, made_ones_are_long_random_and_hash)
{
	char a[TOKEN_LEN + 1], b[TOKEN_LEN + 1];
	uint8_t ha[TOKEN_HASH_LEN], hb[TOKEN_HASH_LEN];

	token_make(a);
	token_make(b);
	cr_assert_eq(strlen(a), TOKEN_LEN);
	cr_assert_eq(strncmp(a, "slw_", 4), 0);
	cr_assert_str_neq(a, b);
	cr_assert(token_hash(a, TOKEN_LEN, ha) && token_hash(b, TOKEN_LEN, hb));
	cr_assert_neq(memcmp(ha, hb, sizeof(ha)), 0);
}

Test(token, the_hash_is_sha_256)
{
	/* printf slw_000...0 | sha256sum */
	static const uint8_t want[4] = { 0xf6, 0x82, 0x42, 0x7c };
	uint8_t hash[TOKEN_HASH_LEN];

	cr_assert(token_hash("slw_0000000000000000000000000000000000000000000",
			     TOKEN_LEN, hash));
	cr_assert_eq(memcmp(hash, want, sizeof(want)), 0, "%02x%02x%02x%02x", hash[0],
		     hash[1], hash[2], hash[3]);
}

Test(token, other_texts_are_none)
{
	char t[TOKEN_LEN + 2];
	uint8_t hash[TOKEN_HASH_LEN];

	token_make(t);
	for (size_t len = 0; len < TOKEN_LEN; len++)
		cr_assert_not(token_hash(t, len, hash));
	t[TOKEN_LEN] = 'x';
	cr_assert_not(token_hash(t, TOKEN_LEN + 1, hash));
	t[10] = '-';
	cr_assert_not(token_hash(t, TOKEN_LEN, hash));
	t[10] = '\0';
	cr_assert_not(token_hash(t, TOKEN_LEN, hash));
	t[10] = 'x';
	cr_assert(token_hash(t, TOKEN_LEN, hash));
	t[0] = 'S';
	cr_assert_not(token_hash(t, TOKEN_LEN, hash));
}

Test(token, names)
{
	static const char *const good[] = { "a", "CI", "0", "me@host", "a.b_c-d" };
	static const char *const bad[] = { "",	  "-a",	      ".a",  "a b", "a/b",
					   "a\n", "\xc3\xa4", "a\"", "_a",  "@a" };
	char longest[TOKEN_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		cr_assert(token_name_is_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(token_name_is_valid(bad[i]), "%s", bad[i]);
	memset(longest, 'x', sizeof(longest));
	longest[TOKEN_NAME_MAX] = '\0';
	cr_assert(token_name_is_valid(longest));
	longest[TOKEN_NAME_MAX] = 'x';
	longest[TOKEN_NAME_MAX + 1] = '\0';
	cr_assert_not(token_name_is_valid(longest));
}

Test(token, scopes_have_an_order_and_names)
{
	cr_assert_lt(TOKEN_NOTHING, TOKEN_READ);
	cr_assert_lt(TOKEN_READ, TOKEN_SUBMIT);
	cr_assert_lt(TOKEN_SUBMIT, TOKEN_ADMIN);
	for (enum token_scope s = TOKEN_READ; s < TOKEN_SCOPES; s++)
		cr_assert_eq(token_scope_parse(token_scope_name(s)), s);
	cr_assert_eq(token_scope_parse(""), TOKEN_NOTHING);
	cr_assert_eq(token_scope_parse("Admin"), TOKEN_NOTHING);
}

Test(token, expires_at_its_moment)
{
	struct token t = { .expires_at = 1000 };

	cr_assert_not(token_is_expired(&t, 999));
	cr_assert(token_is_expired(&t, 1000));
	t.expires_at = 0;
	cr_assert_not(token_is_expired(&t, INT64_MAX));
}

static const struct token sample = { .hash = { 1, 2, 3 },
				     .id = "0123456789abcdef",
				     .name = "deploy",
				     .scope = TOKEN_SUBMIT,
				     .created_at = 5,
				     .expires_at = 6,
				     .used_at = 7 };

Test(token, the_record_reads_back_the_same)
{
	struct wire_w w = { 0 };
	struct token t = { 0 };
	struct err e = { 0 };

	token_encode(&sample, &w);
	cr_assert_eq(token_decode(sample.hash, w.data, w.len, &t, &e), 0, "%s", e.msg);
	cr_assert_eq(memcmp(t.hash, sample.hash, sizeof(t.hash)), 0);
	cr_assert_str_eq(t.id, sample.id);
	cr_assert_str_eq(t.name, sample.name);
	cr_assert_eq(t.scope, sample.scope);
	cr_assert(t.created_at == 5 && t.expires_at == 6 && t.used_at == 7);
	for (size_t len = 0; len < w.len; len++)
		cr_assert_eq(token_decode(sample.hash, w.data, len, &t, &e), -1);
	cr_assert_eq(e.code, ERR_CORRUPT);
	wire_w_free(&w);
}

static void
assert_refused(const struct token *t)
{
	struct wire_w w = { 0 };
	struct token out;

	token_encode(t, &w);
	cr_assert_eq(token_decode(t->hash, w.data, w.len, &out, NULL), -1);
	wire_w_free(&w);
}

Test(token, a_record_that_says_nonsense_opens_nothing)
{
	struct token t = sample;

	t.scope = TOKEN_SCOPES;
	assert_refused(&t);
	t.scope = TOKEN_NOTHING;
	assert_refused(&t);
	t = sample;
	t.name[0] = '\0';
	assert_refused(&t);
	t = sample;
	t.id[3] = '\0';
	assert_refused(&t);
	t = sample;
	t.expires_at = -1;
	assert_refused(&t);
}
