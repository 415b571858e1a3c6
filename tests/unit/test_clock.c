#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "slipway/clock.h"

Test(clock, wall_is_the_epoch_in_milliseconds)
{
	int64_t a = (int64_t)time(NULL) * 1000, now = clock_wall_ms();

	cr_assert_geq(now, a - 1000);
	cr_assert_lt(now, a + 60000);
}

Test(clock, the_others_do_not_go_back)
{
	int64_t mono = clock_mono_ms(), boot = clock_boot_ms();

	cr_assert_geq(clock_mono_ms(), mono);
	cr_assert_geq(clock_boot_ms(), boot);
	/* Boot time counts sleep as well; a millisecond for reading them apart. */
	cr_assert_geq(clock_boot_ms() + 1, clock_mono_ms());
}

Test(clock, boot_id_is_the_kernels)
{
	unsetenv("SLIPWAY_TEST_BOOT_ID");
	cr_assert_eq(strlen(clock_boot_id()), BOOT_ID_LEN);
	cr_assert_eq(clock_boot_id(), clock_boot_id());
}

Test(clock, boot_id_can_be_set_for_tests)
{
	setenv("SLIPWAY_TEST_BOOT_ID", "another-boot", 1);
	cr_assert_str_eq(clock_boot_id(), "another-boot");
}
