#include <criterion/criterion.h>
#include <string.h>

#include "slipway/mem.h"
#include "slipway/netaddr.h"

static struct netaddr
addr(const char *s)
{
	struct netaddr a = { 0 };

	cr_assert(netaddr_parse(s, strlen(s), &a), "%s", s);
	return a;
}

static const char *
text(const struct netaddr *a)
{
	static char out[NETADDR_TEXT];

	netaddr_format(a, out);
	return out;
}

Test(netaddr, addresses_have_one_form)
{
	static const char *const same[][2] = {
		{ "192.0.2.1", "192.0.2.1" },
		{ "::ffff:192.0.2.1", "192.0.2.1" },
		{ "::ffff:c000:201", "192.0.2.1" },
		{ "2001:DB8:0::1", "2001:db8::1" },
		{ "::1", "::1" },
	};

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		struct netaddr a = addr(same[i][0]);

		cr_assert_str_eq(text(&a), same[i][1]);
	}
}

Test(netaddr, what_is_no_address)
{
	static const char *const bad[] = {
		"",	      " 192.0.2.1",	   "192.0.2.1 ",
		"192.0.2",    "192.0.2.256",	   "localhost",
		"0x7f.1",     "192.0.2.01x",	   "[::1]",
		"fe80::1%lo", "1:2:3:4:5:6:7:8:9", "unknown"
	};
	struct netaddr a;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(netaddr_parse(bad[i], strlen(bad[i]), &a), "%s", bad[i]);
	cr_assert_not(netaddr_parse("127.0.0.1\0x", 11, &a));
}

Test(netaddr, hops_may_have_a_port)
{
	static const char *const good[] = { "192.0.2.1:80", "192.0.2.1" };
	static const char *const six[] = { "[2001:db8::1]:65535", "[2001:db8::1]",
					   "2001:db8::1" };
	static const char *const bad[] = { "192.0.2.1:",     "192.0.2.1:x",
					   "[2001:db8::1",   "[2001:db8::1]80",
					   "[192.0.2.1]:80", "[]:80",
					   "[::1]:123456",   ":80",
					   "\"192.0.2.1\"" };
	struct netaddr a;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		cr_assert(netaddr_parse_hop(good[i], strlen(good[i]), &a), "%s",
			  good[i]);
		cr_assert_str_eq(text(&a), "192.0.2.1");
	}
	for (size_t i = 0; i < ARRAY_LEN(six); i++) {
		cr_assert(netaddr_parse_hop(six[i], strlen(six[i]), &a), "%s", six[i]);
		cr_assert_str_eq(text(&a), "2001:db8::1");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(netaddr_parse_hop(bad[i], strlen(bad[i]), &a), "%s",
			      bad[i]);
}

static bool
is_in(const char *a, const char *net)
{
	struct netaddr_net n;
	struct netaddr who = addr(a);
	const char *wrong = netaddr_parse_net(net, &n);

	cr_assert_null(wrong, "%s: %s", net, wrong);
	return netaddr_is_in(&who, &n, 1);
}

Test(netaddr, networks_end_where_their_prefix_says)
{
	cr_assert(is_in("10.255.255.255", "10.0.0.0/8"));
	cr_assert_not(is_in("11.0.0.0", "10.0.0.0/8"));
	cr_assert(is_in("192.0.2.127", "192.0.2.0/25"));
	cr_assert_not(is_in("192.0.2.128", "192.0.2.0/25"));
	cr_assert(is_in("192.0.2.1", "192.0.2.1"));
	cr_assert_not(is_in("192.0.2.2", "192.0.2.1/32"));
	cr_assert(is_in("::ffff:10.1.1.1", "10.0.0.0/8"));
	cr_assert(is_in("2001:db8:0:1::5", "2001:db8:0:1::/64"));
	cr_assert_not(is_in("2001:db8:0:2::5", "2001:db8:0:1::/64"));
	cr_assert(is_in("8000::", "8000::/1"));
	cr_assert_not(is_in("7fff::", "8000::/1"));
	cr_assert_not(is_in("::a00:1", "10.0.0.0/8"));
}

Test(netaddr, crooked_networks_are_told)
{
	static const struct {
		const char *net, *why;
	} bad[] = {
		{ "10.0.0.1/8", "has bits beyond its prefix" },
		{ "2001:db8::1/32", "has bits beyond its prefix" },
		{ "0.0.0.0/0", "is everybody" },
		{ "::/0", "is everybody" },
		{ "10.0.0.0/33", "must have a prefix of at most 32" },
		{ "::/129", "must have a prefix of at most 128" },
		{ "10.0.0.0/", "must be an IP address" },
		{ "10.0.0.0/x", "must be an IP address" },
		{ "10.0.0.0/-1", "must be an IP address" },
		{ "proxy", "must be an IP address" },
		{ "", "must be an IP address" },
	};
	struct netaddr_net n;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *why = netaddr_parse_net(bad[i].net, &n);

		cr_assert(why && strstr(why, bad[i].why) == why, "%s: %s", bad[i].net,
			  why);
	}
}

Test(netaddr, loopback_and_sites)
{
	struct netaddr a = addr("127.9.9.9"), b = addr("::1"), c = addr("128.0.0.1");
	struct netaddr six = addr("2001:db8:1:2:3:4:5:6"), none = { 0 };

	cr_assert(netaddr_is_loopback(&a) && netaddr_is_loopback(&b));
	cr_assert_not(netaddr_is_loopback(&c) || netaddr_is_loopback(&none));
	cr_assert(netaddr_is_none(&none) && !netaddr_is_none(&b));
	six = netaddr_site(&six);
	cr_assert_str_eq(text(&six), "2001:db8:1:2::");
	c = netaddr_site(&c);
	cr_assert_str_eq(text(&c), "128.0.0.1");
	b = netaddr_site(&b);
	cr_assert_str_eq(text(&b), "::1");
}

static void
assert_client(const char *peer, const char *list, const char *client)
{
	static const char *const trusted[] = { "10.0.0.0/8", "2001:db8::1" };
	struct netaddr_net nets[ARRAY_LEN(trusted)];
	struct netaddr a = addr(peer);

	for (size_t i = 0; i < ARRAY_LEN(trusted); i++)
		cr_assert_null(netaddr_parse_net(trusted[i], &nets[i]));
	netaddr_forwarded(list, nets, ARRAY_LEN(nets), &a);
	cr_assert_str_eq(text(&a), client, "'%s': %s", list, text(&a));
}

Test(netaddr, the_client_is_the_last_hop_that_is_not_trusted)
{
	assert_client("10.0.0.1", "192.0.2.7", "192.0.2.7");
	assert_client("10.0.0.1", "198.51.100.1, 192.0.2.7", "192.0.2.7");
	assert_client("10.0.0.1", "198.51.100.1,192.0.2.7 ,\t10.0.0.2", "192.0.2.7");
	assert_client("10.0.0.1", "192.0.2.7:4711, [2001:db8::1]:80", "192.0.2.7");
	assert_client("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
	assert_client("10.0.0.1", "10.0.0.3", "10.0.0.3");
}

Test(netaddr, what_cannot_be_read_ends_the_belief)
{
	assert_client("10.0.0.1", "", "10.0.0.1");
	assert_client("10.0.0.1", "192.0.2.7,", "10.0.0.1");
	assert_client("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1");
	assert_client("10.0.0.1", "192.0.2.7, _x, 10.0.0.2", "10.0.0.2");
	assert_client("10.0.0.1", ",,,", "10.0.0.1");
	assert_client("10.0.0.1", "for=192.0.2.7", "10.0.0.1");
}
