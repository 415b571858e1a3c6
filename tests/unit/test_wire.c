#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/wire.h"

Test(wire, writes_little_endian_with_u32_lengths)
{
	static const uint8_t want[] = { 1, 3, 2, 7, 6, 5, 4, 3, 0, 0, 0, 'a', 'b', 'c' };
	struct wire_w w = { 0 };

	wire_w_u8(&w, 1);
	wire_w_u16(&w, 0x0203);
	wire_w_u32(&w, 0x04050607);
	wire_w_str(&w, "abc");
	cr_assert_not(w.failed);
	cr_assert_arr_eq(w.data, want, sizeof(want));
	cr_assert_eq(w.len, sizeof(want));
	wire_w_free(&w);
	cr_assert_null(w.data);
}

Test(wire, reads_back_what_was_written)
{
	struct wire_w w = { 0 };
	struct wire_r r;
	size_t len;
	char *s;

	wire_w_u64(&w, UINT64_MAX - 1);
	wire_w_i64(&w, -5);
	wire_w_bytes(&w, "a\0b", 3);
	wire_w_str(&w, NULL);
	wire_w_str(&w, "text");
	wire_r_init(&r, w.data, w.len);
	cr_assert_eq(wire_r_u64(&r), UINT64_MAX - 1);
	cr_assert_eq(wire_r_i64(&r), -5);
	cr_assert_arr_eq(wire_r_bytes(&r, 3, &len), "a\0b", 3);
	cr_assert_eq(len, 3);
	s = wire_r_str(&r, 0);
	cr_assert_str_eq(s, "");
	free(s);
	s = wire_r_str(&r, 4);
	cr_assert_str_eq(s, "text");
	free(s);
	cr_assert(wire_r_done(&r));
	wire_w_free(&w);
}

Test(wire, grows_over_many_writes)
{
	struct wire_w w = { 0 };
	struct wire_r r;

	for (uint32_t i = 0; i < 10000; i++)
		wire_w_u32(&w, i);
	cr_assert_eq(w.len, 40000);
	wire_r_init(&r, w.data, w.len);
	for (uint32_t i = 0; i < 10000; i++)
		cr_assert_eq(wire_r_u32(&r), i);
	cr_assert(wire_r_done(&r));
	wire_w_free(&w);
}

Test(wire, every_read_after_a_short_one_yields_zero)
{
	static const uint8_t in[] = { 9, 9, 9, 9, 9 };
	struct wire_r r;
	size_t len = 7;

	wire_r_init(&r, in, sizeof(in));
	cr_assert_eq(wire_r_u64(&r), 0);
	cr_assert(r.bad);
	cr_assert_eq(wire_r_u8(&r), 0);
	cr_assert_not_null(wire_r_bytes(&r, 10, &len));
	cr_assert_eq(len, 0);
	cr_assert_not(wire_r_done(&r));
}

Test(wire, bytes_may_be_as_long_as_the_limit_and_no_longer)
{
	struct wire_w w = { 0 };
	struct wire_r r;
	size_t len;

	wire_w_bytes(&w, "12345", 5);
	wire_r_init(&r, w.data, w.len);
	wire_r_bytes(&r, 5, &len);
	cr_assert_eq(len, 5);
	cr_assert(wire_r_done(&r));
	wire_r_init(&r, w.data, w.len);
	wire_r_bytes(&r, 4, &len);
	cr_assert_eq(len, 0);
	cr_assert(r.bad);
	wire_w_free(&w);
}

Test(wire, a_length_beyond_the_input_is_bad)
{
	static const uint8_t in[] = { 0xff, 0xff, 0xff, 0xff, 'a' };
	struct wire_r r;
	char *s;

	wire_r_init(&r, in, sizeof(in));
	s = wire_r_str(&r, SIZE_MAX);
	cr_assert_str_eq(s, "");
	cr_assert(r.bad);
	free(s);
}

Test(wire, a_string_with_a_nul_inside_is_bad)
{
	static const uint8_t in[] = { 3, 0, 0, 0, 'a', 0, 'b' };
	char fixed[8] = "before";
	struct wire_r r;
	char *s;

	wire_r_init(&r, in, sizeof(in));
	s = wire_r_str(&r, 3);
	cr_assert(r.bad);
	cr_assert_str_eq(s, "");
	free(s);
	wire_r_init(&r, in, sizeof(in));
	wire_r_str_into(&r, fixed, sizeof(fixed));
	cr_assert(r.bad);
	cr_assert_str_eq(fixed, "");
}

Test(wire, a_fixed_array_takes_one_byte_less_than_its_size)
{
	struct wire_w w = { 0 };
	char fits[4], short_one[3];
	struct wire_r r;

	wire_w_str(&w, "abc");
	wire_r_init(&r, w.data, w.len);
	wire_r_str_into(&r, fits, sizeof(fits));
	cr_assert(wire_r_done(&r));
	cr_assert_str_eq(fits, "abc");
	wire_r_init(&r, w.data, w.len);
	wire_r_str_into(&r, short_one, sizeof(short_one));
	cr_assert(r.bad);
	cr_assert_str_eq(short_one, "");
	wire_w_free(&w);
}

Test(wire, a_count_must_fit_its_limit_and_what_is_left)
{
	static const uint8_t in[] = { 2, 0, 0, 0, 1, 1, 1, 1 };
	struct wire_r r;

	wire_r_init(&r, in, sizeof(in));
	cr_assert_eq(wire_r_count(&r, 2, 2), 2);
	cr_assert_not(r.bad);
	wire_r_init(&r, in, sizeof(in));
	cr_assert_eq(wire_r_count(&r, 1, 2), 0);
	cr_assert(r.bad);
	wire_r_init(&r, in, sizeof(in));
	cr_assert_eq(wire_r_count(&r, 2, 3), 0);
	cr_assert(r.bad);
}

Test(wire, bytes_left_over_are_not_done)
{
	struct wire_r r;

	wire_r_init(&r, "ab", 2);
	wire_r_u8(&r);
	cr_assert_not(wire_r_done(&r));
	wire_r_u8(&r);
	cr_assert(wire_r_done(&r));
	wire_r_init(&r, NULL, 0);
	cr_assert(wire_r_done(&r));
}
