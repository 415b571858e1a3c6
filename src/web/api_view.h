/*
 * api_view: records as the JSON that clients see. Pure, any thread.
 *
 * Text in records that came from outside is made valid UTF-8 on the way.
 */
#pragma once

#include <json-c/json.h>

#include "slipway/conf.h"
#include "slipway/engine.h"
#include "slipway/jobspec.h"
#include "step_output.h"

struct view_in {
	const struct job_view *v;
	const struct jobspec *spec;	/* NULL: steps are known by the attempt only */
	const struct step_outputs *out; /* NULL: without output */
	const char *base_url;
};

/* The job status object. */
struct json_object *view_job(const struct view_in *in);
/* One item of its attempts[]. */
struct json_object *view_attempt(const struct attempt *a);
/* What a job would do: the plan of POST /jobs/validate. warnings: one per line. */
struct json_object *view_plan(const struct jobspec *s, const struct conf *c,
			      const char *warnings);
/* `"<state>.<rest>"` with quotes. state changes with the job's state, attempt, phase
 * and current step; rest with whatever else is shown; output is known by the log's
 * size. */
#define VIEW_ETAG_MAX 64
void view_etag(const struct job_view *v, uint64_t log_size, char out[VIEW_ETAG_MAX]);
/* Do both tell the same state part? */
bool view_etag_same_state(const char *a, const char *b);
