#include "slipway/netaddr.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define V4_BITS 96

static const uint8_t v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

bool
netaddr_parse(const char *s, size_t len, struct netaddr *out)
{
	char text[INET6_ADDRSTRLEN];

	if (!len || len >= sizeof(text) || memchr(s, '\0', len))
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	memcpy(out->bytes, v4_prefix, sizeof(v4_prefix));
	return inet_pton(AF_INET, text, out->bytes + sizeof(v4_prefix)) == 1 ||
	       inet_pton(AF_INET6, text, out->bytes) == 1;
}

static bool
is_port(const char *s, size_t len)
{
	size_t digits = 0;

	while (digits < len && s[digits] >= '0' && s[digits] <= '9')
		digits++;
	return len > 0 && len <= 5 && digits == len;
}

bool
netaddr_parse_hop(const char *s, size_t len, struct netaddr *out)
{
	const char *end = s + len, *colon, *close;

	if (!len)
		return false;
	if (s[0] == '[') {
		close = memchr(s, ']', len);
		if (!close || (close + 1 < end &&
			       (close[1] != ':' ||
				!is_port(close + 2, (size_t)(end - close - 2)))))
			return false;
		return memchr(s, ':', (size_t)(close - s)) &&
		       netaddr_parse(s + 1, (size_t)(close - s - 1), out);
	}
	colon = memchr(s, ':', len);
	/* More than one colon is an IPv6 address without brackets. */
	if (!colon || memchr(colon + 1, ':', (size_t)(end - colon - 1)))
		return netaddr_parse(s, len, out);
	return is_port(colon + 1, (size_t)(end - colon - 1)) &&
	       netaddr_parse(s, (size_t)(colon - s), out);
}

static bool
bit_of(const struct netaddr *a, unsigned i)
{
	return a->bytes[i / 8] >> (7 - i % 8) & 1;
}

const char *
netaddr_parse_net(const char *s, struct netaddr_net *out)
{
	size_t len = strcspn(s, "/");
	bool four = memchr(s, '.', len) && !memchr(s, ':', len);
	unsigned most = four ? 32 : 128;
	unsigned long bits = most;

	if (!netaddr_parse(s, len, &out->addr))
		return "must be an IP address or a network, as in 10.0.0.0/8";
	if (s[len]) {
		if (!is_port(s + len + 1, strlen(s + len + 1)))
			return "must be an IP address or a network, as in 10.0.0.0/8";
		bits = strtoul(s + len + 1, NULL, 10);
	}
	if (bits > most)
		return four ? "must have a prefix of at most 32"
			    : "must have a prefix of at most 128";
	if (!bits)
		return "is everybody";
	out->bits = (unsigned)bits + (four ? V4_BITS : 0);
	for (unsigned i = out->bits; i < 128; i++)
		if (bit_of(&out->addr, i))
			return "has bits beyond its prefix";
	return NULL;
}

static bool
is_within(const struct netaddr *a, const struct netaddr_net *net)
{
	unsigned bytes = net->bits / 8, rest = net->bits % 8;

	if (memcmp(a->bytes, net->addr.bytes, bytes) != 0)
		return false;
	return !rest ||
	       a->bytes[bytes] >> (8 - rest) == net->addr.bytes[bytes] >> (8 - rest);
}

bool
netaddr_is_in(const struct netaddr *a, const struct netaddr_net *nets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_within(a, &nets[i]))
			return true;
	return false;
}

bool
netaddr_is_loopback(const struct netaddr *a)
{
	static const struct netaddr six = { .bytes[15] = 1 };

	return (!memcmp(a->bytes, v4_prefix, sizeof(v4_prefix)) &&
		a->bytes[12] == 127) ||
	       !memcmp(a, &six, sizeof(six));
}

bool
netaddr_is_none(const struct netaddr *a)
{
	static const struct netaddr none;

	return !memcmp(a, &none, sizeof(none));
}

struct netaddr
netaddr_site(const struct netaddr *a)
{
	struct netaddr site = *a;

	if (memcmp(a->bytes, v4_prefix, sizeof(v4_prefix)) != 0 &&
	    !netaddr_is_loopback(a))
		memset(site.bytes + 8, 0, 8);
	return site;
}

void
netaddr_format(const struct netaddr *a, char out[NETADDR_TEXT])
{
	bool four = !memcmp(a->bytes, v4_prefix, sizeof(v4_prefix));

	out[0] = '\0';
	if (four)
		inet_ntop(AF_INET, a->bytes + sizeof(v4_prefix), out, NETADDR_TEXT);
	else
		inet_ntop(AF_INET6, a->bytes, out, NETADDR_TEXT);
}

void
netaddr_forwarded(const char *list, const struct netaddr_net *trusted, size_t n,
		  struct netaddr *a)
{
	const char *end = list + strlen(list), *start, *from, *to;
	struct netaddr hop;

	for (;; end = start - 1) {
		start = to = end;
		while (start > list && start[-1] != ',')
			start--;
		while (to > start && (to[-1] == ' ' || to[-1] == '\t'))
			to--;
		for (from = start; from < to && (*from == ' ' || *from == '\t');)
			from++;
		if (!netaddr_parse_hop(from, (size_t)(to - from), &hop))
			return;
		*a = hop;
		if (start == list || !netaddr_is_in(&hop, trusted, n))
			return;
	}
}
