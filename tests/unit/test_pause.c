#include <criterion/criterion.h>
#include <string.h>

#include "../../src/engine/eta.h"
#include "../../src/engine/pause.h"

static struct engine_hold hold = { .mode = ENGINE_DRAINING,
				   .since = 1700000000000,
				   .by = "api (unix)",
				   .reason = "disk" };

Test(pause, is_decoded_as_it_was_encoded)
{
	struct wire_w w = { 0 };
	struct engine_hold out;

	pause_encode(&hold, &w);
	cr_assert(pause_decode(&out, w.data, w.len));
	cr_assert_eq(out.mode, ENGINE_DRAINING);
	cr_assert_eq(out.since, hold.since);
	cr_assert_str_eq(out.by, hold.by);
	cr_assert_str_eq(out.reason, hold.reason);
	wire_w_free(&w);
}

Test(pause, cut_or_strange_bytes_are_corrupt)
{
	struct wire_w w = { 0 };
	struct engine_hold out;

	pause_encode(&hold, &w);
	for (size_t n = 0; n < w.len; n++)
		cr_expect_not(pause_decode(&out, w.data, n), "%zu bytes", n);
	w.data[1] = ENGINE_MODES;
	cr_expect_not(pause_decode(&out, w.data, w.len));
	cr_expect_eq(out.mode, ENGINE_OPEN);
	w.data[1] = ENGINE_PAUSED;
	w.data[0]++;
	cr_expect_not(pause_decode(&out, w.data, w.len));
	wire_w_free(&w);
}

Test(pause, is_described_for_people)
{
	struct engine_hold h = { .mode = ENGINE_PAUSED, .by = "api (unix)" };
	char text[ENGINE_HOLD_TEXT_MAX];

	pause_describe(&h, text, sizeof(text));
	cr_expect_str_eq(text, "paused by api (unix)");
	pause_describe(&hold, text, sizeof(text));
	cr_expect_str_eq(text, "draining, as asked by api (unix): disk");
	h.mode = ENGINE_OPEN;
	pause_describe(&h, text, sizeof(text));
	cr_expect_str_eq(text, "");
}

Test(pause, the_longest_description_fits)
{
	struct engine_hold h = { .mode = ENGINE_DRAINING };
	char text[ENGINE_HOLD_TEXT_MAX];

	memset(h.by, 'b', sizeof(h.by) - 1);
	memset(h.reason, 'r', sizeof(h.reason) - 1);
	pause_describe(&h, text, sizeof(text));
	cr_expect_eq(text[strlen(text) - 1], 'r');
	cr_expect_eq(strlen(strchr(text, ':')), 2 + ENGINE_REASON_MAX);
}

static void
note(struct eta *eta, enum job_state state, int64_t took)
{
	const struct job j = { .state = state,
			       .started_at = 1000,
			       .finished_at = 1000 + took };

	eta_note(eta, &j);
}

Test(eta, is_unknown_until_a_job_has_ended)
{
	struct eta eta = { 0 };

	cr_expect_eq(eta_of(&eta, 1, 1), -1);
	note(&eta, JOB_CANCELLED, 5000);
	cr_expect_eq(eta_of(&eta, 1, 1), -1,
		     "how long a cancelled job took says nothing");
	note(&eta, JOB_FAILURE, 5000);
	cr_expect_eq(eta_of(&eta, 1, 1), 5000);
	cr_expect_eq(eta_of(&eta, 0, 1), -1);
	cr_expect_eq(eta_of(&eta, 1, 0), -1);
}

Test(eta, grows_with_the_queue_and_shrinks_with_slots)
{
	struct eta eta = { 0 };

	note(&eta, JOB_SUCCESS, 1000);
	note(&eta, JOB_SUCCESS, 3000);
	cr_expect_eq(eta_of(&eta, 3, 1), 6000);
	cr_expect_eq(eta_of(&eta, 3, 2), 3000);
}

Test(eta, forgets_what_is_long_ago)
{
	struct eta eta = { 0 };

	note(&eta, JOB_SUCCESS, 1000000);
	for (int i = 0; i < ETA_JOBS; i++)
		note(&eta, JOB_SUCCESS, 10);
	cr_expect_eq(eta_of(&eta, 1, 1), 10);
}
