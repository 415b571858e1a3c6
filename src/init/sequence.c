/*
 * The life of a step:
 *
 *   start: step-start, its files, its process
 *     -> running: until the main process is reaped
 *          time-out, cancel: TERM to its group, grace, KILL; over when the group is
 *          gone or killed
 *     -> draining: until its pipes end or stay silent for DRAIN_SILENCE_MS
 *   end: its output flushed, step-end, $SLIPWAY_ENV read, verdict; the next one starts
 */
#include "sequence.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "reap.h"
#include "step.h"
#include "stepenv.h"
#include "util.h"

#define DRAIN_SILENCE_MS 250
/* A server left behind that never falls silent must not hold up the job. */
#define DRAIN_MAX_MS 2000
#define ALWAYS_MAX_MS 300000
#define EXIT_NOT_STARTED 127

static const struct plan_step *
sequence_plan_step(const struct run *run)
{
	return &run->plan->steps[run->step.index];
}

static void
sequence_write_step_end(struct run *run, uint16_t index, const struct step_end *end)
{
	uint8_t payload[STEP_END_LEN];

	step_end_encode(end, payload);
	spoolw_frame(&run->spool, &(struct spoolw_frame){
					  .type = FRAME_STEP_END,
					  .step = index,
					  .payload = payload,
					  .len = sizeof(payload),
				  });
}

static void
sequence_spawn(struct run *run)
{
	struct run_step *s = &run->step;
	struct environ_list env = { 0 };
	struct step_proc proc = { .pid = -1 };
	struct step_spec spec = {
		.step = sequence_plan_step(run),
		.memory_max = run->plan->memory_max,
		.pids_max = run->plan->pids_max,
		.oom_fd = run->oom_fd,
	};

	/* Nothing to wait for unless a process gets started. */
	s->exited = true;
	s->end.exit_code = EXIT_NOT_STARTED;
	if (stepenv_prepare(run, &env) == 0) {
		spec.env = env.v;
		if (step_start(&spec, &proc) == 0) {
			s->exited = false;
			s->pid = proc.pid;
			run_add_output(run, proc.out, FRAME_STDOUT, s->index);
			run_add_output(run, proc.err, FRAME_STDERR, s->index);
		}
		if (proc.why[0])
			run_note(run, s->index, FRAME_ERROR, "%s", proc.why);
	}
	environ_clear(&env);
}

static void
sequence_start(struct run *run, uint16_t index)
{
	const struct plan_step *step = &run->plan->steps[index];
	uint64_t timeout = step->timeout_ms;

	if (!timeout && run->bounded)
		timeout = ALWAYS_MAX_MS;
	run->step = (struct run_step){
		.open = true,
		.index = index,
		.pid = -1,
		.deadline = timeout ? util_deadline(util_now_ms(), timeout) : 0,
		.oom_kills = reap_oom_kills(),
	};
	spoolw_frame(&run->spool, &(struct spoolw_frame){
					  .type = FRAME_STEP_START,
					  .step = index,
					  .payload = step->name,
					  .len = strlen(step->name),
				  });
	sequence_spawn(run);
}

static void
sequence_next(struct run *run)
{
	const struct step_end skipped = { .flags = STEP_END_SKIPPED };

	while (!run->step.open && run->next < run->plan->nsteps) {
		uint16_t index = (uint16_t)run->next++;
		bool always = run->plan->steps[index].flags & PLAN_STEP_ALWAYS;

		if (run->aborted || (run->stopped && !always))
			sequence_write_step_end(run, index, &skipped);
		else
			sequence_start(run, index);
	}
}

void
sequence_begin(struct run *run)
{
	if (run->plan->job_timeout_ms)
		run->job_deadline =
			util_deadline(util_now_ms(), run->plan->job_timeout_ms);
	sequence_next(run);
}

bool
sequence_is_over(const struct run *run)
{
	return !run->step.open && run->next >= run->plan->nsteps;
}

static void
sequence_signal(struct run_step *s, int sig)
{
	if (s->pid > 0 && !s->group_gone && kill(-s->pid, sig) < 0 && errno == ESRCH)
		s->group_gone = s->exited;
}

static void
sequence_kill(struct run *run)
{
	sequence_signal(&run->step, SIGKILL);
	run->step.kill = RUN_KILL_DONE;
}

/* Ask the step to end, for the reason in flag; once asked, the grace runs. */
static void
sequence_stop_step(struct run *run, uint8_t flag)
{
	struct run_step *s = &run->step;

	if (!s->open || s->kill != RUN_KILL_NONE || s->exited)
		return;
	s->end.flags |= flag;
	s->deadline = 0;
	s->kill = RUN_KILL_TERM;
	s->kill_at = util_deadline(util_now_ms(), run->plan->grace_ms);
	if (run->plan->grace_ms)
		sequence_signal(s, SIGTERM);
	else
		sequence_kill(run);
}

void
sequence_cancel(struct run *run)
{
	run_set_verdict(run, INIT_EXIT_CANCELLED);
	run->stopped = true;
	run->bounded = true;
	sequence_stop_step(run, STEP_END_CANCELLED);
}

void
sequence_abort(struct run *run)
{
	struct run_step *s = &run->step;

	run->stopped = true;
	run->aborted = true;
	if (!s->open || s->kill == RUN_KILL_DONE)
		return;
	if (!s->exited)
		s->end.flags |= STEP_END_CANCELLED;
	if (!s->exited || s->kill == RUN_KILL_TERM)
		sequence_kill(run);
}

static void
sequence_add_usage(struct step_end *end, const struct rusage *usage)
{
	uint64_t rss = (uint64_t)usage->ru_maxrss * 1024;

	end->utime_us += (uint64_t)usage->ru_utime.tv_sec * 1000000 +
			 (uint64_t)usage->ru_utime.tv_usec;
	end->stime_us += (uint64_t)usage->ru_stime.tv_sec * 1000000 +
			 (uint64_t)usage->ru_stime.tv_usec;
	if (rss > end->max_rss)
		end->max_rss = rss;
}

void
sequence_child_ended(struct run *run, pid_t pid, int status,
		     const struct rusage *usage)
{
	struct run_step *s = &run->step;

	if (!s->open)
		return;
	sequence_add_usage(&s->end, usage);
	if (pid == s->pid && !s->exited) {
		s->exited = true;
		s->end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
		s->end.exit_code =
			s->end.signal ? 128 + s->end.signal : WEXITSTATUS(status);
	}
	if (s->exited)
		sequence_signal(s, 0);
}

/* Killed for memory, as far as the cgroup tells: by KILL, and not by ours. */
static bool
sequence_is_oom(const struct run_step *s)
{
	return s->kill == RUN_KILL_NONE && s->end.exit_code == 128 + SIGKILL &&
	       reap_oom_kills() > s->oom_kills;
}

static void
sequence_judge(struct run *run)
{
	struct run_step *s = &run->step;
	enum init_exit verdict = INIT_EXIT_FAILURE;

	if (!s->end.exit_code && !s->end.flags)
		return;
	if (sequence_plan_step(run)->flags & PLAN_STEP_CONTINUE)
		return;
	if (s->end.flags & STEP_END_TIMED_OUT)
		verdict = INIT_EXIT_STEP_TIMEOUT;
	else if (s->end.flags & STEP_END_OOM)
		verdict = INIT_EXIT_OOM;
	run->stopped = true;
	run_set_verdict(run, verdict);
}

static void
sequence_end_step(struct run *run)
{
	struct run_step *s = &run->step;

	for (size_t i = 0; i < run->noutputs; i++)
		if (run->outputs[i]->step == s->index)
			output_flush(run->outputs[i], &run->sink);
	if (sequence_is_oom(s))
		s->end.flags |= STEP_END_OOM;
	stepenv_finish(run);
	sequence_write_step_end(run, s->index, &s->end);
	sequence_judge(run);
	s->open = false;
}

/* When the silence of the step's pipes is long enough; 0: they have all ended. */
static uint64_t
sequence_drain_until(const struct run *run)
{
	const struct run_step *s = &run->step;
	uint64_t until = 0, most = s->drain_from + DRAIN_MAX_MS;

	for (size_t i = 0; i < run->noutputs; i++) {
		const struct output *o = run->outputs[i];
		uint64_t from = o->read_at > s->drain_from ? o->read_at
							   : s->drain_from;

		if (o->step == s->index && from + DRAIN_SILENCE_MS > until)
			until = from + DRAIN_SILENCE_MS;
	}
	return until < most ? until : most;
}

static bool
sequence_is_drained(struct run *run, uint64_t now)
{
	struct run_step *s = &run->step;

	if (!s->exited || (s->kill == RUN_KILL_TERM && !s->group_gone))
		return false;
	if (!s->drain_from)
		s->drain_from = now;
	return now >= sequence_drain_until(run);
}

static void
sequence_check_times(struct run *run, uint64_t now)
{
	struct run_step *s = &run->step;

	if (s->open && s->deadline && now >= s->deadline && !s->exited) {
		run_note(run, s->index, 0, "the step has reached its time limit");
		sequence_stop_step(run, STEP_END_TIMED_OUT);
	}
	if (run->job_deadline && now >= run->job_deadline) {
		run_note(run, FRAME_NO_STEP, 0, "the job has reached its time limit");
		run->job_deadline = 0;
		run_set_verdict(run, INIT_EXIT_JOB_TIMEOUT);
		run->stopped = true;
		run->bounded = true;
		sequence_stop_step(run, STEP_END_TIMED_OUT);
	}
	if (s->open && s->kill == RUN_KILL_TERM && now >= s->kill_at)
		sequence_kill(run);
}

void
sequence_tick(struct run *run, uint64_t now)
{
	sequence_check_times(run, now);
	while (run->step.open && sequence_is_drained(run, now)) {
		sequence_end_step(run);
		sequence_next(run);
	}
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

uint64_t
sequence_deadline(const struct run *run)
{
	const struct run_step *s = &run->step;
	uint64_t at = run->job_deadline;

	if (!s->open)
		return at;
	if (!s->exited)
		at = earlier(at, s->deadline);
	if (s->kill == RUN_KILL_TERM)
		at = earlier(at, s->kill_at);
	if (s->drain_from)
		at = earlier(at, sequence_drain_until(run));
	return at;
}
