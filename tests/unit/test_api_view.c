#include <criterion/criterion.h>
#include <string.h>

#include "slipway/mem.h"
#include "web/api_view.h"

static const char spec_json[] =
	"{\"repo\":\"https://example.org/a.git\",\"commit\":\"main\",\"timeout\":100,"
	"\"steps\":[{\"name\":\"build\",\"run\":\"make\"},"
	"{\"name\":\"test\",\"run\":\"make check\",\"timeout\":0},"
	"{\"name\":\"clean\",\"run\":\"rm x\",\"when\":\"always\","
	"\"continueOnError\":true}]}";

static struct jobspec *
spec_get(void)
{
	struct err e = { 0 };
	struct jobspec *s = jobspec_parse(spec_json, strlen(spec_json), &e);

	cr_assert_not_null(s, "%s", e.msg);
	return s;
}

static struct job_view *
view_running(void)
{
	struct job_view *v = xcalloc(1, sizeof(*v));

	STR_COPY(v->job.id, "j1");
	STR_COPY(v->job.repo, "https://example.org/a.git");
	STR_COPY(v->job.commit, "main");
	v->job.state = JOB_RUNNING;
	v->job.attempt = v->attempt.number = 2;
	v->job.queued_at = 1000;
	v->job.started_at = 1500;
	v->job.priority = 5;
	v->phase = PHASE_STEPS;
	v->current_step = 1;
	STR_COPY(v->attempt.runner, "local");
	STR_COPY(v->sandbox, "box");
	v->attempt.nsteps = 3;
	v->attempt.steps[0] = (struct step_record){ .state = STEP_SUCCESS,
						    .has_exit = true,
						    .started_at = 1600,
						    .finished_at = 1700 };
	v->attempt.steps[1].state = STEP_RUNNING;
	v->attempt.steps[1].started_at = 1700;
	return v;
}

static char *
render(const struct view_in *in)
{
	struct json_object *o = view_job(in);
	char *text = xstrdup(json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

	json_object_put(o);
	return text;
}

Test(api_view, a_running_job)
{
	cleanup_jobspec struct jobspec *spec = spec_get();
	cleanup_free struct job_view *v = view_running();
	const struct view_in in = { .v = v, .spec = spec, .base_url = "http://h" };
	cleanup_free char *text = render(&in);

	cr_expect_str_eq(
		text, "{\"id\":\"j1\",\"status\":\"running\",\"currentStep\":1,"
		      "\"queuedAt\":1000,\"startedAt\":1500,\"attempt\":2,"
		      "\"phase\":\"steps\",\"runner\":\"local\",\"sandboxId\":\"box\","
		      "\"repo\":\"https://example.org/a.git\",\"commit\":\"main\","
		      "\"priority\":5,\"warnings\":0,\"trigger\":\"api\","
		      "\"url\":\"http://h/jobs/status?id=j1\","
		      "\"logUrl\":\"http://h/jobs/logs?id=j1\",\"steps\":["
		      "{\"name\":\"build\",\"status\":\"success\",\"exitCode\":0,"
		      "\"duration\":100,\"startedAt\":1600,\"finishedAt\":1700},"
		      "{\"name\":\"test\",\"status\":\"running\",\"startedAt\":1700},"
		      "{\"name\":\"clean\",\"status\":\"pending\","
		      "\"continueOnError\":true}]}");
}

Test(api_view, a_queued_retry_shows_no_steps_of_the_attempt_before)
{
	cleanup_jobspec struct jobspec *spec = spec_get();
	cleanup_free struct job_view *v = view_running();
	const struct view_in in = { .v = v, .spec = spec, .base_url = "" };
	cleanup_free char *text = NULL;

	v->job.state = JOB_QUEUED;
	v->job.attempt = 3;
	v->job.started_at = 0;
	v->position = 4;
	STR_COPY(v->wait_reason, "no runner has the label gpu");
	text = render(&in);
	cr_expect_null(strstr(text, "success"));
	cr_expect_null(strstr(text, "currentStep"));
	cr_expect_null(strstr(text, "startedAt"));
	cr_expect_not_null(strstr(text, "{\"name\":\"build\",\"status\":\"pending\"}"));
	cr_expect_not_null(strstr(text,
				  "\"waitReason\":\"no runner has the label gpu\","
				  "\"queuePosition\":4"));
}

Test(api_view, steps_that_a_final_job_never_reached_are_skipped)
{
	cleanup_jobspec struct jobspec *spec = spec_get();
	cleanup_free struct job_view *v = view_running();
	const struct view_in in = { .v = v, .spec = spec, .base_url = "" };
	cleanup_free char *text = NULL;

	v->job.state = JOB_CANCELLED;
	v->job.reason = REASON_CANCELLED;
	v->attempt.number = 0;
	text = render(&in);
	cr_expect_not_null(strstr(text, "{\"name\":\"build\",\"status\":\"skipped\"}"));
	cr_expect_not_null(strstr(text, "\"reason\":\"cancelled\""));
}

Test(api_view, output_is_given_for_steps_that_ran)
{
	cleanup_jobspec struct jobspec *spec = spec_get();
	cleanup_free struct job_view *v = view_running();
	struct step_outputs out;
	const struct view_in in = { .v = v, .spec = spec, .out = &out, .base_url = "" };
	cleanup_free char *text = NULL;

	step_outputs_init(&out, 3);
	strbuf_adds(&out.steps[0], "hello\n");
	text = render(&in);
	cr_expect_not_null(strstr(text, "\"output\":\"hello\\n\",\"exitCode\":0"));
	cr_expect_not_null(strstr(text, "\"status\":\"running\",\"output\":\"\""));
	cr_expect_null(strstr(text, "\"status\":\"pending\",\"output\""));
	step_outputs_free(&out);
}

Test(api_view, text_from_outside_becomes_utf8)
{
	cleanup_free struct job_view *v = view_running();
	const struct view_in in = { .v = v, .base_url = "" };
	cleanup_free char *text = NULL;

	STR_COPY(v->job.error, "bad \xff byte");
	text = render(&in);
	cr_expect_not_null(strstr(text, "\"error\":\"bad \xef\xbf\xbd byte\""));
}

Test(api_view, a_plan_tells_effective_limits)
{
	cleanup_jobspec struct jobspec *spec = spec_get();
	char isolated[] = "isolated";
	const struct conf c = { .defaults_step_timeout_ms = 300000,
				.defaults_job_timeout_ms = 3600000,
				.queue_default_priority = 5,
				.defaults_network = isolated };
	struct json_object *o = view_plan(spec, &c, "one\ntwo\n");
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);

	cr_expect_not_null(strstr(text, "\"timeout\":100,\"priority\":5,"
					"\"network\":\"isolated\""));
	/* 300 by default, but no longer than the job. */
	cr_expect_not_null(strstr(text, "\"shell\":\"sh\",\"timeout\":100,"
					"\"continueOnError\":false}"));
	cr_expect_not_null(
		strstr(text, "\"continueOnError\":true,\"when\":\"always\""));
	cr_expect_not_null(strstr(text, "\"warnings\":[\"one\",\"two\"]"));
	json_object_put(o);
}

Test(api_view, etags_change_with_what_is_shown)
{
	cleanup_free struct job_view *v = view_running();
	char a[VIEW_ETAG_MAX], b[VIEW_ETAG_MAX];

	view_etag(v, 100, a);
	view_etag(v, 100, b);
	cr_expect_str_eq(a, b);
	view_etag(v, 101, b);
	cr_expect_str_neq(a, b);
	cr_expect(view_etag_same_state(a, b));
	v->attempt.steps[1].state = STEP_FAILURE;
	view_etag(v, 100, b);
	cr_expect_str_neq(a, b);
	cr_expect(view_etag_same_state(a, b));
	v->current_step = 2;
	view_etag(v, 100, b);
	cr_expect_not(view_etag_same_state(a, b));
	cr_expect_not(view_etag_same_state(a, "\"x\""));
}
