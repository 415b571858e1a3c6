#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/plan.h"

#define TEXT(s) ((char *)(s))

static struct plan_env sample_env[] = {
	{ TEXT("CI"), TEXT("true"), false },
	{ TEXT("TOKEN"), TEXT("line 1\nline 2"), true },
};
static struct plan_mask sample_masks[] = {
	{ (uint8_t *)TEXT("a\0b\nc"), 5 },
};

static struct plan_step sample_steps[] = {
	{ .name = TEXT("build"),
	  .script = TEXT("make"),
	  .shell = TEXT("sh"),
	  .cwd = TEXT("/workspace/repo"),
	  .env = sample_env,
	  .nenv = 1,
	  .timeout_ms = 60000,
	  .flags = PLAN_STEP_CONTINUE },
	{ .name = TEXT(""),
	  .script = TEXT(""),
	  .shell = TEXT("bash"),
	  .cwd = TEXT("/"),
	  .flags = PLAN_STEP_ALWAYS },
};

static struct plan
sample(void)
{
	return (struct plan){
		.job_timeout_ms = 1000,
		.grace_ms = 10,
		.log_max = 1 << 20,
		.memory_max = 1ull << 33,
		.pids_max = 512,
		.clear_env = true,
		.secrets_dir = TEXT("/run/secrets"),
		.env = sample_env,
		.nenv = 2,
		.masks = sample_masks,
		.nmasks = 1,
		.steps = sample_steps,
		.nsteps = 2,
	};
}

static bool
survives(const struct plan *p)
{
	const char *why = NULL;
	struct plan back;
	uint8_t *data;
	bool good;
	size_t len;

	cr_assert(plan_encode(p, &data, &len));
	good = plan_decode(&back, data, len, &why);
	if (good)
		plan_clear(&back);
	else
		cr_assert_not_null(why);
	free(data);
	return good;
}

Test(plan, comes_back_as_it_was_encoded)
{
	struct plan p = sample(), back;
	const char *why;
	uint8_t *data;
	size_t len;

	cr_assert(plan_encode(&p, &data, &len));
	cr_assert(plan_decode(&back, data, len, &why));
	cr_assert_eq(back.job_timeout_ms, 1000);
	cr_assert_eq(back.grace_ms, 10);
	cr_assert_eq(back.log_max, 1 << 20);
	cr_assert_eq(back.memory_max, 1ull << 33);
	cr_assert_eq(back.pids_max, 512);
	cr_assert(back.clear_env);
	cr_assert_str_eq(back.secrets_dir, "/run/secrets");
	cr_assert_eq(back.nenv, 2);
	cr_assert_str_eq(back.env[1].name, "TOKEN");
	cr_assert_str_eq(back.env[1].value, "line 1\nline 2");
	cr_assert(back.env[1].file);
	cr_assert_not(back.env[0].file);
	cr_assert_eq(back.nmasks, 1);
	cr_assert_eq(back.masks[0].len, 5);
	cr_assert_arr_eq(back.masks[0].data, "a\0b\nc", 5);
	cr_assert_eq(back.nsteps, 2);
	cr_assert_str_eq(back.steps[0].script, "make");
	cr_assert_str_eq(back.steps[0].cwd, "/workspace/repo");
	cr_assert_eq(back.steps[0].nenv, 1);
	cr_assert_eq(back.steps[0].timeout_ms, 60000);
	cr_assert_eq(back.steps[0].flags, PLAN_STEP_CONTINUE);
	cr_assert_str_eq(back.steps[1].shell, "bash");
	cr_assert_eq(back.steps[1].flags, PLAN_STEP_ALWAYS);
	plan_clear(&back);
	cr_assert_null(back.steps);
	free(data);
}

Test(plan, no_prefix_of_a_plan_is_a_plan)
{
	struct plan p = sample(), back;
	const char *why;
	uint8_t *data;
	size_t len;

	cr_assert(plan_encode(&p, &data, &len));
	for (size_t n = 0; n < len; n++) {
		why = NULL;
		cr_assert_not(plan_decode(&back, data, n, &why), "%zu bytes", n);
		cr_assert_not_null(why);
	}
	free(data);
}

Test(plan, bytes_after_the_end_are_refused)
{
	struct plan p = sample(), back;
	const char *why;
	uint8_t *data, *more;
	size_t len;

	cr_assert(plan_encode(&p, &data, &len));
	more = calloc(1, len + 1);
	memcpy(more, data, len);
	cr_assert_not(plan_decode(&back, more, len + 1, &why));
	cr_assert_str_eq(why, "bytes left over");
	free(more);
	free(data);
}

Test(plan, another_magic_or_version_is_refused)
{
	struct plan p = sample(), back;
	const char *why;
	uint8_t *data;
	size_t len;

	cr_assert(plan_encode(&p, &data, &len));
	data[0] ^= 1;
	cr_assert_not(plan_decode(&back, data, len, &why));
	cr_assert_str_eq(why, "not a plan");
	data[0] ^= 1;
	data[4]++;
	cr_assert_not(plan_decode(&back, data, len, &why));
	cr_assert_str_eq(why, "unknown version");
	free(data);
}

Test(plan, as_many_steps_as_the_limit_and_at_least_one)
{
	struct plan p = sample();
	struct plan_step *steps = calloc(PLAN_STEPS_MAX + 1, sizeof(*steps));

	for (size_t i = 0; i <= PLAN_STEPS_MAX; i++)
		steps[i] = sample_steps[0];
	p.steps = steps;
	p.nsteps = PLAN_STEPS_MAX;
	cr_assert(survives(&p));
	p.nsteps++;
	cr_assert_not(survives(&p));
	p.nsteps = 0;
	cr_assert_not(survives(&p));
	free(steps);
}

Test(plan, as_many_variables_as_the_limit)
{
	struct plan p = sample();
	struct plan_env *env = calloc(PLAN_ENV_MAX + 1, sizeof(*env));

	for (size_t i = 0; i <= PLAN_ENV_MAX; i++)
		env[i] = sample_env[0];
	p.env = env;
	p.nenv = PLAN_ENV_MAX;
	cr_assert(survives(&p));
	p.nenv++;
	cr_assert_not(survives(&p));
	free(env);
}

Test(plan, as_many_masks_as_the_limit_and_each_up_to_8192_bytes)
{
	struct plan p = sample();
	struct plan_mask masks[PLAN_MASKS_MAX + 1];
	static uint8_t secret[8193];

	for (size_t i = 0; i <= PLAN_MASKS_MAX; i++)
		masks[i] = (struct plan_mask){ secret, 8192 };
	p.masks = masks;
	p.nmasks = PLAN_MASKS_MAX;
	cr_assert(survives(&p));
	p.nmasks++;
	cr_assert_not(survives(&p));
	p.nmasks = 1;
	masks[0].len++;
	cr_assert_not(survives(&p));
}

Test(plan, names_of_variables_are_held_to_the_shell_s_rules)
{
	struct plan p = sample();
	struct plan_env env = { TEXT("_a9"), TEXT(""), false };
	static const char *const bad[] = { "", "9a", "a-b", "a=b", "../x", "a b" };

	p.env = &env;
	p.nenv = 1;
	cr_assert(survives(&p));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		env.name = TEXT(bad[i]);
		cr_assert_not(survives(&p), "\"%s\"", bad[i]);
	}
}

Test(plan, paths_must_be_absolute_and_flags_known)
{
	struct plan p = sample();
	struct plan_step step = sample_steps[0];

	p.steps = &step;
	p.nsteps = 1;
	cr_assert(survives(&p));
	step.cwd = TEXT("workspace");
	cr_assert_not(survives(&p));
	step.cwd = TEXT("/workspace");
	step.shell = TEXT("");
	cr_assert_not(survives(&p));
	step.shell = TEXT("sh");
	step.flags = 4;
	cr_assert_not(survives(&p));
	step.flags = 3;
	cr_assert(survives(&p));
	p.secrets_dir = TEXT("secrets");
	cr_assert_not(survives(&p));
	p.secrets_dir = NULL;
	cr_assert(survives(&p));
}

Test(plan, more_than_the_largest_plan_is_not_encoded)
{
	struct plan p = sample();
	struct plan_step steps[20];
	char *script = malloc(1 << 20);
	uint8_t *data = NULL;
	size_t len = 0;

	memset(script, 'x', (1 << 20) - 1);
	script[(1 << 20) - 1] = 0;
	for (size_t i = 0; i < 20; i++) {
		steps[i] = sample_steps[0];
		steps[i].script = script;
	}
	p.steps = steps;
	p.nsteps = 15;
	cr_assert(survives(&p));
	p.nsteps = 20;
	cr_assert_not(plan_encode(&p, &data, &len));
	free(script);
}
