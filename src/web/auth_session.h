/*
 * auth_session: the cookie of a browser that is logged in. Pure, any thread.
 *
 * "ID.EXPIRY.MAC": the id of the token it was bought with, when it ends (seconds since
 * the epoch), and an HMAC-SHA256 of both. Nothing is stored; it dies with its token.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/token.h"

#define AUTH_SESSION_KEY_LEN 32
#define AUTH_SESSION_MAX 128 /* with its terminator */
#define AUTH_SESSION_COOKIE "slipway_session"

void auth_session_sign(const uint8_t key[AUTH_SESSION_KEY_LEN], const char *id,
		       int64_t expires_at, char out[AUTH_SESSION_MAX]);
/* Is it ours and not over? Times are ms. */
bool auth_session_check(const uint8_t key[AUTH_SESSION_KEY_LEN], const char *text,
			size_t len, int64_t now, char id[TOKEN_ID_LEN + 1]);
/* The next value of that name in a Cookie header, which *rest walks; NULL at the end. */
const char *auth_cookie_next(const char **rest, const char *name, size_t *len);
/* Is it a path of this server to go to after the login: a single slash first, nothing
 * that a browser would take for another host? */
bool auth_next_is_local(const char *path);
