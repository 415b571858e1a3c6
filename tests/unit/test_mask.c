#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/mask.h"

#define FORMS_MAX 512

struct text {
	uint8_t *data;
	size_t len, cap;
};

static void
on_piece(void *arg, const uint8_t *data, size_t len)
{
	struct text *t = arg;

	cr_assert_gt(len, 0);
	if (t->len + len + 1 > t->cap) {
		t->cap = 2 * (t->len + len + 1);
		t->data = realloc(t->data, t->cap);
	}
	memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = 0;
}

static struct mask *
mask_of(const char *secret)
{
	const struct mask_secret s = { (const uint8_t *)secret, strlen(secret) };

	return mask_new(&s, 1);
}

static void
feed(struct mask_stream *s, const char *in, struct text *out)
{
	mask_feed(s, (const uint8_t *)in, strlen(in), on_piece, out);
}

static void
expect_text(const struct mask *m, const char *in, const char *want)
{
	uint8_t *out;
	size_t len;

	out = mask_text(m, (const uint8_t *)in, strlen(in), &len);
	cr_assert_eq(len, strlen(want), "\"%s\" for \"%s\"", (char *)out, want);
	cr_assert_str_eq((char *)out, want);
	free(out);
}

/* ---- a model: all forms found one by one, every place of the text tried ---- */

struct model {
	struct text forms[FORMS_MAX];
	size_t n;
};

static void
model_add(struct model *m, const void *data, size_t len)
{
	cr_assert_lt(m->n, FORMS_MAX);
	if (len >= MASK_MIN)
		on_piece(&m->forms[m->n++], data, len);
}

static struct text
base64(const uint8_t *p, size_t len, const char *last_two)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	struct text out = { 0 };

	for (size_t bit = 0; bit + 6 <= len * 8; bit += 6) {
		unsigned v = 0;
		char c;

		for (size_t i = bit; i < bit + 6; i++)
			v = v << 1 | (p[i / 8] >> (7 - i % 8) & 1);
		c = v < 62 ? digits[v] : last_two[v - 62];
		on_piece(&out, (uint8_t *)&c, 1);
	}
	return out;
}

/* What stays the same whatever stands around the secret is the secret's own. */
static void
model_add_base64(struct model *m, const uint8_t *p, size_t len, const char *last_two)
{
	for (size_t lead = 0; lead < 3; lead++) {
		uint8_t *around = malloc(len + 5);
		struct text a, b;
		size_t from = 0, to;

		memset(around, 0, len + 5);
		memcpy(around + lead, p, len);
		a = base64(around, len + 5, last_two);
		memset(around, 0xff, len + 5);
		memcpy(around + lead, p, len);
		b = base64(around, len + 5, last_two);
		while (a.data[from] != b.data[from])
			from++;
		for (to = from; to < a.len && a.data[to] == b.data[to];)
			to++;
		model_add(m, a.data + from, to - from);
		free(a.data);
		free(b.data);
		free(around);
	}
}

static void
model_add_hex(struct model *m, const uint8_t *p, size_t len, bool url,
	      const char *format)
{
	struct text out = { 0 };
	char two[4];

	for (size_t i = 0; i < len; i++) {
		bool plain = (p[i] >= '0' && p[i] <= '9') ||
			     (p[i] >= 'A' && p[i] <= 'Z') ||
			     (p[i] >= 'a' && p[i] <= 'z') ||
			     (p[i] && strchr("-._~", p[i]));

		if (url && plain) {
			on_piece(&out, p + i, 1);
			continue;
		}
		if (url)
			on_piece(&out, (const uint8_t *)"%", 1);
		snprintf(two, sizeof(two), format[0] == 'x' ? "%02x" : "%02X", p[i]);
		on_piece(&out, (uint8_t *)two, 2);
	}
	model_add(m, out.data, out.len);
	free(out.data);
}

static void
model_add_secret(struct model *m, const uint8_t *p, size_t len)
{
	size_t start = 0;

	if (len < MASK_MIN)
		return;
	model_add(m, p, len);
	for (size_t i = 0; i <= len; i++) {
		if (i < len && p[i] != '\n')
			continue;
		model_add(m, p + start, i - start);
		if (i > start && p[i - 1] == '\r')
			model_add(m, p + start, i - start - 1);
		start = i + 1;
	}
	model_add_base64(m, p, len, "+/");
	model_add_base64(m, p, len, "-_");
	model_add_hex(m, p, len, true, "x");
	model_add_hex(m, p, len, true, "X");
	model_add_hex(m, p, len, false, "x");
	model_add_hex(m, p, len, false, "X");
}

static struct text
model_mask(const struct model *m, const uint8_t *in, size_t len)
{
	struct text out = { 0 };
	size_t covered = 0;

	for (size_t at = 0; at < len; at++) {
		size_t longest = 0;

		for (size_t i = 0; i < m->n; i++) {
			const struct text *f = &m->forms[i];

			if (f->len > longest && f->len <= len - at &&
			    memcmp(f->data, in + at, f->len) == 0)
				longest = f->len;
		}
		if (longest && at >= covered)
			on_piece(&out, (const uint8_t *)MASK_TEXT, 3);
		if (longest && at + longest > covered)
			covered = at + longest;
		if (at >= covered)
			on_piece(&out, in + at, 1);
	}
	return out;
}

static void
model_clear(struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->forms[i].data);
	*m = (struct model){ 0 };
}

static uint32_t
next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Few different bytes, so that secrets overlap themselves and each other. */
static void
fill_random(uint32_t *rnd, uint8_t *p, size_t len, unsigned kinds)
{
	static const uint8_t bytes[] = "ab\nAY/%\r61";

	for (size_t i = 0; i < len; i++)
		p[i] = bytes[next_random(rnd) % kinds];
}

/* Text of random bytes and whole, half and encoded secrets. */
static struct text
random_text(uint32_t *rnd, const struct model *m, unsigned kinds)
{
	struct text out = { 0 };
	uint8_t noise[16];

	for (int i = 0; i < 12; i++) {
		size_t n = 1 + next_random(rnd) % sizeof(noise);

		fill_random(rnd, noise, n, kinds);
		on_piece(&out, noise, n);
		if (m->n) {
			const struct text *f = &m->forms[next_random(rnd) % m->n];
			size_t skip = next_random(rnd) % 4 ? 0
							   : next_random(rnd) % f->len;

			on_piece(&out, f->data + skip, f->len - skip);
		}
	}
	return out;
}

static struct text
stream_in_chunks(const struct mask *mask, const struct text *in, uint32_t *rnd)
{
	struct mask_stream *s = mask_stream_new(mask);
	uint32_t most = 1 + next_random(rnd) % 40;
	struct text out = { 0 };
	size_t at = 0, before, held;

	while (at < in->len) {
		size_t n = 1 + next_random(rnd) % most;

		if (n > in->len - at)
			n = in->len - at;
		before = out.len;
		mask_feed(s, in->data + at, n, on_piece, &out);
		held = mask_held(s);
		cr_assert(held <= at + n && (held || out.len >= before));
		at += n;
	}
	mask_end(s, on_piece, &out);
	cr_assert_eq(mask_held(s), 0);
	mask_stream_free(s);
	return out;
}

static void
compare_with_model(uint32_t seed)
{
	uint32_t rnd = seed * 2654435761u | 1;
	unsigned kinds = 2 + next_random(&rnd) % 8;
	size_t nsecrets = next_random(&rnd) % 5;
	struct mask_secret secrets[4];
	struct model model = { 0 };
	struct text in, want, got;
	uint8_t store[4][24];
	struct mask *mask;

	for (size_t i = 0; i < nsecrets; i++) {
		size_t len = 2 + next_random(&rnd) % 23;

		if (i == 4)
			break;
		fill_random(&rnd, store[i], len, kinds);
		secrets[i] = (struct mask_secret){ store[i], len };
		model_add_secret(&model, store[i], len);
	}
	mask = mask_new(secrets, nsecrets > 4 ? 4 : nsecrets);
	in = random_text(&rnd, &model, kinds);
	want = model_mask(&model, in.data, in.len);
	for (int i = 0; i < 4; i++) {
		got = stream_in_chunks(mask, &in, &rnd);
		cr_assert_eq(got.len, want.len, "seed %u", seed);
		cr_assert_arr_eq(got.data, want.data, want.len, "seed %u", seed);
		free(got.data);
	}
	free(want.data);
	free(in.data);
	mask_free(mask);
	model_clear(&model);
}

Test(mask, equals_the_model_for_any_secrets_text_and_chunks, .timeout = 120)
{
	for (uint32_t seed = 1; seed <= 4000; seed++)
		compare_with_model(seed);
}

/* ---- the forms, one by one, against values made elsewhere ---- */

Test(mask, hides_the_secret_wherever_it_stands)
{
	struct mask *m = mask_of("hunter22");

	expect_text(m, "hunter22", "***");
	expect_text(m, "x hunter22hunter22 y", "x ****** y");
	expect_text(m, "hunter2", "hunter2");
	expect_text(m, "hunter2hunter22", "hunter2***");
	expect_text(m, "", "");
	mask_free(m);
}

Test(mask, hides_base64_in_all_three_alignments)
{
	struct mask *m = mask_of("hunter2-hunter2?");

	/* of "hunter2-hunter2?", then with "a", "ab" before and "zz" behind */
	expect_text(m, "aHVudGVyMi1odW50ZXIyPw==", "***w==");
	expect_text(m, "YWh1bnRlcjItaHVudGVyMj96eg==", "YW***96eg==");
	expect_text(m, "YWJodW50ZXIyLWh1bnRlcjI/eno=", "YWJ***eno=");
	expect_text(m, "YWJodW50ZXIyLWh1bnRlcjI_eno=", "YWJ***eno=");
	mask_free(m);
}

Test(mask, hides_url_and_hex_forms_in_both_cases)
{
	struct mask *m = mask_of("p/w?k=1~");

	expect_text(m, "u=p%2Fw%3Fk%3D1~&x", "u=***&x");
	expect_text(m, "u=p%2fw%3fk%3d1~&x", "u=***&x");
	expect_text(m, "702f773f6b3d317e!", "***!");
	expect_text(m, "702F773F6B3D317E!", "***!");
	mask_free(m);
}

Test(mask, hides_a_text_of_lines_whole_and_line_by_line)
{
	struct mask *m = mask_of("first line\r\nabc\nlast");

	expect_text(m, "[first line\r\nabc\nlast]", "[***]");
	expect_text(m, "[first line]", "[***]");
	expect_text(m, "a last b", "a *** b");
	expect_text(m, "abc", "abc");
	mask_free(m);
}

Test(mask, ignores_secrets_under_four_bytes)
{
	struct mask *m = mask_of("abc");

	expect_text(m, "abc 616263 YWJj", "abc 616263 YWJj");
	mask_free(m);
	m = mask_of("abcd");
	expect_text(m, "abc abcd", "abc ***");
	mask_free(m);
}

Test(mask, the_longest_secret_wins_and_overlaps_are_hidden_whole)
{
	const struct mask_secret s[] = {
		{ (const uint8_t *)"abcd", 4 },
		{ (const uint8_t *)"abcdefgh", 8 },
		{ (const uint8_t *)"ghijkl", 6 },
	};
	struct mask *m = mask_new(s, 3);

	expect_text(m, "abcdefgh.", "***.");
	expect_text(m, "abcdefg.", "***efg.");
	expect_text(m, "-abcdefghijkl-", "-***-");
	mask_free(m);
}

/* ---- streams ---- */

Test(mask, holds_back_what_could_begin_a_secret)
{
	struct mask *m = mask_of("hunter22");
	struct mask_stream *s = mask_stream_new(m);
	struct text out = { 0 };

	feed(s, "say hunt", &out);
	cr_assert_str_eq((char *)out.data, "say ");
	cr_assert_eq(mask_held(s), 4);
	feed(s, "er22 and hun", &out);
	cr_assert_str_eq((char *)out.data, "say *** and ");
	feed(s, "ger\n", &out);
	cr_assert_str_eq((char *)out.data, "say *** and hunger\n");
	cr_assert_eq(mask_held(s), 0);
	feed(s, "hunter2", &out);
	mask_end(s, on_piece, &out);
	cr_assert_str_eq((char *)out.data, "say *** and hunger\nhunter2");
	mask_stream_free(s);
	mask_free(m);
	free(out.data);
}

Test(mask, without_secrets_everything_passes_at_once)
{
	struct mask *m = mask_new(NULL, 0);
	struct mask_stream *s = mask_stream_new(m);
	struct text out = { 0 };

	feed(s, "any\nthing", &out);
	cr_assert_str_eq((char *)out.data, "any\nthing");
	cr_assert_eq(mask_held(s), 0);
	expect_text(m, "text", "text");
	mask_stream_free(s);
	mask_free(m);
	free(out.data);
}

Test(mask, two_streams_of_one_mask_do_not_mix)
{
	struct mask *m = mask_of("hunter22");
	struct mask_stream *a = mask_stream_new(m), *b = mask_stream_new(m);
	struct text out_a = { 0 }, out_b = { 0 };

	feed(a, "hunter", &out_a);
	feed(b, "22", &out_b);
	feed(a, "22", &out_a);
	mask_end(a, on_piece, &out_a);
	mask_end(b, on_piece, &out_b);
	cr_assert_str_eq((char *)out_a.data, "***");
	cr_assert_str_eq((char *)out_b.data, "22");
	mask_stream_free(a);
	mask_stream_free(b);
	mask_free(m);
	free(out_a.data);
	free(out_b.data);
}

Test(mask, takes_256_secrets_of_8192_bytes, .timeout = 60)
{
	static uint8_t store[256][8192];
	struct mask_secret secrets[256];
	struct text in = { 0 }, out = { 0 };
	struct mask_stream *s;
	uint32_t rnd = 7;
	struct mask *m;

	for (size_t i = 0; i < 256; i++) {
		for (size_t j = 0; j < sizeof(store[i]); j++)
			store[i][j] = (uint8_t)(1 + next_random(&rnd) % 255);
		secrets[i] = (struct mask_secret){ store[i], sizeof(store[i]) };
	}
	m = mask_new(secrets, 256);
	cr_assert_not_null(m);
	on_piece(&in, (const uint8_t *)"<", 1);
	on_piece(&in, store[255], 8192);
	on_piece(&in, (const uint8_t *)"|", 1);
	on_piece(&in, store[0], 8192);
	on_piece(&in, (const uint8_t *)">", 1);
	s = mask_stream_new(m);
	for (size_t at = 0; at < in.len; at += 1000)
		mask_feed(s, in.data + at, in.len - at < 1000 ? in.len - at : 1000,
			  on_piece, &out);
	mask_end(s, on_piece, &out);
	cr_assert_str_eq((char *)out.data, "<***|***>");
	mask_stream_free(s);
	mask_free(m);
	free(in.data);
	free(out.data);
}
