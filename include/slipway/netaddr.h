/*
 * netaddr: IP addresses and networks as text, and who is behind a proxy. Pure, any
 * thread. Neither names nor zones ("%eth0") are addresses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NETADDR_TEXT 46

/* IPv4 as ::ffff:a.b.c.d, so that an address has one form. All zero: none. */
struct netaddr {
	uint8_t bytes[16];
};

struct netaddr_net {
	struct netaddr addr;
	unsigned bits; /* of 128 */
};

/* "192.0.2.1", "2001:db8::1" */
bool netaddr_parse(const char *s, size_t len, struct netaddr *out);
/* The same, or with a port: "192.0.2.1:80", "[2001:db8::1]:80", "[2001:db8::1]". */
bool netaddr_parse_hop(const char *s, size_t len, struct netaddr *out);
/* An address, or "10.0.0.0/8". What is wrong, or NULL: bits beyond the prefix are, and
 * so is a network of everybody. */
const char *netaddr_parse_net(const char *s, struct netaddr_net *out);
bool netaddr_is_in(const struct netaddr *a, const struct netaddr_net *nets, size_t n);
bool netaddr_is_loopback(const struct netaddr *a);
bool netaddr_is_none(const struct netaddr *a);
/* What stands for one customer of a provider: an IPv4 address, or the /64. */
struct netaddr netaddr_site(const struct netaddr *a);
void netaddr_format(const struct netaddr *a, char out[NETADDR_TEXT]);
/* list is an X-Forwarded-For: each proxy has added who talked to it. From the right,
 * hops that are trusted are believed; *a, the peer, becomes the first one that is not.
 * What cannot be read is not believed either. */
void netaddr_forwarded(const char *list, const struct netaddr_net *trusted, size_t n,
		       struct netaddr *a);
