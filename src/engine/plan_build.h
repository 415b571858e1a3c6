/*
 * plan_build: from a job's spec to the plan that slipway-init executes.
 *
 * Loads the secrets (blocking: pool threads). Pure but for that.
 */
#pragma once

#include "slipway/conf.h"
#include "slipway/job.h"
#include "slipway/jobspec.h"
#include "slipway/plan.h"
#include "slipway/secret.h"

#define JOB_WORKSPACE "/workspace"
#define JOB_HOME "/workspace/home"
#define JOB_SECRETS "/run/slipway"

/* What of the configuration a plan needs, copied, so that a pool thread may use it. */
struct plan_conf {
	char *secrets_dir, *public_url;
	int64_t step_timeout_ms, job_timeout_ms, grace_ms, log_max;
};
void plan_conf_init(struct plan_conf *pc, const struct conf *conf);
void plan_conf_clear(struct plan_conf *pc);

/* ERR_NOT_FOUND when a secret is missing. SLIPWAY_COMMIT is empty until the checkout
 * knows it. On success *out is the caller's, plan_clear() it. */
int plan_build(const struct plan_conf *pc, const struct jobspec *spec, const char *job,
	       unsigned attempt, struct plan *out, struct err *e);
/* Time from its start after which even a job that uses all its time and graces must have
 * ended: the daemon's backstop behind slipway-init's own time-outs. */
int64_t plan_backstop_ms(const struct plan_conf *pc, const struct jobspec *spec);
/* Set a variable of the job's environment that plan_build() made. */
void plan_set_env(struct plan *p, const char *name, const char *value);
