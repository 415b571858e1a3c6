#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "slipway/err.h"
#include "slipway/utf8.h"

Test(err, set_fills_code_and_message_and_fails)
{
	struct err e = { .sys = 5, .field = "old" };

	cr_assert_eq(err_set(&e, ERR_CONFLICT, "job %s", "j1"), -1);
	cr_assert_eq(e.code, ERR_CONFLICT);
	cr_assert_eq(e.sys, 0);
	cr_assert_str_eq(e.msg, "job j1");
	cr_assert_str_eq(e.field, "");
}

Test(err, null_is_ignored_everywhere)
{
	errno = ENOENT;
	cr_assert_eq(err_set(NULL, ERR_INVALID, "x"), -1);
	cr_assert_eq(err_field(NULL, ERR_INVALID, "f", "x"), -1);
	cr_assert_eq(err_sys(NULL, "x"), -1);
	cr_assert_eq(err_wrap(NULL, "x"), -1);
}

Test(err, sys_carries_errno_and_its_text)
{
	struct err e;

	errno = ENOENT;
	err_sys(&e, "open %s", "/x");
	cr_assert_eq(e.code, ERR_SYSTEM);
	cr_assert_eq(e.sys, ENOENT);
	cr_assert_str_eq(e.msg, "open /x: No such file or directory");
}

Test(err, a_full_disk_has_its_own_code)
{
	struct err e;

	errno = ENOSPC;
	err_sys(&e, "w");
	cr_assert_eq(e.code, ERR_NO_SPACE);
	errno = EDQUOT;
	err_sys(&e, "w");
	cr_assert_eq(e.code, ERR_NO_SPACE);
}

Test(err, wrap_puts_context_in_front_and_keeps_the_rest)
{
	struct err e;

	err_field(&e, ERR_INVALID, "steps[0]", "bad");
	cr_assert_eq(err_wrap(&e, "job %d", 7), -1);
	cr_assert_str_eq(e.msg, "job 7: bad");
	cr_assert_str_eq(e.field, "steps[0]");
	cr_assert_eq(e.code, ERR_INVALID);
}

Test(err, long_texts_are_cut_on_a_character)
{
	char text[sizeof(((struct err *)0)->msg) + 100];
	struct err e;

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	/* A three byte character across each of the last places. */
	for (size_t back = 1; back <= 4; back++) {
		char c = text[sizeof(e.msg) - 1 - back];

		memcpy(text + sizeof(e.msg) - 1 - back, "\xe2\x82\xac", 3);
		err_set(&e, ERR_INVALID, "%s", text);
		cr_assert(utf8_is_valid(e.msg, strlen(e.msg)));
		cr_assert_geq(strlen(e.msg), sizeof(e.msg) - 4);
		memset(text + sizeof(e.msg) - 1 - back, c, 3);
	}
	memcpy(text + sizeof(e.field) - 2, "\xe2\x82\xac", 3);
	err_field(&e, ERR_INVALID, text, "x");
	cr_assert(utf8_is_valid(e.field, strlen(e.field)));
	err_wrap(&e, "%s", text);
	cr_assert_eq(strlen(e.msg), sizeof(e.msg) - 1);
}

Test(err, every_code_has_a_slug_and_a_status)
{
	for (unsigned c = 0; c < ERR_CODES; c++) {
		int status = err_http_status((enum err_code)c);

		cr_assert(*err_slug((enum err_code)c));
		cr_assert(c == ERR_NONE ? status == 200 : status >= 400 && status < 600,
			  "code %u", c);
		for (unsigned d = 0; d < c; d++)
			cr_assert_str_neq(err_slug((enum err_code)c),
					  err_slug((enum err_code)d));
	}
	cr_assert_eq(err_http_status(ERR_TOO_LARGE), 413);
	cr_assert_eq(err_http_status(ERR_QUEUE_FULL), 503);
	cr_assert_eq(err_http_status(ERR_CODES), 500);
	cr_assert_str_eq(err_slug(ERR_CODES), "internal");
}
