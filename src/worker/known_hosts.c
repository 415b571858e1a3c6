#include "known_hosts.h"

#include <ctype.h>
#include <fnmatch.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define KEY_MAX 4096
#define HASH_LEN 20
#define NAME_MAX_LEN 300

struct word {
	const char *p;
	size_t len;
};

static bool
next_word(const char **p, const char *end, struct word *w)
{
	while (*p < end && (**p == ' ' || **p == '\t'))
		(*p)++;
	w->p = *p;
	while (*p < end && **p != ' ' && **p != '\t')
		(*p)++;
	w->len = (size_t)(*p - w->p);
	return w->len > 0;
}

static bool
word_is(const struct word *w, const char *s)
{
	return w->len == strlen(s) && !memcmp(w->p, s, w->len);
}

static int
base64_value(char c)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				       "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* Bytes written, or 0 when it is not base64 or does not fit. */
static size_t
base64_decode(const char *s, size_t len, uint8_t *out, size_t size)
{
	uint32_t acc = 0;
	unsigned bits = 0;
	size_t n = 0;

	while (len && s[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		int v = base64_value(s[i]);

		if (v < 0)
			return 0;
		acc = acc << 6 | (uint32_t)v;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		if (n == size)
			return 0;
		out[n++] = (uint8_t)(acc >> bits);
	}
	return n;
}

/* "|1|salt|hash": HMAC-SHA1 of the name with the salt as key */
static bool
matches_hashed(const struct word *w, const char *name)
{
	const char *salt = w->p + 3, *end = w->p + w->len, *sep;
	uint8_t key[64], want[HASH_LEN + 1], got[EVP_MAX_MD_SIZE];
	unsigned got_len = 0;
	size_t keylen;

	if (w->len < 4 || memcmp(w->p, "|1|", 3))
		return false;
	sep = memchr(salt, '|', (size_t)(end - salt));
	if (!sep)
		return false;
	keylen = base64_decode(salt, (size_t)(sep - salt), key, sizeof(key));
	if (!keylen || base64_decode(sep + 1, (size_t)(end - sep - 1), want,
				     sizeof(want)) != HASH_LEN)
		return false;
	if (!HMAC(EVP_sha1(), key, (int)keylen, (const unsigned char *)name,
		  strlen(name), got, &got_len))
		return false;
	return got_len == HASH_LEN && !CRYPTO_memcmp(want, got, HASH_LEN);
}

/* Brackets are part of "[host]:port", not sets of characters. */
static bool
matches_pattern(const char *p, size_t len, const char *name)
{
	char pattern[2 * NAME_MAX_LEN];
	size_t n = 0;

	if (len >= NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '[' || p[i] == ']' || p[i] == '\\')
			pattern[n++] = '\\';
		pattern[n++] = p[i];
	}
	pattern[n] = '\0';
	return !fnmatch(pattern, name, FNM_CASEFOLD);
}

static bool
matches_names(const struct word *w, const char *name)
{
	const char *p = w->p, *end = w->p + w->len;
	bool found = false;

	if (w->p[0] == '|')
		return matches_hashed(w, name);
	while (p < end) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;
		bool negated = *p == '!';

		if (negated)
			p++;
		if (matches_pattern(p, (size_t)(stop - p), name)) {
			if (negated)
				return false;
			found = true;
		}
		p = comma ? comma + 1 : end;
	}
	return found;
}

/* A blob begins with the length and name of its type. */
static bool
same_type(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t n;

	if (alen < 4 || blen < 4)
		return false;
	n = ((size_t)a[0] << 24 | (size_t)a[1] << 16 | (size_t)a[2] << 8 | a[3]) + 4;
	return n <= alen && n <= blen && !memcmp(a, b, n);
}

static enum known_host
check_line(const char *p, const char *end, const char *name, const void *key,
	   size_t keylen)
{
	struct word names, type, blob;
	uint8_t known[KEY_MAX];
	bool revoked = false, same;
	size_t n;

	if (!next_word(&p, end, &names) || names.p[0] == '#')
		return KNOWN_HOST_UNKNOWN;
	if (names.p[0] == '@') {
		revoked = word_is(&names, "@revoked");
		if (!revoked || !next_word(&p, end, &names))
			return KNOWN_HOST_UNKNOWN;
	}
	if (!next_word(&p, end, &type) || !next_word(&p, end, &blob) ||
	    !matches_names(&names, name))
		return KNOWN_HOST_UNKNOWN;
	n = base64_decode(blob.p, blob.len, known, sizeof(known));
	if (!n)
		return KNOWN_HOST_UNKNOWN;
	same = n == keylen && !memcmp(known, key, n);
	if (revoked)
		return same ? KNOWN_HOST_REVOKED : KNOWN_HOST_UNKNOWN;
	if (same)
		return KNOWN_HOST_MATCH;
	return same_type(known, n, key, keylen) ? KNOWN_HOST_CHANGED
						: KNOWN_HOST_OTHER_TYPE;
}

enum known_host
known_hosts_check(const char *text, size_t len, const char *host, unsigned port,
		  const void *key, size_t keylen)
{
	const char *p = text, *end = text + len;
	enum known_host best = KNOWN_HOST_UNKNOWN;
	char name[NAME_MAX_LEN];

	if (port == 22)
		snprintf(name, sizeof(name), "%s", host);
	else
		snprintf(name, sizeof(name), "[%s]:%u", host, port);
	/* OpenSSH hashes names in lower case. */
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *stop = nl ? nl : end;
		enum known_host k;

		if (stop > p && stop[-1] == '\r')
			stop--;
		k = check_line(p, stop, name, key, keylen);
		if (k == KNOWN_HOST_REVOKED)
			return k;
		if (k > best)
			best = k;
		p = nl ? nl + 1 : end;
	}
	return best;
}
