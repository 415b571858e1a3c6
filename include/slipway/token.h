/*
 * token: what an access token is: its text, its scopes, its record. Pure, any thread.
 *
 * The text, "slw_" and 43 random letters and digits (256 bits), is shown once. Kept is
 * its SHA-256: a secret that nobody can guess needs no slow hash.
 * Scopes are ordered, each includes those before it: read, submit (and cancel, retry),
 * admin.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/wire.h"

#define TOKEN_PREFIX "slw_"
#define TOKEN_LEN 47
#define TOKEN_NAME_MAX 64
#define TOKEN_HASH_LEN 32
#define TOKEN_ID_LEN 16

enum token_scope {
	TOKEN_NOTHING, /* allowed to everybody, or nothing at all */
	TOKEN_READ,
	TOKEN_SUBMIT,
	TOKEN_ADMIN,
	TOKEN_SCOPES
};

struct token {
	uint8_t hash[TOKEN_HASH_LEN];
	char id[TOKEN_ID_LEN + 1]; /* random; sessions name it */
	char name[TOKEN_NAME_MAX + 1];
	enum token_scope scope;
	int64_t created_at; /* ms since the epoch */
	int64_t expires_at; /* 0: never */
	int64_t used_at;    /* 0: not yet; to the minute */
};

/* A new text, from the kernel's random numbers. */
void token_make(char out[TOKEN_LEN + 1]);
/* False when it cannot be a token's text. */
bool token_hash(const char *text, size_t len, uint8_t hash[TOKEN_HASH_LEN]);
/* 1..64 letters, digits and ._-@; begins with a letter or digit. */
bool token_name_is_valid(const char *name);
bool token_is_expired(const struct token *t, int64_t now);

const char *token_scope_name(enum token_scope s);
/* TOKEN_NOTHING when it is none. */
enum token_scope token_scope_parse(const char *name);

/* The record; the hash is its key. */
void token_encode(const struct token *t, struct wire_w *w);
/* ERR_CORRUPT */
int token_decode(const uint8_t hash[TOKEN_HASH_LEN], const void *data, size_t len,
		 struct token *out, struct err *e);
