#include "slipway/job.h"

#include <string.h>

#define JOB_VERSION 2
#define JOB_VERSION_FLAG 1 /* ends with a flag that meant nothing */
#define ATTEMPT_VERSION 1
/* The least a step record takes, so that a forged count cannot outrun its bytes. */
#define STEP_BYTES 39

static const char *const job_states[JOB_STATES] = {
	[JOB_QUEUED] = "queued",   [JOB_RUNNING] = "running",
	[JOB_SUCCESS] = "success", [JOB_FAILURE] = "failure",
	[JOB_TIMEOUT] = "timeout", [JOB_CANCELLED] = "cancelled",
};

static const char *const step_states[STEP_STATES] = {
	[STEP_PENDING] = "pending", [STEP_RUNNING] = "running",
	[STEP_SUCCESS] = "success", [STEP_FAILURE] = "failure",
	[STEP_SKIPPED] = "skipped",
};

static const char *const reasons[REASONS] = {
	[REASON_NONE] = "",
	[REASON_STEP_FAILED] = "step_failed",
	[REASON_STEP_TIMEOUT] = "step_timeout",
	[REASON_JOB_TIMEOUT] = "job_timeout",
	[REASON_CANCELLED] = "cancelled",
	[REASON_CLONE_FAILED] = "clone_failed",
	[REASON_IMAGE_FAILED] = "image_failed",
	[REASON_RUNNER_LOST] = "runner_lost",
	[REASON_OOM] = "oom",
	[REASON_DISK_FULL] = "disk_full",
	[REASON_INTERNAL] = "internal",
	[REASON_SECRET_MISSING] = "secret_missing",
};

static const char *const phases[PHASES] = {
	[PHASE_NONE] = "",	 [PHASE_FETCH] = "fetch",     [PHASE_START] = "start",
	[PHASE_STEPS] = "steps", [PHASE_VERDICT] = "verdict", [PHASE_CLEAN] = "clean",
	[PHASE_DONE] = "done",
};

#define MOVE(state) (1u << (state))
static const unsigned moves[JOB_STATES] = {
	[JOB_QUEUED] = MOVE(JOB_RUNNING) | MOVE(JOB_CANCELLED),
	[JOB_RUNNING] = MOVE(JOB_SUCCESS) | MOVE(JOB_FAILURE) | MOVE(JOB_TIMEOUT) |
			MOVE(JOB_CANCELLED) | MOVE(JOB_QUEUED),
	[JOB_SUCCESS] = MOVE(JOB_QUEUED),
	[JOB_FAILURE] = MOVE(JOB_QUEUED),
	[JOB_TIMEOUT] = MOVE(JOB_QUEUED),
	[JOB_CANCELLED] = MOVE(JOB_QUEUED),
};

const char *
job_state_name(enum job_state s)
{
	return (unsigned)s < JOB_STATES ? job_states[s] : "";
}

enum job_state
job_state_parse(const char *name)
{
	unsigned s = 0;

	while (s < JOB_STATES && strcmp(job_states[s], name))
		s++;
	return (enum job_state)s;
}

const char *
step_state_name(enum step_state s)
{
	return (unsigned)s < STEP_STATES ? step_states[s] : "";
}

const char *
job_reason_name(enum job_reason r)
{
	return (unsigned)r < REASONS ? reasons[r] : "";
}

const char *
job_phase_name(enum job_phase p)
{
	return (unsigned)p < PHASES ? phases[p] : "";
}

bool
job_state_is_final(enum job_state s)
{
	return s >= JOB_SUCCESS && s < JOB_STATES;
}

bool
job_move_is_legal(enum job_state from, enum job_state to)
{
	return (unsigned)from < JOB_STATES && (unsigned)to < JOB_STATES &&
	       (moves[from] & MOVE(to));
}

static bool
read_bool(struct wire_r *r)
{
	uint8_t v = wire_r_u8(r);

	if (v > 1)
		r->bad = true;
	return v == 1;
}

static unsigned
read_enum(struct wire_r *r, unsigned count)
{
	uint8_t v = wire_r_u8(r);

	if (v >= count) {
		r->bad = true;
		return 0;
	}
	return v;
}

#define READ_STR(r, array) wire_r_str_into((r), (array), sizeof(array))

void
job_encode(const struct job *j, struct wire_w *w)
{
	wire_w_u16(w, JOB_VERSION);
	wire_w_str(w, j->id);
	wire_w_u64(w, j->seq);
	wire_w_u8(w, (uint8_t)j->state);
	wire_w_u8(w, (uint8_t)j->reason);
	wire_w_u8(w, (uint8_t)j->priority);
	wire_w_u32(w, j->attempt);
	wire_w_u32(w, j->retries);
	wire_w_u8(w, j->cancel_wanted);
	wire_w_str(w, j->cancel_by);
	wire_w_i64(w, j->submitted_at);
	wire_w_i64(w, j->queued_at);
	wire_w_i64(w, j->not_before);
	wire_w_i64(w, j->started_at);
	wire_w_i64(w, j->finished_at);
	wire_w_str(w, j->repo);
	wire_w_str(w, j->branch);
	wire_w_str(w, j->commit);
	wire_w_str(w, j->needs);
	wire_w_u32(w, j->warnings);
	wire_w_str(w, j->error);
	wire_w_str(w, j->spec_hash);
}

bool
job_decode(struct job *j, const void *data, size_t len)
{
	struct wire_r r;
	unsigned version;

	*j = (struct job){ 0 };
	wire_r_init(&r, data, len);
	version = wire_r_u16(&r);
	if (version != JOB_VERSION && version != JOB_VERSION_FLAG)
		return false;
	READ_STR(&r, j->id);
	j->seq = wire_r_u64(&r);
	j->state = (enum job_state)read_enum(&r, JOB_STATES);
	j->reason = (enum job_reason)read_enum(&r, REASONS);
	j->priority = (int)read_enum(&r, JOB_PRIORITY_MAX + 1);
	j->attempt = wire_r_u32(&r);
	j->retries = wire_r_u32(&r);
	j->cancel_wanted = read_bool(&r);
	READ_STR(&r, j->cancel_by);
	j->submitted_at = wire_r_i64(&r);
	j->queued_at = wire_r_i64(&r);
	j->not_before = wire_r_i64(&r);
	j->started_at = wire_r_i64(&r);
	j->finished_at = wire_r_i64(&r);
	READ_STR(&r, j->repo);
	READ_STR(&r, j->branch);
	READ_STR(&r, j->commit);
	READ_STR(&r, j->needs);
	j->warnings = wire_r_u32(&r);
	READ_STR(&r, j->error);
	READ_STR(&r, j->spec_hash);
	if (version == JOB_VERSION_FLAG)
		read_bool(&r);
	return wire_r_done(&r) && id_is_valid(j->id);
}

static void
step_encode(const struct step_record *s, struct wire_w *w)
{
	wire_w_u8(w, (uint8_t)s->state);
	wire_w_u32(w, (uint32_t)s->exit_code);
	wire_w_u8(w, s->timed_out);
	wire_w_u8(w, s->has_exit);
	wire_w_i64(w, s->started_at);
	wire_w_i64(w, s->finished_at);
	wire_w_u64(w, s->cpu_us);
	wire_w_u64(w, s->max_rss);
}

static void
step_decode(struct step_record *s, struct wire_r *r)
{
	s->state = (enum step_state)read_enum(r, STEP_STATES);
	s->exit_code = (int32_t)wire_r_u32(r);
	s->timed_out = read_bool(r);
	s->has_exit = read_bool(r);
	s->started_at = wire_r_i64(r);
	s->finished_at = wire_r_i64(r);
	s->cpu_us = wire_r_u64(r);
	s->max_rss = wire_r_u64(r);
}

void
attempt_encode(const struct attempt *a, struct wire_w *w)
{
	wire_w_u16(w, ATTEMPT_VERSION);
	wire_w_str(w, a->job);
	wire_w_u32(w, a->number);
	wire_w_u8(w, (uint8_t)a->state);
	wire_w_u8(w, (uint8_t)a->reason);
	wire_w_u8(w, (uint8_t)a->phase);
	wire_w_u8(w, a->intent_timeout);
	wire_w_u8(w, a->sealed);
	wire_w_str(w, a->runner);
	wire_w_str(w, a->endpoint);
	wire_w_str(w, a->boot_id);
	wire_w_str(w, a->sha);
	wire_w_i64(w, a->queued_at);
	wire_w_i64(w, a->started_at);
	wire_w_i64(w, a->finished_at);
	wire_w_str(w, a->error);
	wire_w_u64(w, a->cpu_us);
	wire_w_u64(w, a->max_rss);
	wire_w_u32(w, a->nsteps);
	for (unsigned i = 0; i < a->nsteps; i++)
		step_encode(&a->steps[i], w);
}

bool
attempt_decode(struct attempt *a, const void *data, size_t len)
{
	struct wire_r r;

	memset(a, 0, sizeof(*a));
	wire_r_init(&r, data, len);
	if (wire_r_u16(&r) != ATTEMPT_VERSION)
		return false;
	READ_STR(&r, a->job);
	a->number = wire_r_u32(&r);
	a->state = (enum job_state)read_enum(&r, JOB_STATES);
	a->reason = (enum job_reason)read_enum(&r, REASONS);
	a->phase = (enum job_phase)read_enum(&r, PHASES);
	a->intent_timeout = read_bool(&r);
	a->sealed = read_bool(&r);
	READ_STR(&r, a->runner);
	READ_STR(&r, a->endpoint);
	READ_STR(&r, a->boot_id);
	READ_STR(&r, a->sha);
	a->queued_at = wire_r_i64(&r);
	a->started_at = wire_r_i64(&r);
	a->finished_at = wire_r_i64(&r);
	READ_STR(&r, a->error);
	a->cpu_us = wire_r_u64(&r);
	a->max_rss = wire_r_u64(&r);
	a->nsteps = wire_r_count(&r, JOB_STEPS_MAX, STEP_BYTES);
	for (unsigned i = 0; i < a->nsteps; i++)
		step_decode(&a->steps[i], &r);
	return wire_r_done(&r) && id_is_valid(a->job);
}
