/*
 * known_hosts: OpenSSH's file of host keys. Pure.
 *
 * Plain names with * and ?, negated names, hashed names (|1|salt|hash) and [host]:port
 * are understood, so is @revoked; certificate authorities are skipped.
 */
#pragma once

#include <stddef.h>

enum known_host {
	KNOWN_HOST_UNKNOWN,    /* no line names this host */
	KNOWN_HOST_OTHER_TYPE, /* only with keys of other types */
	KNOWN_HOST_CHANGED,    /* with another key of this type */
	KNOWN_HOST_REVOKED,    /* the key must not be used */
	KNOWN_HOST_MATCH
};

/* key is the raw blob that the server presented (RFC 4253, 6.6). */
enum known_host known_hosts_check(const char *text, size_t len, const char *host,
				  unsigned port, const void *key, size_t keylen);
