#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/jobspec.h"
#include "slipway/mem.h"

#define STEP "{\"name\":\"a\",\"run\":\"b\"}"
#define HEAD "\"repo\":\"https://h/r\",\"commit\":\"main\""
#define STEPS "\"steps\":[" STEP "]"
/* A whole job with these further members, of the job or of its step. */
#define JOB(more) "{" HEAD "," STEPS "," more "}"
#define JOB_STEP(more) "{" HEAD ",\"steps\":[{\"name\":\"a\",\"run\":\"b\"," more "}]}"

static struct err e;

static struct jobspec *
parse(const char *json)
{
	memset(&e, 0, sizeof(e));
	return jobspec_parse(json, strlen(json), &e);
}

static struct jobspec *
parse_good(const char *json)
{
	struct jobspec *s = parse(json);

	cr_assert(s, "%s: %s", json, e.msg);
	return s;
}

static void
assert_good(const char *json)
{
	jobspec_free(parse_good(json));
}

static void
assert_bad(const char *json, const char *field, const char *what)
{
	cr_assert_null(parse(json), "%s", json);
	cr_assert_eq(e.code, ERR_INVALID);
	cr_assert_str_eq(e.field, field, "%s: %s", json, e.msg);
	cr_assert(strstr(e.msg, what), "%s", e.msg);
}

static bool
member_is_good(const char *member, const char *value)
{
	cleanup_free char *json = xasprintf("{" HEAD "," STEPS ",\"%s\":%s}", member,
					    value);
	cleanup_jobspec struct jobspec *s = parse(json);

	cr_assert(s || !strncmp(e.field, member, strlen(member)), "%s: %s", json,
		  e.msg);
	return s;
}

static bool
step_member_is_good(const char *member, const char *value)
{
	cleanup_free char *json = xasprintf("{" HEAD
					    ",\"steps\":[{\"name\":\"a\",\"run\":\"b\","
					    "\"%s\":%s}]}",
					    member, value);
	cleanup_jobspec struct jobspec *s = parse(json);

	cr_assert(s || !strncmp(e.field, "steps[0].", 9), "%s: %s", json, e.msg);
	return s;
}

/* The text t repeated up to n bytes, in quotes. */
static char *
quoted(const char *t, size_t n)
{
	char *s = xmalloc(n + 3);

	s[0] = s[n + 1] = '"';
	for (size_t i = 0; i < n; i++)
		s[1 + i] = t[i % strlen(t)];
	s[n + 2] = '\0';
	return s;
}

static bool
length_is_good(bool step, const char *member, size_t n)
{
	cleanup_free char *value = quoted("x", n);

	return step ? step_member_is_good(member, value)
		    : member_is_good(member, value);
}

static void
assert_round_trip(const char *json)
{
	cleanup_jobspec struct jobspec *s = parse_good(json), *again = NULL;
	cleanup_strbuf struct strbuf one = { 0 }, two = { 0 };

	jobspec_to_json(s, &one);
	again = jobspec_parse(one.data, one.len, &e);
	cr_assert(again, "%s: %s", one.data, e.msg);
	jobspec_to_json(again, &two);
	cr_assert_str_eq(one.data, two.data);
}

static void
assert_canonical(const char *json, const char *want)
{
	cleanup_jobspec struct jobspec *s = parse_good(json);
	cleanup_strbuf struct strbuf b = { 0 };

	jobspec_to_json(s, &b);
	cr_assert_str_eq(b.data, want);
}

Test(jobspec, the_smallest_job_gets_the_defaults)
{
	cleanup_jobspec struct jobspec *s = parse_good("{" HEAD "," STEPS "}");

	cr_assert_null(s->id);
	cr_assert_null(s->branch);
	cr_assert_str_eq(s->repo, "https://h/r");
	cr_assert_eq(s->nsteps, 1);
	cr_assert_str_eq(s->steps[0].cwd, "/workspace/repo");
	cr_assert_str_eq(s->steps[0].shell, "sh");
	cr_assert_eq(s->steps[0].timeout_s, -1);
	cr_assert_not(s->steps[0].always || s->steps[0].continue_on_error);
	cr_assert_eq(s->timeout_s, -1);
	cr_assert_eq(s->priority, -1);
	cr_assert_eq(s->depth, -1);
	cr_assert_eq(s->retry_limit, -1);
	cr_assert_eq(s->network, NETWORK_DEFAULT);
	cr_assert_not(s->has_retry_on || s->has_retry_lost);
}

static const char full[] =
	"{\"id\":\"j-1\",\"repo\":\"git@github.com:o/r.git\",\"commit\":\"v1.0\","
	"\"branch\":\"feature/x\",\"steps\":[{\"name\":\"build \xc3\xa4\",\"run\":"
	"\"make\\n\\\"x\\\"\",\"workingDir\":\"sub/./dir\",\"env\":{\"B\":\"2\",\"A\":"
	"\"\"},\"continueOnError\":true,\"timeout\":0,\"when\":\"always\",\"shell\":"
	"\"bash\",\"secrets\":[\"NPM_TOKEN\"]}],\"env\":{\"CI\":\"1\"},\"cacheKeys\":["
	"\"package-lock.json\",\"**/go.sum\"],\"timeout\":600,\"priority\":10,"
	"\"image\":\"node:20\",\"runner\":\"vps-1\",\"labels\":[\"linux\",\"gpu\","
	"\"linux\"],\"environment\":\"production\",\"resources\":{\"cpus\":1.5,"
	"\"memory\":\"512MiB\",\"pids\":100,\"gpus\":1},\"secrets\":{\"TOKEN\":\"t\","
	"\"KEY\":{\"name\":\"k-1\",\"file\":true}},\"retry\":{\"on\":[\"timeout\","
	"\"infra\"],\"limit\":2,\"lost\":false},\"network\":\"none\",\"depth\":0,"
	"\"submodules\":true}";

Test(jobspec, every_field_is_read)
{
	cleanup_jobspec struct jobspec *s = parse_good(full);
	const struct spec_step *st = &s->steps[0];

	cr_assert_str_eq(s->id, "j-1");
	cr_assert_str_eq(s->repo, "git@github.com:o/r.git");
	cr_assert_str_eq(s->commit, "v1.0");
	cr_assert_str_eq(s->branch, "feature/x");
	cr_assert_str_eq(st->run, "make\n\"x\"");
	cr_assert_str_eq(st->cwd, "/workspace/repo/sub/dir");
	cr_assert_eq(st->nenv, 2);
	cr_assert_str_eq(st->env[0].name, "A");
	cr_assert_str_eq(st->env[0].value, "");
	cr_assert(st->continue_on_error && st->always);
	cr_assert_eq(st->timeout_s, 0);
	cr_assert_str_eq(st->shell, "bash");
	cr_assert_eq(st->nsecrets, 1);
	cr_assert_str_eq(st->secrets[0].env, "NPM_TOKEN");
	cr_assert_str_eq(st->secrets[0].name, "NPM_TOKEN");
	cr_assert_not(st->secrets[0].file);
	cr_assert_str_eq(s->env[0].value, "1");
	cr_assert_eq(s->ncache_keys, 2);
	cr_assert_str_eq(s->cache_keys[1], "**/go.sum");
	cr_assert_eq(s->timeout_s, 600);
	cr_assert_eq(s->priority, 10);
	cr_assert_str_eq(s->image, "node:20");
	cr_assert_str_eq(s->runner, "vps-1");
	cr_assert_eq(s->nlabels, 2);
	cr_assert_str_eq(s->labels[0], "gpu");
	cr_assert_str_eq(s->environment, "production");
	cr_assert_eq(s->cpus, 1.5);
	cr_assert_eq(s->memory, 512u << 20);
	cr_assert_eq(s->pids, 100);
	cr_assert_eq(s->gpus, 1);
	cr_assert_eq(s->nsecrets, 2);
	cr_assert_str_eq(s->secrets[0].env, "KEY");
	cr_assert_str_eq(s->secrets[0].name, "k-1");
	cr_assert(s->secrets[0].file);
	cr_assert(s->has_retry_on && s->has_retry_lost && !s->retry_lost);
	cr_assert_eq(s->retry_on, RETRY_ON_TIMEOUT | RETRY_ON_INFRA);
	cr_assert_eq(s->retry_limit, 2);
	cr_assert_eq(s->network, NETWORK_NONE);
	cr_assert_eq(s->depth, 0);
	cr_assert(s->submodules);
}

Test(jobspec, canonical_json_is_stable)
{
	assert_round_trip("{" HEAD "," STEPS "}");
	assert_round_trip(full);
	assert_round_trip(JOB("\"retry\":{\"on\":[]}"));
	assert_round_trip(JOB("\"resources\":{\"cpus\":0.1,\"memory\":1048577}"));
	assert_round_trip(JOB("\"resources\":{\"cpus\":1e-300}"));
}

Test(jobspec, canonical_json_leaves_out_defaults_and_orders_members)
{
	assert_canonical(
		"{\"submodules\":false,\"labels\":[\"b\",\"a\"],\"depth\":1,"
		"\"env\":{\"Z\":\"1\",\"A\":\"/\"},\"cacheKeys\":[],"
		"\"resources\":{},\"retry\":{},\"secrets\":[],"
		"\"steps\":[{\"run\":\"b\",\"when\":\"on_success\","
		"\"workingDir\":\"/workspace/repo/\",\"shell\":\"sh\","
		"\"continueOnError\":false,\"env\":{},\"name\":\"a\"}],"
		"\"commit\":\"main\", \"repo\":\"https://h/r\"}",
		"{\"repo\":\"https://h/r\",\"commit\":\"main\",\"steps\":[" STEP
		"],\"env\":{\"A\":\"/\",\"Z\":\"1\"},\"labels\":[\"a\",\"b\"]}");
	assert_canonical(JOB("\"secrets\":[\"B\",\"A\"],\"priority\":5"),
			 "{" HEAD "," STEPS ",\"priority\":5,"
			 "\"secrets\":{\"A\":\"A\",\"B\":\"B\"}}");
	assert_canonical(JOB("\"secrets\":{\"A\":{\"name\":\"x\",\"file\":false}}"),
			 "{" HEAD "," STEPS ",\"secrets\":{\"A\":\"x\"}}");
}

Test(jobspec, what_is_required_is_named)
{
	assert_bad("{\"commit\":\"m\"," STEPS "}", "repo", "missing");
	assert_bad("{\"repo\":\"https://h/r\"," STEPS "}", "commit", "missing");
	assert_bad("{" HEAD "}", "steps", "missing");
	assert_bad("{" HEAD ",\"steps\":[{\"run\":\"b\"}]}", "steps[0].name",
		   "missing");
	assert_bad("{" HEAD ",\"steps\":[" STEP ",{\"name\":\"b\"}]}", "steps[1].run",
		   "missing");
	assert_bad(JOB("\"secrets\":{\"A\":{\"file\":true}}"), "secrets.A.name",
		   "missing");
}

Test(jobspec, unknown_fields_are_named_by_their_path)
{
	assert_bad(JOB("\"nope\":1"), "nope", "unknown");
	assert_bad(JOB_STEP("\"Timeout\":1"), "steps[0].Timeout", "unknown");
	assert_bad(JOB("\"resources\":{\"cpu\":1}"), "resources.cpu", "unknown");
	assert_bad(JOB("\"retry\":{\"max\":1}"), "retry.max", "unknown");
	assert_bad(JOB("\"secrets\":{\"A\":{\"name\":\"x\",\"y\":1}}"), "secrets.A.y",
		   "unknown");
}

Test(jobspec, fields_of_the_future_are_refused_by_name)
{
	static const char *const later[] = { "cache",	 "artifacts", "snapshot",
					     "services", "matrix",    "needs",
					     "fromStep", "dryRun" };

	for (size_t i = 0; i < ARRAY_LEN(later); i++) {
		cr_assert_not(member_is_good(later[i], "{}"));
		cr_assert(strstr(e.msg, "not supported yet"));
	}
	assert_bad(JOB_STEP("\"image\":\"x\""), "steps[0].image", "not supported yet");
}

Test(jobspec, wrong_types_are_refused_everywhere)
{
	static const struct {
		const char *member, *value;
	} jobs[] = { { "id", "1" },
		     { "repo", "null" },
		     { "commit", "[]" },
		     { "branch", "null" },
		     { "steps", "{}" },
		     { "env", "[]" },
		     { "cacheKeys", "\"x\"" },
		     { "timeout", "\"5\"" },
		     { "timeout", "5.0" },
		     { "priority", "true" },
		     { "image", "1" },
		     { "runner", "[]" },
		     { "labels", "{}" },
		     { "environment", "1" },
		     { "resources", "[]" },
		     { "secrets", "\"A\"" },
		     { "retry", "[]" },
		     { "network", "1" },
		     { "depth", "\"1\"" },
		     { "submodules", "1" } };

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		cleanup_free char *json = xasprintf("{\"%s\":%s}", jobs[i].member,
						    jobs[i].value);

		assert_bad(json, jobs[i].member, "must be");
	}
	assert_bad(JOB_STEP("\"continueOnError\":\"true\""), "steps[0].continueOnError",
		   "must be true or false");
	assert_bad("[]", "", "must be an object");
	assert_bad("1", "", "");
	assert_bad("\"x\"", "", "must be an object");
	assert_bad("{} {}", "", "follows");
	assert_bad("", "", "line 1");
}

Test(jobspec, duplicate_keys_are_refused)
{
	assert_bad("{" HEAD "," STEPS ",\"env\":{\"A\":\"1\",\"A\":\"2\"}}", "env.A",
		   "twice");
}

Test(jobspec, bodies_are_at_most_1_mib)
{
	size_t n = JOBSPEC_BODY_MAX;
	cleanup_free char *body = xmalloc(n + 1);
	static const char json[] = "{" HEAD "," STEPS "}";

	memset(body, ' ', n + 1);
	memcpy(body, json, strlen(json));
	jobspec_free(jobspec_parse(body, n, &e));
	cr_assert_null(jobspec_parse(body, n + 1, &e));
	cr_assert_eq(e.code, ERR_TOO_LARGE);
}

Test(jobspec, there_are_1_to_200_steps)
{
	cleanup_strbuf struct strbuf b = { 0 };

	assert_bad("{" HEAD ",\"steps\":[]}", "steps", "1 to 200");
	strbuf_adds(&b, "{" HEAD ",\"steps\":[" STEP);
	for (int i = 1; i < JOB_STEPS_MAX; i++)
		strbuf_adds(&b, "," STEP);
	strbuf_adds(&b, "]}");
	assert_good(b.data);
	b.len -= 2;
	strbuf_adds(&b, "," STEP "]}");
	assert_bad(b.data, "steps", "1 to 200");
}

Test(jobspec, lengths_end_at_their_limits)
{
	cr_assert(length_is_good(false, "id", JOB_ID_MAX));
	cr_assert_not(length_is_good(false, "id", JOB_ID_MAX + 1));
	cr_assert_not(length_is_good(false, "id", 0));
	cr_assert(length_is_good(false, "branch", JOB_REF_MAX));
	cr_assert_not(length_is_good(false, "branch", JOB_REF_MAX + 1));
	cr_assert(length_is_good(false, "image", 255));
	cr_assert_not(length_is_good(false, "image", 256));
	cr_assert(length_is_good(false, "runner", 63));
	cr_assert_not(length_is_good(false, "runner", 64));
	cr_assert(length_is_good(true, "shell", 64));
	cr_assert_not(length_is_good(true, "shell", 65));
}

Test(jobspec, step_names_and_scripts_end_at_their_limits)
{
	static const struct {
		size_t name, run;
		bool good;
	} cases[] = { { JOBSPEC_NAME_MAX, JOBSPEC_RUN_MAX, true },
		      { JOBSPEC_NAME_MAX + 1, 1, false },
		      { 1, JOBSPEC_RUN_MAX + 1, false },
		      { 0, 1, false },
		      { 1, 0, false } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_free char *name = quoted("x", cases[i].name);
		cleanup_free char *run = quoted("y", cases[i].run);
		cleanup_free char *json =
			xasprintf("{" HEAD ",\"steps\":[{\"name\":%s,\"run\":%s}]}",
				  name, run);
		cleanup_jobspec struct jobspec *s = parse(json);

		cr_assert_eq(s != NULL, cases[i].good);
	}
	assert_bad("{" HEAD ",\"steps\":[{\"name\":\"a\\n\",\"run\":\"b\"}]}",
		   "steps[0].name", "control");
	assert_bad("{" HEAD ",\"steps\":[{\"name\":\"a\",\"run\":\"\\u0000\"}]}",
		   "steps[0].run", "NUL");
}

Test(jobspec, repositories_are_at_most_1024_bytes)
{
	char repo[JOB_REPO_MAX + 2];

	memset(repo, 'r', sizeof(repo));
	repo[0] = '/';
	for (size_t past = 0; past < 2; past++) {
		cleanup_free char *value = xasprintf("\"%.*s\"",
						     (int)(JOB_REPO_MAX + past), repo);
		cleanup_free char *json =
			xasprintf("{\"repo\":%s,\"commit\":\"m\"," STEPS "}", value);
		cleanup_jobspec struct jobspec *spec = parse(json);

		cr_assert_eq(spec != NULL, !past);
	}
}

Test(jobspec, texts_with_rules_are_checked)
{
	assert_bad("{\"repo\":\"https://u:p@h/r\",\"commit\":\"m\"," STEPS "}", "repo",
		   "git.credentials");
	assert_bad("{\"repo\":\"/r\",\"commit\":\"-x\"," STEPS "}", "commit", "valid");
	assert_bad(JOB("\"branch\":\"a..b\""), "branch", "valid");
	assert_bad(JOB("\"image\":\"-v\""), "image", "begin");
	assert_bad(JOB("\"image\":\"a b\""), "image", "spaces");
	assert_bad(JOB("\"runner\":\"a/b\""), "runner", "must be");
	assert_bad(JOB("\"environment\":\"a;b\""), "environment", "must be");
	assert_bad(JOB_STEP("\"workingDir\":\"../..\""), "steps[0].workingDir",
		   "inside");
	assert_bad(JOB_STEP("\"workingDir\":\"\""), "steps[0].workingDir", "empty");
	assert_bad(JOB_STEP("\"shell\":\"sh -x\""), "steps[0].shell", "must be");
}

Test(jobspec, env_takes_strings_with_good_names)
{
	static const char *const bad[] = { "{\"A\":1}",		 "{\"A\":true}",
					   "{\"A\":null}",	 "{\"1A\":\"\"}",
					   "{\"\":\"\"}",	 "{\"A-B\":\"\"}",
					   "{\"A=B\":\"\"}",	 "{\"SLIPWAY_X\":\"\"}",
					   "{\"\xc3\xa4\":\"\"}" };

	cr_assert(member_is_good("env", "{\"_a1\":\"\\n\",\"SLIPWAY\":\"\"}"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		cr_assert_not(member_is_good("env", bad[i]), "%s", bad[i]);
		cr_assert_not(step_member_is_good("env", bad[i]), "%s", bad[i]);
	}
	assert_bad(JOB_STEP("\"env\":{\"FOO\":1}"), "steps[0].env.FOO", "a string");
}

Test(jobspec, env_ends_at_its_limits)
{
	cleanup_free char *value = quoted("v", JOBSPEC_ENV_VALUE_MAX);
	cleanup_free char *longer = quoted("v", JOBSPEC_ENV_VALUE_MAX + 1);
	cleanup_free char *name = quoted("N", JOBSPEC_NAME_MAX);
	cleanup_free char *long_name = quoted("N", JOBSPEC_NAME_MAX + 1);
	cleanup_free char *a = xasprintf("{%s:%s}", name, value);
	cleanup_free char *b = xasprintf("{%s:%s}", name, longer);
	cleanup_free char *c = xasprintf("{%s:\"\"}", long_name);

	cr_assert(member_is_good("env", a));
	cr_assert_not(member_is_good("env", b));
	cr_assert_not(member_is_good("env", c));
}

Test(jobspec, env_of_a_whole_job_is_at_most_256_kib)
{
	/* Eight values of 32 KiB less the 3 bytes that name, "=" and end take. */
	cleanup_free char *value = quoted("v", JOBSPEC_ENV_VALUE_MAX - 3);
	cleanup_strbuf struct strbuf job = { 0 };
	cleanup_free char *json = NULL, *more = NULL;

	for (char c = 'A'; c < 'H'; c++)
		strbuf_addf(&job, "%s\"%c\":%s", job.len ? "," : "", c, value);
	json = xasprintf("{" HEAD
			 ",\"env\":{%s},\"steps\":[{\"name\":\"a\",\"run\":\"b\","
			 "\"env\":{\"A\":%s}}]}",
			 job.data, value);
	assert_good(json);
	more = xasprintf("{" HEAD
			 ",\"env\":{%s},\"steps\":[{\"name\":\"a\",\"run\":\"b\","
			 "\"env\":{\"A\":%s}}," STEP ",{\"name\":\"a\",\"run\":\"b\","
			 "\"env\":{\"Z\":\"\"}}]}",
			 job.data, value);
	assert_bad(more, "steps[2].env.Z", "256 KiB");
}

Test(jobspec, numbers_have_ranges)
{
	static const struct {
		const char *member;
		long long min, max;
	} cases[] = { { "timeout", 0, JOBSPEC_TIMEOUT_MAX },
		      { "priority", 0, 10 },
		      { "depth", 0, 1 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (int past = 0; past < 2; past++) {
			cleanup_free char *lo = xasprintf("%lld", cases[i].min - past);
			cleanup_free char *hi = xasprintf("%lld", cases[i].max + past);

			cr_assert_eq(member_is_good(cases[i].member, lo), !past);
			cr_assert_eq(member_is_good(cases[i].member, hi), !past);
		}
	}
	cr_assert(step_member_is_good("timeout", "2592000"));
	cr_assert_not(step_member_is_good("timeout", "2592001"));
	cr_assert_not(step_member_is_good("timeout", "-1"));
	cr_assert_not(member_is_good("timeout", "99999999999999999999999"));
	cr_assert_not(member_is_good("timeout", "-99999999999999999999999"));
	cr_assert_not(member_is_good("timeout", "18446744073709551616"));
	cr_assert_not(member_is_good("timeout", "6e2"));
}

Test(jobspec, resources_have_ranges)
{
	static const char *const good[] = { "{\"cpus\":1024}",
					    "{\"cpus\":0.5}",
					    "{\"memory\":1048576}",
					    "{\"memory\":\"1MiB\"}",
					    "{\"memory\":\"1048576\"}",
					    "{\"pids\":1}",
					    "{\"pids\":1000000}",
					    "{\"gpus\":0}",
					    "{\"gpus\":64}" };
	static const char *const bad[] = { "{\"cpus\":0}",
					   "{\"cpus\":-1}",
					   "{\"cpus\":1024.5}",
					   "{\"cpus\":1e999}",
					   "{\"cpus\":\"1\"}",
					   "{\"memory\":1048575}",
					   "{\"memory\":\"1MB\"}",
					   "{\"memory\":\"1023KiB\"}",
					   "{\"memory\":1.5}",
					   "{\"memory\":\"\"}",
					   "{\"memory\":9223372036854775807}",
					   "{\"memory\":\"99999999TiB\"}",
					   "{\"pids\":0}",
					   "{\"pids\":1000001}",
					   "{\"gpus\":65}",
					   "{\"gpus\":-1}" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		cr_assert(member_is_good("resources", good[i]), "%s: %s", good[i],
			  e.msg);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(member_is_good("resources", bad[i]), "%s", bad[i]);
}

Test(jobspec, words_come_from_fixed_sets)
{
	cr_assert(step_member_is_good("when", "\"always\""));
	cr_assert(step_member_is_good("when", "\"on_success\""));
	cr_assert_not(step_member_is_good("when", "\"never\""));
	cr_assert(member_is_good("network", "\"host\""));
	cr_assert_not(member_is_good("network", "\"\""));
	cr_assert_not(member_is_good("network", "\"bridge\""));
	cr_assert(member_is_good("retry", "{\"on\":[\"failure\"],\"limit\":10}"));
	cr_assert_not(member_is_good("retry", "{\"limit\":11}"));
	cr_assert_not(member_is_good("retry", "{\"on\":[\"x\"]}"));
	cr_assert_not(member_is_good("retry", "{\"on\":[\"infra\",\"infra\"]}"));
	cr_assert_not(member_is_good("retry", "{\"lost\":1}"));
}

Test(jobspec, lists_end_at_their_limits)
{
	static const struct {
		const char *member;
		int max;
	} cases[] = { { "labels", JOBSPEC_LABELS_MAX }, { "cacheKeys", 32 } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_strbuf struct strbuf b = { 0 };

		for (int n = 0; n < cases[i].max; n++)
			strbuf_addf(&b, "%s\"x%d\"", n ? "," : "[", n);
		strbuf_adds(&b, "]");
		cr_assert(member_is_good(cases[i].member, b.data));
		b.len--;
		strbuf_adds(&b, ",\"y\"]");
		cr_assert_not(member_is_good(cases[i].member, b.data));
	}
	cr_assert_not(member_is_good("cacheKeys", "[\"../x\"]"));
	cr_assert_not(member_is_good("cacheKeys", "[\"/x\"]"));
	cr_assert_not(member_is_good("cacheKeys", "[\"a/..\"]"));
	cr_assert(member_is_good("cacheKeys", "[\"a..b/*.lock\"]"));
	cr_assert_not(member_is_good("labels", "[\"a,b\"]"));
	cr_assert_not(member_is_good("labels", "[\"\"]"));
	cr_assert_not(member_is_good("labels", "[1]"));
	assert_bad(JOB("\"labels\":[\"a\",\"b c\"]"), "labels[1]", "must be");
}

Test(jobspec, secrets_have_three_shapes)
{
	assert_good(JOB("\"secrets\":[\"A\"]"));
	assert_good(JOB("\"secrets\":{\"A\":\"a-b\"}"));
	assert_good(JOB("\"secrets\":{\"A\":{\"name\":\"a\",\"file\":true}}"));
	assert_bad(JOB("\"secrets\":[\"a-b\"]"), "secrets[0]", "variable's name");
	assert_bad(JOB("\"secrets\":[\"A\",\"A\"]"), "secrets", "twice");
	assert_bad(JOB("\"secrets\":{\"A\":\"../x\"}"), "secrets.A", "secret's name");
	assert_bad(JOB("\"secrets\":{\"A\":1}"), "secrets.A", "a string");
	assert_bad(JOB("\"secrets\":{\"SLIPWAY_A\":\"x\"}"), "secrets.SLIPWAY_A",
		   "reserved");
	assert_bad(JOB("\"secrets\":[\"A\"],\"env\":{\"A\":\"\"}"), "secrets.A",
		   "in env as well");
	assert_bad(JOB_STEP("\"secrets\":[\"A\"],\"env\":{\"A\":\"\"}"),
		   "steps[0].secrets.A", "in env as well");
}

Test(jobspec, a_job_has_at_most_128_secrets)
{
	cleanup_strbuf struct strbuf b = { 0 };

	for (int i = 0; i < 128; i++)
		strbuf_addf(&b, "%s\"S%d\"", i ? "," : "[", i);
	strbuf_adds(&b, "]");
	cr_assert(member_is_good("secrets", b.data));
	b.len--;
	strbuf_adds(&b, ",\"T\"]");
	cr_assert_not(member_is_good("secrets", b.data));
}
