/*
 * What decides who somebody is: addresses and lists of proxies, tokens' texts and
 * records, cookies. The first byte tells which.
 */
#include "auth_session.h"
#include "fuzz.h"
#include "slipway/mem.h"
#include "slipway/netaddr.h"
#include "slipway/token.h"

static void
fuzz_address(const char *text, size_t len)
{
	struct netaddr a, b;
	char out[NETADDR_TEXT];

	if (!netaddr_parse_hop(text, len, &a))
		return;
	netaddr_format(&a, out);
	fuzz_must(netaddr_parse(out, strlen(out), &b) && !memcmp(&a, &b, sizeof(a)));
}

static void
fuzz_net(const char *text, size_t len)
{
	struct netaddr_net net;

	if (netaddr_parse_net(text, &net))
		return;
	fuzz_must(net.bits >= 1 && net.bits <= 128);
	fuzz_must(netaddr_is_in(&net.addr, &net, 1));
}

/* The last hop can be somebody's only when every one behind it is trusted. */
static void
fuzz_forwarded(const char *text, size_t len)
{
	struct netaddr_net trusted[2];
	struct netaddr peer, a, last;
	const char *comma = strrchr(text, ',');

	fuzz_must(!netaddr_parse_net("10.0.0.0/8", &trusted[0]) &&
		  !netaddr_parse_net("2001:db8::/32", &trusted[1]));
	fuzz_must(netaddr_parse("10.0.0.1", 8, &peer));
	a = peer;
	netaddr_forwarded(text, trusted, 2, &a);
	comma = comma ? comma + 1 : text;
	if (netaddr_parse_hop(comma, strlen(comma), &last) &&
	    !netaddr_is_in(&last, trusted, 2))
		fuzz_must(!memcmp(&a, &last, sizeof(a)));
}

static void
fuzz_token(const char *text, size_t len)
{
	uint8_t hash[TOKEN_HASH_LEN] = { 0 };
	struct wire_w w = { 0 };
	struct token t;

	if (token_hash(text, len, hash))
		fuzz_must(len == TOKEN_LEN && !memcmp(text, TOKEN_PREFIX, 4));
	if (token_decode(hash, text, len, &t, NULL) == 0) {
		fuzz_must(token_name_is_valid(t.name) && t.scope != TOKEN_NOTHING);
		token_encode(&t, &w);
		fuzz_must(w.len == len && !memcmp(w.data, text, len));
		wire_w_free(&w);
	}
}

static void
fuzz_cookie(const char *text, size_t len)
{
	static const uint8_t key[AUTH_SESSION_KEY_LEN] = { 1 };
	const char *rest = text, *value;
	char id[TOKEN_ID_LEN + 1];
	size_t n;

	while ((value = auth_cookie_next(&rest, AUTH_SESSION_COOKIE, &n))) {
		fuzz_must(value >= text && value + n <= text + strlen(text));
		fuzz_must(!memchr(value, ';', n));
		/* Nobody finds a MAC by trying. */
		fuzz_must(!auth_session_check(key, value, n, 0, id));
	}
	fuzz_must(!auth_session_check(key, text, len, 0, id));
}

static void
fuzz_next(const char *text, size_t len)
{
	if (!auth_next_is_local(text))
		return;
	fuzz_must(text[0] == '/' && text[1] != '/' && !strpbrk(text, "\\\r\n\t "));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(const char *, size_t) = {
		fuzz_address, fuzz_net,	   fuzz_forwarded,
		fuzz_token,   fuzz_cookie, fuzz_next,
	};
	cleanup_free char *text = NULL;

	if (!size)
		return 0;
	text = fuzz_text(data + 1, size - 1);
	targets[data[0] % ARRAY_LEN(targets)](text, size - 1);
	return 0;
}
