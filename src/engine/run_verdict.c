#include "maintain.h"
#include "run.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>

#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	run_enter_verdict → outcome → note → fdatasync (pool) → unit {attempt, job}
 *	  → on_final → slot freed, answers → runner remove → maintain
 */

#define BACKOFF_MAX_MS 600000
#define PUT_BACK_MS 1000

struct outcome {
	enum job_state state;
	enum job_reason reason;
	bool retriable; /* an infrastructure reason */
	bool uncounted; /* never started: the same attempt again */
};

static const struct {
	int code;
	enum job_state state;
	enum job_reason reason;
} verdicts[] = {
	{ INIT_EXIT_SUCCESS, JOB_SUCCESS, REASON_NONE },
	{ INIT_EXIT_FAILURE, JOB_FAILURE, REASON_STEP_FAILED },
	{ INIT_EXIT_STEP_TIMEOUT, JOB_TIMEOUT, REASON_STEP_TIMEOUT },
	{ INIT_EXIT_JOB_TIMEOUT, JOB_TIMEOUT, REASON_JOB_TIMEOUT },
	{ INIT_EXIT_CANCELLED, JOB_CANCELLED, REASON_CANCELLED },
	{ INIT_EXIT_OOM, JOB_FAILURE, REASON_OOM },
	{ INIT_EXIT_INTERNAL, JOB_FAILURE, REASON_INTERNAL },
};

static void
explain(struct run *run, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
explain(struct run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(run->att.error, sizeof(run->att.error), fmt, ap);
	va_end(ap);
}

/* The step that decided: the first that failed and was not allowed to. */
static void
explain_step(struct run *run)
{
	for (unsigned i = 0; i < run->att.nsteps; i++) {
		const struct step_record *s = &run->att.steps[i];
		const struct spec_step *spec = &run->spec->steps[i];

		if (s->state != STEP_FAILURE || spec->continue_on_error)
			continue;
		if (s->timed_out)
			explain(run, "step \"%s\" ran into its time limit", spec->name);
		else if (s->exit_code > 128)
			explain(run, "step \"%s\" was ended by signal %d (%s)", spec->name,
				s->exit_code - 128, strsignal(s->exit_code - 128));
		else
			explain(run, "step \"%s\" exited with %d", spec->name,
				s->exit_code);
		return;
	}
}

static struct outcome
outcome_lost(struct run *run, const char *why)
{
	explain(run, "the sandbox is gone: %s", why);
	return (struct outcome){ JOB_FAILURE, REASON_RUNNER_LOST, true, false };
}

static struct outcome
outcome_exited(struct run *run)
{
	struct outcome o = { JOB_FAILURE, REASON_INTERNAL, true, false };

	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
		if (verdicts[i].code != run->exit.code)
			continue;
		o.state = verdicts[i].state;
		o.reason = verdicts[i].reason;
		o.retriable = o.reason == REASON_INTERNAL;
		if (run->exit.oom && o.state == JOB_FAILURE)
			o.reason = REASON_OOM;
		if (o.reason == REASON_INTERNAL && !engine_measure_space(run->en))
			o.reason = REASON_DISK_FULL;
		explain_step(run);
		if (o.reason == REASON_JOB_TIMEOUT)
			explain(run, "the job ran into its time limit");
		else if (o.reason == REASON_INTERNAL || o.reason == REASON_DISK_FULL)
			explain(run, "slipway-init could not go on (see the log)");
		return o;
	}
	if (run->exit.oom) {
		explain(run, "the job used more memory than it may");
		return (struct outcome){ JOB_FAILURE, REASON_OOM, false, false };
	}
	if (run->exit.code > 128)
		return outcome_lost(run, "slipway-init was killed");
	explain(run, "the sandbox ended with %d%s%s", run->exit.code,
		*run->exit.why ? ": " : "", run->exit.why);
	return o;
}

static struct outcome
outcome_of(struct run *run)
{
	if (run->job.cancel_wanted) {
		explain(run, "cancelled by %s", run->job.cancel_by);
		return (struct outcome){ JOB_CANCELLED, REASON_CANCELLED, false, false };
	}
	if (run->att.intent_timeout) {
		explain(run, "the job did not end in its time and was killed");
		return (struct outcome){ JOB_TIMEOUT, REASON_JOB_TIMEOUT, false, false };
	}
	if (run->failed) {
		explain(run, "%s", run->failure.msg);
		return (struct outcome){ JOB_FAILURE, run->fail_reason, run->retriable,
					 false };
	}
	if (run->exit.end == SANDBOX_NEVER)
		return (struct outcome){ JOB_FAILURE, REASON_INTERNAL, true, true };
	if (run->exit.end == SANDBOX_LOST)
		return outcome_lost(run, *run->exit.why ? run->exit.why
							: "it left no exit code");
	return outcome_exited(run);
}

static unsigned
conf_retry_on(const struct conf *c)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = { { "infra", RETRY_ON_INFRA },
		      { "failure", RETRY_ON_FAILURE },
		      { "timeout", RETRY_ON_TIMEOUT } };
	unsigned bits = 0;

	for (size_t i = 0; i < c->queue_retry_on.n; i++)
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			if (strcmp(c->queue_retry_on.v[i], names[k].name) == 0)
				bits |= names[k].bit;
	return bits;
}

/* A deployment is never repeated by itself, unless the job says so. */
static bool
lost_may_retry(const struct jobspec *spec)
{
	return spec->has_retry_lost ? spec->retry_lost : !spec->environment;
}

static bool
should_retry(const struct run *run, const struct outcome *o)
{
	const struct conf *c = run->en->d.conf;
	const struct jobspec *spec = run->spec;
	unsigned on = spec && spec->has_retry_on ? spec->retry_on : conf_retry_on(c);
	int64_t limit = spec && spec->retry_limit >= 0 ? spec->retry_limit
						       : c->queue_max_retries;

	if ((int64_t)run->job.retries >= limit)
		return false;
	if (o->reason == REASON_RUNNER_LOST && spec && !lost_may_retry(spec))
		return false;
	if (o->retriable)
		return on & RETRY_ON_INFRA;
	if (o->state == JOB_TIMEOUT)
		return on & RETRY_ON_TIMEOUT;
	if (o->reason == REASON_STEP_FAILED || o->reason == REASON_OOM)
		return on & RETRY_ON_FAILURE;
	return false;
}

static void
job_requeue(struct run *run, const struct outcome *o)
{
	struct job *j = &run->job;
	int64_t delay = run->en->d.conf->queue_backoff_ms;

	if (!o->uncounted) {
		for (unsigned i = 0; i < j->retries && delay < BACKOFF_MAX_MS; i++)
			delay *= 2;
		j->attempt++;
		j->retries++;
		j->not_before = clock_wall_ms() +
				(delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS);
	} else if (run->put_back) {
		j->not_before = clock_wall_ms() + PUT_BACK_MS;
	}
	j->reason = REASON_NONE;
	j->error[0] = '\0';
	j->warnings = 0;
	j->started_at = 0;
	engine_set_state(run->en, j, JOB_QUEUED);
}

static void
count_warnings(struct run *run)
{
	run->job.warnings = 0;
	for (unsigned i = 0; i < run->att.nsteps; i++)
		if (run->att.steps[i].state == STEP_FAILURE &&
		    run->spec->steps[i].continue_on_error)
			run->job.warnings++;
}

static void
on_final(void *arg, const struct err *err)
{
	struct run *run = arg;
	struct engine *en = run->en;
	struct entry *ent = run->ent;

	(void)err;
	en->runners[run->runner].running--;
	en->nruns--;
	TAILQ_REMOVE(&en->runs, run, link);
	run->ent = NULL;
	run->holds--;
	engine_run_ended(en, ent, &run->job);
	run_advance(run, NULL);
}

/* Attempt and job in one unit: the verdict. */
static void
run_commit_verdict(struct run *run)
{
	struct outcome o = outcome_of(run);
	struct engine *en = run->en;
	bool again = !run->job.cancel_wanted && (o.uncounted || should_retry(run, &o));

	run->uncounted = again && o.uncounted;
	run->att.state = o.state;
	run->att.reason = o.reason;
	run->att.phase = PHASE_VERDICT;
	run->att.finished_at = clock_wall_ms();
	run->job.reason = o.reason;
	if (run->spec)
		count_warnings(run);
	STR_COPY(run->job.error, run->att.error);
	if (run->att.sha[0])
		STR_COPY(run->job.commit, run->att.sha);
	db_begin(en->d.db, 0);
	db_attempt_put(en->d.db, &run->att);
	if (again)
		job_requeue(run, &o);
	else
		engine_set_state(en, &run->job, o.state);
	if (!run->uncounted)
		db_job_set_pending(en->d.db, run->job.id, true);
	run->holds++;
	db_end(en->d.db, on_final, run);
}

/* The log is on disk before the state that says it is complete. */

struct sync_task {
	struct run *run;
	int fd, error;
};

static void
on_sync_work(void *arg)
{
	struct sync_task *t = arg;

	t->error = fdatasync(t->fd) == 0 ? 0 : errno;
}

static void
on_sync_done(void *arg)
{
	struct sync_task *t = arg;
	struct run *run = t->run;

	if (t->error)
		log_error(LOG_RUN, "job=%s attempt=%u its log cannot be synced: %s",
			  run->job.id, run->att.number, strerror(t->error));
	free(t);
	if (!run_drop(run))
		run_commit_verdict(run);
}

void
run_enter_verdict(struct run *run)
{
	struct sync_task *t;

	run_close_steps(run);
	loop_timer_stop(run->deadline);
	if (!run->spool) {
		run_commit_verdict(run);
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->run = run;
	t->fd = spool_fd(run->spool);
	run_hold(run);
	if (pool_submit(run->en->d.pool, POOL_IO, on_sync_work, on_sync_done, t, NULL)) {
		on_sync_work(t);
		loop_defer(run->en->d.loop, on_sync_done, t);
	}
}

void
run_enter_clean(struct run *run)
{
	if (run->sandbox && !run->removed) {
		run->en->runners[run->runner].ops->remove(run->sandbox);
		return;
	}
	if (run->spool)
		spool_close(run->spool);
	run->spool = NULL;
	/* The same attempt begins anew: its directory is discarded there. */
	if (!run->uncounted)
		maintain_add(run->en->maintain, run->job.id);
	run->closed = true;
	run_hold(run);
	run_drop(run);
}
