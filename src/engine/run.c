#include "run.h"
#include "runs.h"

#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define KILL_SLACK_MS 2000

static void run_enter_start(struct run *run);
static void run_enter_steps(struct run *run);
static void on_deadline(void *arg);

static const struct {
	void (*enter)(struct run *run);
} phases[PHASES] = {
	[PHASE_FETCH] = { run_enter_fetch },
	[PHASE_START] = { run_enter_start },
	[PHASE_STEPS] = { run_enter_steps },
	[PHASE_VERDICT] = { run_enter_verdict },
	[PHASE_CLEAN] = { run_enter_clean },
};

static struct engine_runner *
run_runner(const struct run *run)
{
	return &run->en->runners[run->runner];
}

static struct run *
run_new(struct engine *en, struct entry *ent, const struct job *j, size_t r)
{
	struct run *run = xcalloc(1, sizeof(*run));

	run->en = en;
	run->ent = ent;
	run->runner = r;
	run->job = *j;
	run->current_step = -1;
	run->dir = xasprintf("%s/jobs/%s/%u", en->d.conf->state_dir, j->id, j->attempt);
	run->workspace = xasprintf("%s/workspace", run->dir);
	run->deadline = loop_timer_new(en->d.loop, on_deadline, run);
	plan_conf_init(&run->pc, en->d.conf);
	ent->state = ENTRY_RUNNING;
	ent->run = run;
	TAILQ_INSERT_TAIL(&en->runs, run, link);
	en->nruns++;
	en->runners[r].running++;
	return run;
}

static void
run_free(void *arg)
{
	struct run *run = arg;

	loop_timer_free(run->deadline);
	jobspec_free(run->spec);
	plan_clear(&run->plan);
	plan_conf_clear(&run->pc);
	mask_free(run->mask);
	free(run->dir);
	free(run->workspace);
	free(run);
}

void
run_hold(struct run *run)
{
	run->holds++;
}

bool
run_drop(struct run *run)
{
	run->holds--;
	if (run->closed && run->holds == 0)
		loop_defer(run->en->d.loop, run_free, run);
	return run->closed;
}

struct run *
run_next(struct run *run)
{
	return TAILQ_NEXT(run, link);
}

void
run_publish(struct run *run)
{
	engine_publish(run->en, run->job.id, run->att.number, BUS_JOB);
}

/* Every callback ends here: on to the next phase, or, after a failure, to the verdict. */
void
run_advance(struct run *run, const struct err *err)
{
	enum job_phase next = run->phase + 1;

	if (err && !run->failed)
		run_fail(run, REASON_INTERNAL, true, err);
	if (run->phase < PHASE_VERDICT && !run->started &&
	    (run->failed || run->put_back || run->job.cancel_wanted))
		next = PHASE_VERDICT;
	log_debug(LOG_RUN, "job=%s attempt=%u phase %s -> %s", run->job.id,
		  run->att.number, job_phase_name(run->phase), job_phase_name(next));
	run->phase = next;
	phases[next].enter(run);
	run_publish(run);
}

void
run_fail(struct run *run, enum job_reason reason, bool retriable, const struct err *e)
{
	run->failed = true;
	run->fail_reason = reason;
	run->retriable = retriable;
	run->failure = *e;
	log_warn(LOG_RUN, "job=%s attempt=%u %s: %s", run->job.id, run->att.number,
		 job_reason_name(reason), e->msg);
	if (run->spool)
		run_note(run, FRAME_ERROR, "%s", e->msg);
}

static void
on_running(void *arg, const struct err *err)
{
	struct run *run = arg;

	(void)err;
	if (!run_drop(run))
		run_publish(run);
}

void
run_begin(struct engine *en, struct entry *ent, const struct job *j, size_t r)
{
	struct run *run = run_new(en, ent, j, r);
	int64_t now = clock_wall_ms();

	run->job.started_at = now;
	run->job.not_before = 0;
	run->att = (struct attempt){ .number = j->attempt, .state = JOB_RUNNING,
				     .phase = PHASE_FETCH, .queued_at = j->queued_at,
				     .started_at = now };
	STR_COPY(run->att.job, j->id);
	STR_COPY(run->att.runner, run_runner(run)->name);
	STR_COPY(run->att.boot_id, clock_boot_id());
	db_begin(en->d.db, 0);
	engine_set_state(en, &run->job, JOB_RUNNING);
	db_attempt_put(en->d.db, &run->att);
	run_hold(run);
	db_end(en->d.db, on_running, run);
	run_advance(run, NULL);
}

/* Commit what the attempt's record says now. */
static void
run_save(struct run *run, void (*then)(void *, const struct err *))
{
	db_begin(run->en->d.db, 0);
	db_attempt_put(run->en->d.db, &run->att);
	run_hold(run);
	db_end(run->en->d.db, then, run);
}

/* START */

static void
on_started(void *arg, const struct err *err)
{
	struct run *run = arg;

	if (err && err->code == ERR_CONNECT) {
		log_warn(LOG_RUN, "job=%s attempt=%u put back: %s", run->job.id,
			 run->att.number, err->msg);
		run->put_back = true;
		run->exit.end = SANDBOX_NEVER;
	} else if (err) {
		run_fail(run, err->code == ERR_NO_SPACE ? REASON_DISK_FULL : REASON_INTERNAL,
			 true, err);
		run->exit.end = SANDBOX_NEVER;
	}
	run->started = !err;
	run_advance(run, NULL);
}

static void
on_log_complete(void *arg)
{
	struct run *run = arg;

	run_advance(run, NULL);
}

/* The sandbox is gone. Its log is complete once the spool was read to the end. */
static void
on_exit_seen(void *arg, const struct sandbox_exit *x)
{
	struct run *run = arg;

	run->exit = *x;
	loop_timer_stop(run->deadline);
	log_debug(LOG_RUN, "job=%s attempt=%u sandbox ended: %d code=%d %s", run->job.id,
		  run->att.number, (int)x->end, x->code, x->why);
	if (run->spool)
		spool_finish(run->spool, on_log_complete, run);
	else
		run_advance(run, NULL);
}

static void
on_removed(void *arg)
{
	struct run *run = arg;

	run->sandbox = NULL;
	run->removed = true;
	run_enter_clean(run);
}

static struct sandbox_events
run_sandbox_events(struct run *run)
{
	return (struct sandbox_events){ .on_started = on_started,
					.on_exit = on_exit_seen,
					.on_removed = on_removed,
					.arg = run };
}

static void
on_starting_committed(void *arg, const struct err *err)
{
	struct run *run = arg;
	const struct sandbox_events ev = run_sandbox_events(run);
	const struct engine_runner *er = run_runner(run);
	struct sandbox_start s;

	(void)err;
	if (run_drop(run))
		return;
	if (run->job.cancel_wanted) {
		run_advance(run, NULL);
		return;
	}
	s = (struct sandbox_start){ .job = run->job.id, .attempt = run->att.number,
				    .dir = run->dir, .workspace = run->workspace,
				    .plan = &run->plan, .spool_fd = spool_fd(run->spool),
				    .network = run->spec->network,
				    .memory = run->spec->memory, .pids = run->spec->pids,
				    .cpus = run->spec->cpus, .image = run->spec->image };
	spool_watch(run->spool);
	run->sandbox = er->ops->start(er->runner, &s, &ev);
	plan_clear(&run->plan);
}

static void
run_enter_start(struct run *run)
{
	const struct engine_runner *er = run_runner(run);

	run->att.phase = PHASE_START;
	er->ops->name(er->runner, run->job.id, run->att.number, run->att.endpoint,
		      sizeof(run->att.endpoint));
	run_save(run, on_starting_committed);
}

/* STEPS */

static void
run_arm_backstop(struct run *run)
{
	int64_t left = plan_backstop_ms(&run->pc, run->spec) -
		       (clock_wall_ms() - run->att.started_at);

	loop_timer_set(run->deadline, left > 0 ? left : 0);
}

static void
run_signal(struct run *run, int what)
{
	if (run->sandbox && run->phase == PHASE_STEPS)
		run_runner(run)->ops->signal(run->sandbox, what);
}

/* How long slipway-init may take to end after a cancel: a grace, then the always steps
 * with theirs. */
static void
run_signal_cancel(struct run *run)
{
	struct plan_conf pc = run->pc;
	int64_t job_ms = run->spec->timeout_s > 0 ? run->spec->timeout_s * 1000
						  : pc.job_timeout_ms;

	run->signalled = true;
	run_signal(run, RUNNER_SIGNAL_CANCEL);
	loop_timer_set(run->deadline,
		       plan_backstop_ms(&pc, run->spec) - job_ms - 30000 + KILL_SLACK_MS);
}

static void
run_enter_steps(struct run *run)
{
	/* In memory: "starting" is all that recovery asks for. */
	run->att.phase = PHASE_STEPS;
	run_arm_backstop(run);
	if (run->job.cancel_wanted)
		run_signal_cancel(run);
}

static void
on_timeout_committed(void *arg, const struct err *err)
{
	struct run *run = arg;

	(void)err;
	if (!run_drop(run))
		run_signal(run, RUNNER_SIGNAL_KILL);
}

/* slipway-init did not end in the time that it has: the daemon's own time-out. */
static void
on_deadline(void *arg)
{
	struct run *run = arg;

	if (run->phase != PHASE_STEPS)
		return;
	log_warn(LOG_RUN, "job=%s attempt=%u does not end, killed", run->job.id,
		 run->att.number);
	if (run->job.cancel_wanted) {
		run_signal(run, RUNNER_SIGNAL_KILL);
		return;
	}
	run->att.intent_timeout = true;
	run_save(run, on_timeout_committed);
}

/* Cancelling: the intent first. */

static void
on_cancel_committed(void *arg, const struct err *err)
{
	struct run *run = arg;

	(void)err;
	if (run_drop(run))
		return;
	if (run->phase == PHASE_FETCH && run->checkout)
		checkout_cancel(run->checkout);
	else if (run->phase == PHASE_STEPS && !run->signalled)
		run_signal_cancel(run);
}

void
run_cancel(struct run *run, const char *by)
{
	if (run->job.cancel_wanted || run->phase >= PHASE_VERDICT)
		return;
	run->job.cancel_wanted = true;
	STR_COPY(run->job.cancel_by, by);
	db_begin(run->en->d.db, 0);
	db_job_update(run->en->d.db, &run->job, JOB_RUNNING);
	run_hold(run);
	db_end(run->en->d.db, on_cancel_committed, run);
}

/* Adoption. */

/* Nothing of another boot is left: pids of then belong to others now. */
static void
run_vanished(struct run *run)
{
	const struct sandbox_exit x = { .end = SANDBOX_LOST,
					.why = "the machine was restarted" };

	on_exit_seen(run, &x);
}

static void
run_attach(struct run *run)
{
	const struct sandbox_events ev = run_sandbox_events(run);
	const struct engine_runner *er = run_runner(run);

	run->sandbox = er->ops->attach(er->runner, run->job.id, run->att.number, run->dir,
				       &ev);
	if (!run->spec || run->att.intent_timeout)
		run_signal(run, RUNNER_SIGNAL_KILL);
	else if (run->job.cancel_wanted)
		run_signal_cancel(run);
	else
		run_arm_backstop(run);
	if (run->spool)
		spool_watch(run->spool);
}

void
run_adopt(struct engine *en, struct entry *ent, const struct job *j,
	  const struct attempt *a, size_t r)
{
	struct run *run = run_new(en, ent, j, r);
	cleanup_strbuf struct strbuf json = { 0 };
	struct err e = { 0 };

	run->att = *a;
	run->phase = PHASE_STEPS;
	run->started = true;
	if (db_spec_get(en->d.db, j->id, &json, &e) == 1)
		run->spec = jobspec_parse(json.data, json.len, &e);
	if (!run->spec || run_open_spool(run, &e))
		run_fail(run, REASON_INTERNAL, true, &e);
	if (run->spec)
		run->att.nsteps = (unsigned)run->spec->nsteps;
	if (strcmp(a->boot_id, clock_boot_id()) == 0)
		run_attach(run);
	else
		run_vanished(run);
}

void
run_detach(struct run *run)
{
	loop_timer_stop(run->deadline);
	if (run->checkout)
		checkout_cancel(run->checkout);
	if (run->sandbox)
		run_runner(run)->ops->detach(run->sandbox);
	run->sandbox = NULL;
	spool_close(run->spool);
	run->spool = NULL;
	TAILQ_REMOVE(&run->en->runs, run, link);
	if (run->ent)
		run->ent->run = NULL;
	run->closed = true;
	run_hold(run);
	run_drop(run);
}

void
run_view(const struct run *run, struct job_view *out)
{
	out->attempt = run->att;
	out->phase = run->phase;
	out->current_step = run->current_step;
	out->live = true;
	if (run->sandbox)
		run_runner(run)->ops->describe(run->sandbox, out->sandbox,
					       sizeof(out->sandbox));
}

void
run_describe(const struct run *run, char *out, size_t size)
{
	char sandbox[128] = "";

	if (run->sandbox)
		run_runner(run)->ops->describe(run->sandbox, sandbox, sizeof(sandbox));
	snprintf(out, size, "job=%s attempt=%u runner=%s phase=%s step=%d %s", run->job.id,
		 run->att.number, run_runner(run)->name, job_phase_name(run->phase),
		 run->current_step, sandbox);
}
