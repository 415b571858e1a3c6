#include "slipway/jsonscan.h"

#include <stdint.h>
#include <string.h>

#include "slipway/mem.h"
#include "slipway/strbuf.h"
#include "slipway/utf8.h"

struct key {
	uint32_t off, len; /* in scan.text */
};

struct level {
	bool array;
	size_t index;
	struct key key;
};

struct scan {
	const char *start, *p, *end;
	unsigned depth, max_depth;
	struct level levels[JSONSCAN_DEPTH_MAX];
	/* Keys of the open objects, a stack like the levels; text has them decoded. */
	struct key *keys;
	size_t nkeys, keys_cap;
	struct strbuf text;
	struct err *e;
};

static int scan_value(struct scan *s);

static void
scan_add_key(struct strbuf *path, const char *key, size_t len)
{
	for (size_t i = 0; i < len && path->len < sizeof(((struct err *)0)->field); i++)
		strbuf_addc(path, (unsigned char)key[i] < 0x20 ? '?' : key[i]);
}

static int
scan_fail(struct scan *s, const char *what)
{
	cleanup_strbuf struct strbuf path = { 0 };
	size_t line = 1, column = 1;

	for (const char *p = s->start; p < s->p; p++) {
		column++;
		if (*p == '\n')
			line++, column = 1;
	}
	for (unsigned i = 0; i < s->depth; i++) {
		const struct level *l = &s->levels[i];

		if (l->array) {
			strbuf_addf(&path, "[%zu]", l->index);
		} else if (l->key.len) {
			if (path.len)
				strbuf_addc(&path, '.');
			scan_add_key(&path, s->text.data + l->key.off, l->key.len);
		}
	}
	return err_field(s->e, ERR_INVALID, strbuf_str(&path),
			 "line %zu, column %zu: %s", line, column, what);
}

static void
scan_space(struct scan *s)
{
	while (s->p < s->end &&
	       (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
		s->p++;
}

static bool
scan_accept(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

static bool
scan_hex4(struct scan *s, uint32_t *v)
{
	*v = 0;
	if (s->end - s->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char c = s->p[i];
		unsigned d;

		if (c >= '0' && c <= '9')
			d = (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			d = (unsigned)((c | 32) - 'a' + 10);
		else
			return false;
		*v = *v << 4 | d;
	}
	s->p += 4;
	return true;
}

static void
scan_put_utf8(struct strbuf *out, uint32_t c)
{
	char b[4];
	size_t n;

	if (c < 0x80) {
		b[0] = (char)c, n = 1;
	} else if (c < 0x800) {
		b[0] = (char)(0xc0 | c >> 6), n = 2;
	} else if (c < 0x10000) {
		b[0] = (char)(0xe0 | c >> 12), n = 3;
	} else {
		b[0] = (char)(0xf0 | c >> 18), n = 4;
	}
	for (size_t i = 1; i < n; i++)
		b[i] = (char)(0x80 | (c >> (6 * (n - 1 - i)) & 0x3f));
	strbuf_add(out, b, n);
}

/* After "\u". */
static int
scan_unicode(struct scan *s, struct strbuf *out)
{
	uint32_t c, low;

	if (!scan_hex4(s, &c))
		return scan_fail(s, "bad \\u escape");
	if (!c)
		return scan_fail(s, "NUL characters are not accepted");
	if (c >= 0xdc00 && c <= 0xdfff)
		return scan_fail(s, "lone surrogate");
	if (c >= 0xd800 && c <= 0xdbff) {
		if (!scan_accept(s, '\\') || !scan_accept(s, 'u') ||
		    !scan_hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
			return scan_fail(s, "lone surrogate");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	if (out)
		scan_put_utf8(out, c);
	return 0;
}

/* After "\". */
static int
scan_escape(struct scan *s, struct strbuf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (scan_accept(s, 'u'))
		return scan_unicode(s, out);
	at = s->p < s->end && *s->p ? strchr(from, *s->p) : NULL;
	if (!at)
		return scan_fail(s, "bad escape in a string");
	s->p++;
	if (out)
		strbuf_addc(out, to[at - from]);
	return 0;
}

/* At the opening quote; the decoded text is added to out when given. */
static int
scan_string(struct scan *s, struct strbuf *out)
{
	s->p++;
	while (s->p < s->end && *s->p != '"') {
		size_t n;

		if (scan_accept(s, '\\')) {
			if (scan_escape(s, out))
				return -1;
			continue;
		}
		if ((unsigned char)*s->p < 0x20)
			return scan_fail(s, "control byte in a string");
		n = utf8_decode(s->p, (size_t)(s->end - s->p), NULL);
		if (!n)
			return scan_fail(s, "invalid UTF-8");
		if (out)
			strbuf_add(out, s->p, n);
		s->p += n;
	}
	if (!scan_accept(s, '"'))
		return scan_fail(s, "string without an end");
	return 0;
}

static bool
scan_digits(struct scan *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > from;
}

static int
scan_number(struct scan *s)
{
	scan_accept(s, '-');
	if (!scan_accept(s, '0') && !scan_digits(s))
		return scan_fail(s, "not a JSON value");
	if (scan_accept(s, '.') && !scan_digits(s))
		return scan_fail(s, "digits must follow the decimal point");
	if (scan_accept(s, 'e') || scan_accept(s, 'E')) {
		if (!scan_accept(s, '+'))
			scan_accept(s, '-');
		if (!scan_digits(s))
			return scan_fail(s, "digits must follow the exponent");
	}
	return 0;
}

static int
scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i]);

		if ((size_t)(s->end - s->p) >= n && !memcmp(s->p, words[i], n)) {
			s->p += n;
			return 0;
		}
	}
	return scan_number(s);
}

static int
on_compare_keys(const void *a, const void *b, void *arg)
{
	const struct key *x = a, *y = b;
	const struct scan *s = arg;
	size_t n = x->len < y->len ? x->len : y->len;
	int c = n ? memcmp(s->text.data + x->off, s->text.data + y->off, n) : 0;

	if (c)
		return c;
	return (x->len > y->len) - (x->len < y->len);
}

static int
scan_find_duplicate(struct scan *s, size_t first)
{
	size_t n = s->nkeys - first;

	if (n < 2)
		return 0;
	qsort_r(s->keys + first, n, sizeof(*s->keys), on_compare_keys, s);
	for (size_t i = first + 1; i < s->nkeys; i++) {
		if (on_compare_keys(&s->keys[i - 1], &s->keys[i], s))
			continue;
		s->levels[s->depth - 1].key = s->keys[i];
		return scan_fail(s, "this object has the same key twice");
	}
	return 0;
}

static int
scan_key(struct scan *s)
{
	struct key key = { .off = (uint32_t)s->text.len };

	scan_space(s);
	if (s->p == s->end || *s->p != '"')
		return scan_fail(s, "a key in quotes must follow");
	if (s->nkeys == JSONSCAN_KEYS_MAX)
		return scan_fail(s, "too many keys");
	if (scan_string(s, &s->text))
		return -1;
	key.len = (uint32_t)(s->text.len - key.off);
	if (s->nkeys == s->keys_cap) {
		s->keys_cap = s->keys_cap ? s->keys_cap * 2 : 64;
		s->keys = xreallocarray(s->keys, s->keys_cap, sizeof(*s->keys));
	}
	s->keys[s->nkeys++] = key;
	s->levels[s->depth - 1].key = key;
	scan_space(s);
	if (!scan_accept(s, ':'))
		return scan_fail(s, "\":\" must follow a key");
	return 0;
}

static int
scan_members(struct scan *s)
{
	size_t first = s->nkeys, text = s->text.len;

	scan_space(s);
	if (scan_accept(s, '}'))
		return 0;
	do {
		if (scan_key(s) || scan_value(s))
			return -1;
	} while (scan_accept(s, ','));
	s->levels[s->depth - 1].key = (struct key){ 0 };
	if (!scan_accept(s, '}'))
		return scan_fail(s, "\",\" or \"}\" must follow");
	if (scan_find_duplicate(s, first))
		return -1;
	s->nkeys = first;
	s->text.len = text;
	return 0;
}

static int
scan_items(struct scan *s)
{
	scan_space(s);
	if (scan_accept(s, ']'))
		return 0;
	for (;; s->levels[s->depth - 1].index++) {
		if (scan_value(s))
			return -1;
		if (!scan_accept(s, ','))
			break;
	}
	if (!scan_accept(s, ']'))
		return scan_fail(s, "\",\" or \"]\" must follow");
	return 0;
}

static int
scan_container(struct scan *s, bool array)
{
	if (s->depth == s->max_depth)
		return scan_fail(s, "nested too deep");
	s->p++;
	s->levels[s->depth++] = (struct level){ .array = array };
	if (array ? scan_items(s) : scan_members(s))
		return -1;
	s->depth--;
	return 0;
}

static int
scan_value(struct scan *s)
{
	int rc;

	scan_space(s);
	if (s->p == s->end)
		return scan_fail(s, "the text ends too early");
	if (*s->p == '{' || *s->p == '[')
		rc = scan_container(s, *s->p == '[');
	else if (*s->p == '"')
		rc = scan_string(s, NULL);
	else
		rc = scan_word(s);
	scan_space(s);
	return rc;
}

int
jsonscan_check(const char *body, size_t len, unsigned max_depth, struct err *e)
{
	struct scan s = { .start = body, .p = body, .end = body + len, .e = e };
	int rc;

	if (len > UINT32_MAX)
		return err_set(e, ERR_TOO_LARGE, "over 4 GiB");
	s.max_depth = max_depth < JSONSCAN_DEPTH_MAX ? max_depth : JSONSCAN_DEPTH_MAX;
	rc = scan_value(&s);
	if (!rc && s.p < s.end)
		rc = scan_fail(&s, "something follows the JSON value");
	free(s.keys);
	strbuf_free(&s.text);
	return rc;
}
