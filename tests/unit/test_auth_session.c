#include <criterion/criterion.h>
#include <string.h>

#include "auth_session.h"
#include "slipway/mem.h"
#include "slipway/strbuf.h"

#define ID "0123456789abcdef"
#define NOW INT64_C(1700000000000)

static const uint8_t key[AUTH_SESSION_KEY_LEN] = { 7 };
static const uint8_t other_key[AUTH_SESSION_KEY_LEN] = { 8 };
static char id[TOKEN_ID_LEN + 1];

static bool
check(const char *text, int64_t now)
{
	return auth_session_check(key, text, strlen(text), now, id);
}

Test(auth_session, a_signed_one_is_good_until_its_end)
{
	char text[AUTH_SESSION_MAX];

	auth_session_sign(key, ID, NOW + 5000, text);
	cr_assert(check(text, NOW));
	cr_assert_str_eq(id, ID);
	cr_assert(check(text, NOW + 4999));
	cr_assert_not(check(text, NOW + 5000));
	cr_assert_not(auth_session_check(other_key, text, strlen(text), NOW, id));
}

Test(auth_session, a_change_of_any_byte_is_seen)
{
	char text[AUTH_SESSION_MAX];
	size_t len;

	auth_session_sign(key, ID, NOW + 5000, text);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		char was = text[i];

		text[i] = was == '1' ? '2' : '1';
		cr_assert_not(check(text, NOW), "byte %zu", i);
		text[i] = was;
		cr_assert_not(auth_session_check(key, text, i, NOW, id));
	}
	text[len] = 'a';
	cr_assert_not(auth_session_check(key, text, len + 1, NOW, id));
	text[len] = '\0';
	cr_assert(check(text, NOW));
}

Test(auth_session, what_is_none)
{
	static const char *const bad[] = {
		"",
		".",
		"..",
		ID "..",
		ID ".9999999999999999999999999999999999."
		   "0000000000000000000000000000000000000000000000000000000000000000",
		ID
		".-1.0000000000000000000000000000000000000000000000000000000000000000",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(check(bad[i], NOW), "%s", bad[i]);
}

static void
assert_cookies(const char *header, const char *want)
{
	cleanup_strbuf struct strbuf got = { 0 };
	const char *rest = header, *text;
	size_t len;

	while ((text = auth_cookie_next(&rest, "s", &len))) {
		strbuf_add(&got, text, len);
		strbuf_addc(&got, '|');
	}
	cr_assert_str_eq(strbuf_str(&got), want, "%s: %s", header, strbuf_str(&got));
}

Test(auth_session, cookies_of_a_name_are_found)
{
	assert_cookies("", "");
	assert_cookies("s=1", "1|");
	assert_cookies("a=1; s=2", "2|");
	assert_cookies("s=1;s=2 ;x=s=3; s=4", "1|2|4|");
	assert_cookies("ss=1; xs=2; S=3; s", "");
	assert_cookies("s=", "|");
	assert_cookies(";;; s=1;;", "1|");
	assert_cookies("s=a=b", "a=b|");
	assert_cookies("s = 1", "");
}

Test(auth_session, the_way_on_stays_on_this_server)
{
	static const char *const good[] = { "/", "/dashboard",
					    "/jobs/logs?id=a&b=%20" };
	static const char *const bad[] = { "",
					   "dashboard",
					   "//evil.org",
					   "///evil",
					   "/\\evil.org",
					   "\\/evil.org",
					   "https://evil.org",
					   "/a\\b",
					   "/a b",
					   "/\t/evil.org",
					   "/\n/evil.org",
					   "/x\x7f",
					   "javascript:alert(1)" };
	char longest[2050];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		cr_assert(auth_next_is_local(good[i]), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(auth_next_is_local(bad[i]), "%s", bad[i]);
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[2048] = '\0';
	cr_assert(auth_next_is_local(longest));
	longest[2048] = 'x';
	longest[2049] = '\0';
	cr_assert_not(auth_next_is_local(longest));
}
