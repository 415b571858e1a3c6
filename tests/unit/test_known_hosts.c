#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../../src/worker/known_hosts.h"

#define ED "AAAAC3NzaC1lZDI1NTE5AAAAIKwgilFGWUwEjuN/wQk7CxCUuQQHWF4opCqdj1oGFD/q"
#define ED2 "AAAAC3NzaC1lZDI1NTE5AAAAILSR0CV6g+PuoxwG1+o0vqljrh9bPphu55phKuYrXvZz"
#define EC                                                                     \
	"AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHX6+tTLUsOOPW0w" \
	"+o1NDIni6ugRJQXdRX//ax+5QuCjBUqpbQSa+0c1Nv/qpioHxUNuMYhwgYhoHyYk3c+dlsA="
/* git.example.com and [git.example.com]:2222, by ssh-keygen -H */
#define HASHED                                                                 \
	"|1|FX5aN3vJSsPCQHSpXCleK4wLH+g=|z5t46pK2kU9vGDYLfUG4oA4HT2w= "        \
	"ssh-ed25519 " ED "\n"
#define HASHED_PORT                                                            \
	"|1|/ABq1BqtE/R0HDsakeOy2zrMjc8=|1/n3eO0BPap2fcFSWjfJtRv2l6U= "        \
	"ssh-ed25519 " ED "\n"

/* The blob of ED. */
static const unsigned char key[] = {
	0, 0, 0, 11, 's', 's', 'h', '-', 'e', 'd', '2', '5', '5', '1', '9', 0, 0, 0, 32,
	0xac, 0x20, 0x8a, 0x51, 0x46, 0x59, 0x4c, 0x04, 0x8e, 0xe3, 0x7f, 0xc1, 0x09,
	0x3b, 0x0b, 0x10, 0x94, 0xb9, 0x04, 0x07, 0x58, 0x5e, 0x28, 0xa4, 0x2a, 0x9d,
	0x8f, 0x5a, 0x06, 0x14, 0x3f, 0xea,
};

static enum known_host
check(const char *text, const char *host, unsigned port)
{
	return known_hosts_check(text, strlen(text), host, port, key, sizeof(key));
}

Test(known_hosts, plain_name_matches)
{
	cr_expect_eq(check("h ssh-ed25519 " ED "\n", "h", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check("h ssh-ed25519 " ED, "h", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check("h ssh-ed25519 " ED "\r\n", "h", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check("\th\t ssh-ed25519  " ED " me@there\n", "h", 22),
		     KNOWN_HOST_MATCH);
	cr_expect_eq(check("a,h,b ssh-ed25519 " ED "\n", "h", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check("H ssh-ed25519 " ED "\n", "h", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check("h ssh-ed25519 " ED "\n", "H", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check("hh ssh-ed25519 " ED "\n", "h", 22), KNOWN_HOST_UNKNOWN);
}

Test(known_hosts, ports_other_than_22_are_part_of_the_name)
{
	cr_expect_eq(check("[h]:29 ssh-ed25519 " ED "\n", "h", 29), KNOWN_HOST_MATCH);
	cr_expect_eq(check("[h]:29 ssh-ed25519 " ED "\n", "h", 22), KNOWN_HOST_UNKNOWN);
	cr_expect_eq(check("[h]:29 ssh-ed25519 " ED "\n", "h", 2), KNOWN_HOST_UNKNOWN);
	cr_expect_eq(check("h ssh-ed25519 " ED "\n", "h", 29), KNOWN_HOST_UNKNOWN);
}

Test(known_hosts, patterns_and_negation)
{
	cr_expect_eq(check("*.x.org ssh-ed25519 " ED "\n", "a.x.org", 22),
		     KNOWN_HOST_MATCH);
	cr_expect_eq(check("?.x.org ssh-ed25519 " ED "\n", "ab.x.org", 22),
		     KNOWN_HOST_UNKNOWN);
	cr_expect_eq(check("*.x.org,!b.x.org ssh-ed25519 " ED "\n", "b.x.org", 22),
		     KNOWN_HOST_UNKNOWN);
	cr_expect_eq(check("!b.x.org,*.x.org ssh-ed25519 " ED "\n", "a.x.org", 22),
		     KNOWN_HOST_MATCH);
}

Test(known_hosts, hashed_names)
{
	cr_expect_eq(check(HASHED, "git.example.com", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check(HASHED, "Git.Example.com", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check(HASHED, "git.example.org", 22), KNOWN_HOST_UNKNOWN);
	cr_expect_eq(check(HASHED, "git.example.com", 2222), KNOWN_HOST_UNKNOWN);
	cr_expect_eq(check(HASHED_PORT, "git.example.com", 2222), KNOWN_HOST_MATCH);
}

Test(known_hosts, another_key_is_told_apart)
{
	cr_expect_eq(check("h ssh-ed25519 " ED2 "\n", "h", 22), KNOWN_HOST_CHANGED);
	cr_expect_eq(check("h ecdsa-sha2-nistp256 " EC "\n", "h", 22),
		     KNOWN_HOST_OTHER_TYPE);
	cr_expect_eq(check("h ecdsa-sha2-nistp256 " EC "\nh ssh-ed25519 " ED2 "\n", "h",
			   22), KNOWN_HOST_CHANGED);
	cr_expect_eq(check("h ssh-ed25519 " ED2 "\nh ssh-ed25519 " ED "\n", "h", 22),
		     KNOWN_HOST_MATCH);
}

Test(known_hosts, revoked_keys_never_match)
{
	cr_expect_eq(check("h ssh-ed25519 " ED "\n@revoked h ssh-ed25519 " ED "\n", "h",
			   22), KNOWN_HOST_REVOKED);
	cr_expect_eq(check("@revoked h ssh-ed25519 " ED2 "\nh ssh-ed25519 " ED "\n",
			   "h", 22), KNOWN_HOST_MATCH);
	cr_expect_eq(check("@cert-authority h ssh-ed25519 " ED "\n", "h", 22),
		     KNOWN_HOST_UNKNOWN);
}

Test(known_hosts, damaged_lines_are_no_match)
{
	static const char *const lines[] = {
		"", "\n", "#h ssh-ed25519 " ED "\n", "h\n", "h ssh-ed25519\n",
		"h ssh-ed25519 !!!!\n", "h ssh-ed25519 AAA\n", "|1|\n",
		"|1| ssh-ed25519 " ED "\n", "|1|AAAA| ssh-ed25519 " ED "\n",
		"|2|FX5aN3vJSsPCQHSpXCleK4wLH+g=|z5t46pK2kU9vGDYLfUG4oA4HT2w= "
		"ssh-ed25519 " ED "\n", "@revoked\n", "@revoked h\n", ",,, x y\n",
		"!\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		cr_expect_lt(check(lines[i], "git.example.com", 22), KNOWN_HOST_MATCH,
			     "%s", lines[i]);
	cr_expect_eq(check("h ssh-ed25519 AAAA\n", "h", 22), KNOWN_HOST_OTHER_TYPE);
}

Test(known_hosts, every_prefix_is_safe)
{
	const char *text = HASHED HASHED_PORT "@revoked h,!x ssh-ed25519 " ED "\n";

	for (size_t n = 0; n <= strlen(text); n++) {
		char copy[1024];

		/* In a buffer of its own, so that reading past the end is seen. */
		memcpy(copy, text, n);
		known_hosts_check(copy, n, "h", 22, key, sizeof(key));
	}
	for (size_t n = 0; n < sizeof(key); n++)
		cr_assert_lt(known_hosts_check(HASHED, strlen(HASHED),
					       "git.example.com", 22, key, n),
			     KNOWN_HOST_MATCH);
}
