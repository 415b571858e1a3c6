/*
 * A Wu-Manber search: `shift` says, by the last two bytes of a window as long as the
 * shortest pattern, how far the window may move; where it says 0 the patterns that
 * begin with the window's first four bytes are compared, longest first.
 *
 * Only matches that begin before the held-back suffix are settled: any longer match
 * that begins there would itself be a prefix reaching the end, so the suffix would
 * have begun earlier. What a match covers of the suffix is remembered in `covered`.
 */
#include "slipway/mask.h"

#include <stdlib.h>
#include <string.h>

#include "mask_forms.h"

#define SHIFT_MAX 255u
#define PAIRS 65536u

struct mask_tables {
	uint8_t shift[PAIRS];
	uint8_t begins[PAIRS / 8]; /* pairs that begin a pattern */
	uint8_t begins1[256 / 8];  /* bytes that begin a pattern */
};

/* Without patterns there is nothing but the first member: tables are large. */
struct mask {
	struct mask_forms forms;
	struct mask_tables *tables;
	size_t window;	   /* length of the shortest pattern, at most SHIFT_MAX */
	size_t longest;
	unsigned hash_bits;
	uint32_t *buckets; /* 2^hash_bits + 1 starts into order[] */
	uint32_t *order;   /* indexes of patterns, longest first in each bucket */
};

struct mask_stream {
	const struct mask *mask;
	uint8_t *held; /* room for twice the longest pattern */
	size_t nheld;
	size_t covered; /* of the held bytes: already shown as MASK_TEXT */
};

struct mask_out {
	mask_emit *emit;
	void *arg;
};

static inline uint16_t
load_pair(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t
mask_hash(const struct mask *m, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return (v * 2654435761u) >> (32 - m->hash_bits);
}

static inline bool
bit_test(const uint8_t *bits, size_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

static inline void
bit_set(uint8_t *bits, size_t i)
{
	bits[i / 8] |= (uint8_t)(1u << (i % 8));
}

static bool
mask_fill_tables(struct mask *m)
{
	struct mask_tables *t = calloc(1, sizeof(*t));

	m->tables = t;
	if (!t)
		return false;
	memset(t->shift, (int)(m->window - 1), sizeof(t->shift));
	for (size_t i = 0; i < m->forms.n; i++) {
		const uint8_t *p = m->forms.v[i].data;

		bit_set(t->begins1, p[0]);
		bit_set(t->begins, load_pair(p));
		for (size_t at = 0; at + 2 <= m->window; at++) {
			uint8_t *shift = &t->shift[load_pair(p + at)];
			size_t d = m->window - 2 - at;

			if (d < *shift)
				*shift = (uint8_t)d;
		}
	}
	return true;
}

static bool
mask_fill_buckets(struct mask *m)
{
	size_t n;

	m->hash_bits = 4;
	while ((size_t)1 << m->hash_bits < m->forms.n * 2)
		m->hash_bits++;
	n = (size_t)1 << m->hash_bits;
	m->buckets = calloc(n + 1, sizeof(*m->buckets));
	m->order = calloc(m->forms.n, sizeof(*m->order));
	if (!m->buckets || !m->order)
		return false;
	for (size_t i = 0; i < m->forms.n; i++)
		m->buckets[mask_hash(m, m->forms.v[i].data)]++;
	for (size_t i = 1; i <= n; i++)
		m->buckets[i] += m->buckets[i - 1];
	/* Filled from behind with the shortest first: each ends up longest first, and
	 * the ends have become the starts. */
	for (size_t i = m->forms.n; i-- > 0;)
		m->order[--m->buckets[mask_hash(m, m->forms.v[i].data)]] =
			(uint32_t)i;
	return true;
}

struct mask *
mask_new(const struct mask_secret *secrets, size_t n)
{
	struct mask *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (secrets[i].len >= MASK_MIN &&
		    !mask_forms_add(&m->forms, secrets[i].data, secrets[i].len))
			goto fail;
	if (!m->forms.n)
		return m;
	mask_forms_sort(&m->forms);
	m->longest = m->forms.v[0].len;
	m->window = m->forms.v[m->forms.n - 1].len;
	if (m->window > SHIFT_MAX)
		m->window = SHIFT_MAX;
	if (!mask_fill_tables(m) || !mask_fill_buckets(m))
		goto fail;
	return m;
fail:
	mask_free(m);
	return NULL;
}

void
mask_free(struct mask *m)
{
	if (!m)
		return;
	mask_forms_clear(&m->forms);
	free(m->buckets);
	free(m->order);
	free(m->tables);
	free(m);
}

/* The length of the longest pattern at p, 0 when there is none. */
static size_t
mask_match(const struct mask *m, const uint8_t *p, size_t len)
{
	uint32_t h = mask_hash(m, p);

	for (uint32_t i = m->buckets[h]; i < m->buckets[h + 1]; i++) {
		const struct mask_form *f = &m->forms.v[m->order[i]];

		if (f->len <= len && memcmp(f->data, p, f->len) == 0)
			return f->len;
	}
	return 0;
}

/* Are all len bytes at p a proper prefix of some pattern? */
static bool
mask_is_prefix(const struct mask *m, const uint8_t *p, size_t len)
{
	uint32_t h;

	if (!bit_test(m->tables->begins1, p[0]))
		return false;
	if (len == 1)
		return true;
	if (!bit_test(m->tables->begins, load_pair(p)))
		return false;
	if (len < MASK_MIN) {
		for (size_t i = 0; i < m->forms.n; i++)
			if (memcmp(m->forms.v[i].data, p, len) == 0)
				return true;
		return false;
	}
	h = mask_hash(m, p);
	for (uint32_t i = m->buckets[h]; i < m->buckets[h + 1]; i++) {
		const struct mask_form *f = &m->forms.v[m->order[i]];

		if (f->len <= len)
			return false;
		if (memcmp(f->data, p, len) == 0)
			return true;
	}
	return false;
}

static size_t
mask_suffix(const struct mask *m, const uint8_t *data, size_t len)
{
	size_t n = len < m->longest ? len : m->longest - 1;

	while (n && !mask_is_prefix(m, data + len - n, n))
		n--;
	return n;
}

/*
 * Settle the matches that begin in the first `starts` of len bytes and emit those
 * bytes; the first `covered` ones are hidden already. Returns where the last match
 * ends, which may lie beyond `starts`.
 */
static size_t
mask_scan(const struct mask *m, const uint8_t *data, size_t len, size_t starts,
	  size_t covered, const struct mask_out *out)
{
	const uint8_t *shifts = m->tables->shift;
	size_t at = 0, limit = 0, match;

	if (len >= m->window)
		limit = len - m->window + 1;
	if (limit > starts)
		limit = starts;
	while (at < limit) {
		uint8_t shift = shifts[load_pair(data + at + m->window - 2)];

		if (__builtin_expect(shift != 0, 1)) {
			at += shift;
			continue;
		}
		match = mask_match(m, data + at, len - at);
		if (match && at >= covered) {
			if (at > covered)
				out->emit(out->arg, data + covered, at - covered);
			out->emit(out->arg, (const uint8_t *)MASK_TEXT,
				  sizeof(MASK_TEXT) - 1);
		}
		if (match && at + match > covered)
			covered = at + match;
		at++;
	}
	if (covered < starts)
		out->emit(out->arg, data + covered, starts - covered);
	return covered;
}

/* Settle what can be settled of data, and hold back the rest. */
static void
mask_settle(struct mask_stream *s, const uint8_t *data, size_t len, size_t covered,
	    const struct mask_out *out)
{
	size_t nheld = mask_suffix(s->mask, data, len);
	size_t starts = len - nheld;

	covered = mask_scan(s->mask, data, len, starts, covered, out);
	memmove(s->held, data + starts, nheld);
	s->nheld = nheld;
	s->covered = covered > starts ? covered - starts : 0;
}

struct mask_stream *
mask_stream_new(const struct mask *m)
{
	struct mask_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->mask = m;
	s->held = malloc(2 * m->longest + 1);
	if (!s->held) {
		free(s);
		return NULL;
	}
	return s;
}

void
mask_stream_free(struct mask_stream *s)
{
	if (!s)
		return;
	free(s->held);
	free(s);
}

void
mask_feed(struct mask_stream *s, const uint8_t *data, size_t len, mask_emit *emit,
	  void *arg)
{
	const struct mask_out out = { emit, arg };
	const struct mask *m = s->mask;
	size_t covered = s->covered, joined, n;

	if (!len)
		return;
	if (!m->forms.n) {
		emit(arg, data, len);
		return;
	}
	if (!s->nheld) {
		mask_settle(s, data, len, 0, &out);
		return;
	}
	/* A match that begins in the held bytes ends within these. */
	n = len < m->longest ? len : m->longest - 1;
	memcpy(s->held + s->nheld, data, n);
	joined = s->nheld + n;
	if (n == len) {
		mask_settle(s, s->held, joined, covered, &out);
		return;
	}
	covered = mask_scan(m, s->held, joined, s->nheld, covered, &out);
	covered = covered > s->nheld ? covered - s->nheld : 0;
	mask_settle(s, data, len, covered, &out);
}

void
mask_end(struct mask_stream *s, mask_emit *emit, void *arg)
{
	const struct mask_out out = { emit, arg };

	if (s->nheld)
		mask_scan(s->mask, s->held, s->nheld, s->nheld, s->covered, &out);
	s->nheld = 0;
	s->covered = 0;
}

size_t
mask_held(const struct mask_stream *s)
{
	return s->nheld;
}

struct mask_text {
	uint8_t *data; /* NULL: only counts */
	size_t len;
};

static void
on_text_piece(void *arg, const uint8_t *data, size_t len)
{
	struct mask_text *t = arg;

	if (t->data)
		memcpy(t->data + t->len, data, len);
	t->len += len;
}

uint8_t *
mask_text(const struct mask *m, const uint8_t *data, size_t len, size_t *out_len)
{
	struct mask_text text = { 0 };
	const struct mask_out out = { on_text_piece, &text };

	*out_len = 0;
	if (m->forms.n)
		mask_scan(m, data, len, len, 0, &out);
	else
		text.len = len;
	text.data = malloc(text.len + 1);
	if (!text.data)
		return NULL;
	text.len = 0;
	if (m->forms.n)
		mask_scan(m, data, len, len, 0, &out);
	else if (len)
		on_text_piece(&text, data, len);
	text.data[text.len] = 0;
	*out_len = text.len;
	return text.data;
}
