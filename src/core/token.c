#include "slipway/token.h"

#include <openssl/evp.h>
#include <string.h>

#include "slipway/id.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define RECORD_VERSION 1
#define PREFIX_LEN (sizeof(TOKEN_PREFIX) - 1)

static const char *const scope_names[TOKEN_SCOPES] = {
	[TOKEN_NOTHING] = "",
	[TOKEN_READ] = "read",
	[TOKEN_SUBMIT] = "submit",
	[TOKEN_ADMIN] = "admin",
};

static bool
is_alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

void
token_make(char out[TOKEN_LEN + 1])
{
	memcpy(out, TOKEN_PREFIX, PREFIX_LEN);
	id_random_base62(out + PREFIX_LEN, TOKEN_LEN - PREFIX_LEN);
}

bool
token_hash(const char *text, size_t len, uint8_t hash[TOKEN_HASH_LEN])
{
	if (len != TOKEN_LEN || memcmp(text, TOKEN_PREFIX, PREFIX_LEN) != 0)
		return false;
	for (size_t i = PREFIX_LEN; i < len; i++)
		if (!is_alnum(text[i]))
			return false;
	if (EVP_Digest(text, len, hash, NULL, EVP_sha256(), NULL) != 1)
		log_fatal(LOG_WEB, "sha-256 is not available");
	return true;
}

bool
token_name_is_valid(const char *name)
{
	size_t n = 0;

	if (!is_alnum(name[0]))
		return false;
	while (is_alnum(name[n]) || (name[n] && strchr("._-@", name[n])))
		n++;
	return !name[n] && n <= TOKEN_NAME_MAX;
}

bool
token_is_expired(const struct token *t, int64_t now)
{
	return t->expires_at && now >= t->expires_at;
}

const char *
token_scope_name(enum token_scope s)
{
	return s < TOKEN_SCOPES ? scope_names[s] : "";
}

enum token_scope
token_scope_parse(const char *name)
{
	for (enum token_scope s = TOKEN_READ; s < TOKEN_SCOPES; s++)
		if (!strcmp(scope_names[s], name))
			return s;
	return TOKEN_NOTHING;
}

void
token_encode(const struct token *t, struct wire_w *w)
{
	wire_w_u8(w, RECORD_VERSION);
	wire_w_str(w, t->id);
	wire_w_str(w, t->name);
	wire_w_u8(w, (uint8_t)t->scope);
	wire_w_i64(w, t->created_at);
	wire_w_i64(w, t->expires_at);
	wire_w_i64(w, t->used_at);
}

int
token_decode(const uint8_t hash[TOKEN_HASH_LEN], const void *data, size_t len,
	     struct token *out, struct err *e)
{
	struct token t = { .scope = TOKEN_NOTHING };
	struct wire_r r;

	wire_r_init(&r, data, len);
	if (wire_r_u8(&r) != RECORD_VERSION)
		return err_set(e, ERR_CORRUPT, "a token's record of another version");
	memcpy(t.hash, hash, TOKEN_HASH_LEN);
	wire_r_str_into(&r, t.id, sizeof(t.id));
	wire_r_str_into(&r, t.name, sizeof(t.name));
	t.scope = wire_r_u8(&r);
	t.created_at = wire_r_i64(&r);
	t.expires_at = wire_r_i64(&r);
	t.used_at = wire_r_i64(&r);
	if (!wire_r_done(&r) || strlen(t.id) != TOKEN_ID_LEN ||
	    !token_name_is_valid(t.name) || t.scope == TOKEN_NOTHING ||
	    t.scope >= TOKEN_SCOPES || t.expires_at < 0)
		return err_set(e, ERR_CORRUPT, "a token's record does not decode");
	*out = t;
	return 0;
}
