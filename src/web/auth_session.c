#include "auth_session.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>

#include "slipway/log.h"

#define MAC_LEN 32
#define DIGITS_MAX 12
#define NEXT_MAX 2048

static void
sign(const uint8_t key[AUTH_SESSION_KEY_LEN], const char *text, size_t len,
     char hex[2 * MAC_LEN + 1])
{
	static const char purpose[] = "slipway session";
	char signed_[sizeof(purpose) + AUTH_SESSION_MAX];
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n;

	memcpy(signed_, purpose, sizeof(purpose));
	memcpy(signed_ + sizeof(purpose), text, len);
	if (!HMAC(EVP_sha256(), key, AUTH_SESSION_KEY_LEN, (uint8_t *)signed_,
		  sizeof(purpose) + len, mac, &n) ||
	    n != MAC_LEN)
		log_fatal(LOG_WEB, "hmac-sha-256 is not available");
	for (unsigned i = 0; i < n; i++)
		snprintf(hex + 2 * (size_t)i, 3, "%02x", mac[i]);
}

void
auth_session_sign(const uint8_t key[AUTH_SESSION_KEY_LEN], const char *id,
		  int64_t expires_at, char out[AUTH_SESSION_MAX])
{
	char mac[2 * MAC_LEN + 1];
	int len = snprintf(out, AUTH_SESSION_MAX, "%s.%lld", id,
			   (long long)expires_at / 1000);

	sign(key, out, (size_t)len, mac);
	snprintf(out + len, AUTH_SESSION_MAX - (size_t)len, ".%s", mac);
}

/* The end of the digits from s on; *value is what they say. */
static const char *
read_seconds(const char *s, const char *end, int64_t *value)
{
	const char *from = s;

	for (*value = 0; s < end && *s >= '0' && *s <= '9' && s - from < DIGITS_MAX;
	     s++)
		*value = *value * 10 + (*s - '0');
	return s;
}

bool
auth_session_check(const uint8_t key[AUTH_SESSION_KEY_LEN], const char *text,
		   size_t len, int64_t now, char id[TOKEN_ID_LEN + 1])
{
	const char *end = text + len, *p;
	char mac[2 * MAC_LEN + 1];
	int64_t seconds;

	if (len >= AUTH_SESSION_MAX || len <= TOKEN_ID_LEN + 1 + sizeof(mac) ||
	    text[TOKEN_ID_LEN] != '.')
		return false;
	p = read_seconds(text + TOKEN_ID_LEN + 1, end, &seconds);
	if ((size_t)(end - p) != sizeof(mac) || *p != '.')
		return false;
	sign(key, text, (size_t)(p - text), mac);
	if (CRYPTO_memcmp(mac, p + 1, sizeof(mac) - 1) != 0 || seconds * 1000 <= now)
		return false;
	memcpy(id, text, TOKEN_ID_LEN);
	id[TOKEN_ID_LEN] = '\0';
	return true;
}

const char *
auth_cookie_next(const char **rest, const char *name, size_t *len)
{
	size_t name_len = strlen(name);

	while (**rest) {
		const char *p = *rest + strspn(*rest, " \t;");

		*rest = p + strcspn(p, ";");
		if (!strncmp(p, name, name_len) && p[name_len] == '=') {
			p += name_len + 1;
			*len = (size_t)(*rest - p);
			while (*len && (p[*len - 1] == ' ' || p[*len - 1] == '\t'))
				--*len;
			return p;
		}
	}
	return NULL;
}

bool
auth_next_is_local(const char *path)
{
	if (path[0] != '/' || path[1] == '/' || strlen(path) > NEXT_MAX)
		return false;
	/* Browsers read a backslash as a slash, and skip tabs and line ends. */
	for (; *path; path++)
		if ((unsigned char)*path < 0x21 || *path == 0x7f || *path == '\\')
			return false;
	return true;
}
