#include "../../src/engine/plan_build.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>

#include "slipway/fs.h"
#include "slipway/mem.h"

static struct plan_conf pc;
static char dir[64];

static void
start(void)
{
	strcpy(dir, "/tmp/slipway-plan-XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	pc = (struct plan_conf){ .secrets_dir = dir,
				 .public_url = (char *)"https://ci.example.org",
				 .step_timeout_ms = 300000,
				 .job_timeout_ms = 3600000,
				 .grace_ms = 10000,
				 .log_max = 1 << 20 };
}

static void
stop(void)
{
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

TestSuite(plan_build, .init = start, .fini = stop);

static struct jobspec *
spec_of(const char *more, const char *steps)
{
	cleanup_free char *json = xasprintf("{\"repo\":\"https://example.org/r\","
					    "\"commit\":\"main\"%s,\"steps\":%s}",
					    more, steps);
	struct err e = { 0 };
	struct jobspec *s = jobspec_parse(json, strlen(json), &e);

	cr_assert_not_null(s, "%s: %s", e.field, e.msg);
	return s;
}

static const char *
env_get(const struct plan_env *env, size_t n, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; i < n; i++)
		if (strcmp(env[i].name, name) == 0)
			value = env[i].value;
	return value;
}

static void
put_secret(const char *name, const char *value)
{
	cleanup_free char *path = xasprintf("%s/%s", dir, name);

	cr_assert_eq(fs_write_atomic(path, value, strlen(value), 0600, NULL), 0);
}

Test(plan_build, defaults_and_limits)
{
	cleanup_jobspec struct jobspec *s =
		spec_of("", "[{\"name\":\"a\",\"run\":\"x\"},"
			    "{\"name\":\"b\",\"run\":\"y\",\"timeout\":0,"
			    "\"when\":\"always\",\"continueOnError\":true},"
			    "{\"name\":\"c\",\"run\":\"z\",\"timeout\":7}]");
	struct plan p;
	struct err e = { 0 };

	cr_assert_eq(plan_build(&pc, s, "j", 2, &p, &e), 0);
	cr_assert_eq(p.job_timeout_ms, 3600000);
	cr_assert_eq(p.steps[0].timeout_ms, 300000);
	cr_assert_eq(p.steps[1].timeout_ms, 0, "0 is the job's");
	cr_assert_eq(p.steps[2].timeout_ms, 7000);
	cr_assert_eq(p.steps[1].flags, PLAN_STEP_ALWAYS | PLAN_STEP_CONTINUE);
	cr_assert_str_eq(p.steps[0].cwd, "/workspace/repo");
	cr_assert(p.clear_env);
	plan_clear(&p);
}

Test(plan_build, the_job_may_set_its_own_time)
{
	cleanup_jobspec struct jobspec *s =
		spec_of(",\"timeout\":60", "[{\"name\":\"a\",\"run\":\"x\"}]");
	struct plan p;

	cr_assert_eq(plan_build(&pc, s, "j", 1, &p, NULL), 0);
	cr_assert_eq(p.job_timeout_ms, 60000);
	cr_assert_geq(plan_backstop_ms(&pc, s), 60000 + 2 * pc.grace_ms);
	plan_clear(&p);
}

Test(plan_build, the_backstop_leaves_time_for_always_steps)
{
	cleanup_jobspec struct jobspec *plain =
		spec_of("", "[{\"name\":\"a\",\"run\":\"x\"}]");
	cleanup_jobspec struct jobspec *always =
		spec_of("", "[{\"name\":\"a\",\"run\":\"x\",\"when\":\"always\","
			    "\"timeout\":100}]");

	cr_assert_geq(plan_backstop_ms(&pc, always),
		      plan_backstop_ms(&pc, plain) + 100000 + pc.grace_ms);
}

Test(plan_build, environment_of_the_daemon_then_the_job)
{
	cleanup_jobspec struct jobspec *s =
		spec_of(",\"branch\":\"dev\",\"env\":{\"CI\":\"mine\",\"A\":\"1\"}",
			"[{\"name\":\"a\",\"run\":\"x\",\"env\":{\"B\":\"2\"}}]");
	struct plan p;

	cr_assert_eq(plan_build(&pc, s, "job-9", 3, &p, NULL), 0);
	cr_assert_str_eq(env_get(p.env, p.nenv, "CI"), "mine", "later ones win");
	cr_assert_str_eq(env_get(p.env, p.nenv, "SLIPWAY_JOB_ID"), "job-9");
	cr_assert_str_eq(env_get(p.env, p.nenv, "SLIPWAY_ATTEMPT"), "3");
	cr_assert_str_eq(env_get(p.env, p.nenv, "SLIPWAY_BRANCH"), "dev");
	cr_assert_str_eq(env_get(p.env, p.nenv, "SLIPWAY_JOB_URL"),
			 "https://ci.example.org/dashboard/jobs/job-9");
	cr_assert_null(env_get(p.env, p.nenv, "B"), "a step's stay its own");
	cr_assert_str_eq(env_get(p.steps[0].env, p.steps[0].nenv, "B"), "2");
	plan_set_env(&p, "SLIPWAY_COMMIT", "abc");
	cr_assert_str_eq(env_get(p.env, p.nenv, "SLIPWAY_COMMIT"), "abc");
	plan_clear(&p);
}

Test(plan_build, secrets_are_loaded_and_masked)
{
	cleanup_jobspec struct jobspec *s =
		spec_of(",\"secrets\":[\"TOKEN\"]",
			"[{\"name\":\"a\",\"run\":\"x\",\"secrets\":"
			"{\"KEY\":{\"name\":\"KEYFILE\",\"file\":true}}}]");
	struct plan p;
	struct err e = { 0 };

	put_secret("TOKEN", "tok-tok\n");
	put_secret("KEYFILE", "key-key");
	cr_assert_eq(plan_build(&pc, s, "j", 1, &p, &e), 0, "%s", e.msg);
	cr_assert_str_eq(env_get(p.env, p.nenv, "TOKEN"), "tok-tok");
	cr_assert(p.steps[0].env[0].file);
	cr_assert_eq(p.nmasks, 2);
	plan_clear(&p);
}

Test(plan_build, a_missing_secret_is_named)
{
	cleanup_jobspec struct jobspec *s = spec_of(
		",\"secrets\":[\"NOWHERE\"]", "[{\"name\":\"a\",\"run\":\"x\"}]");
	struct plan p;
	struct err e = { 0 };

	cr_assert_eq(plan_build(&pc, s, "j", 1, &p, &e), -1);
	cr_assert_not_null(strstr(e.msg, "NOWHERE"));
}
