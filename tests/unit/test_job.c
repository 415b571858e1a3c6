#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "slipway/job.h"
#include "slipway/mem.h"

Test(job, state_names_are_the_public_ones)
{
	static const char *const names[] = { "queued",	"running", "success",
					     "failure", "timeout", "cancelled" };

	for (unsigned s = 0; s < JOB_STATES; s++) {
		cr_assert_str_eq(job_state_name((enum job_state)s), names[s]);
		cr_assert_eq(job_state_parse(names[s]), s);
	}
	cr_assert_eq(job_state_parse("done"), JOB_STATES);
	cr_assert_eq(job_state_parse(""), JOB_STATES);
	cr_assert_str_eq(job_state_name(JOB_STATES), "");
}

Test(job, every_step_state_reason_and_phase_has_a_name)
{
	for (unsigned i = 0; i < STEP_STATES; i++)
		cr_assert(*step_state_name((enum step_state)i));
	for (unsigned i = REASON_NONE + 1; i < REASONS; i++)
		cr_assert(*job_reason_name((enum job_reason)i));
	for (unsigned i = PHASE_NONE + 1; i < PHASES; i++)
		cr_assert(*job_phase_name((enum job_phase)i));
	cr_assert_str_eq(job_reason_name(REASON_NONE), "");
	cr_assert_str_eq(job_phase_name(PHASE_NONE), "");
	cr_assert_str_eq(job_reason_name(REASON_RUNNER_LOST), "runner_lost");
	cr_assert_str_eq(job_phase_name(PHASE_VERDICT), "verdict");
	cr_assert_str_eq(step_state_name(STEP_SKIPPED), "skipped");
}

Test(job, only_the_designed_moves_are_legal)
{
	/* rows: from, columns: to, in the order of the enum */
	static const char *const legal[JOB_STATES] = { ".r...c", "q.sftc", "q.....",
						       "q.....", "q.....", "q....." };

	for (unsigned from = 0; from < JOB_STATES; from++) {
		for (unsigned to = 0; to < JOB_STATES; to++)
			cr_assert_eq(job_move_is_legal((enum job_state)from,
						       (enum job_state)to),
				     legal[from][to] != '.', "%u to %u", from, to);
		cr_assert_eq(job_state_is_final((enum job_state)from), from >= 2);
		cr_assert_not(job_move_is_legal((enum job_state)from, JOB_STATES));
	}
	cr_assert_not(job_move_is_legal(JOB_STATES, JOB_QUEUED));
	cr_assert_not(job_state_is_final(JOB_STATES));
}

static void
fill_job(struct job *j)
{
	memset(j, 0, sizeof(*j));
	STR_COPY(j->id, "job-1");
	j->seq = UINT64_MAX;
	j->state = JOB_CANCELLED;
	j->reason = REASON_SECRET_MISSING;
	j->priority = JOB_PRIORITY_MAX;
	j->attempt = 3;
	j->retries = 2;
	j->cancel_wanted = true;
	STR_COPY(j->cancel_by, "me");
	j->submitted_at = 1;
	j->queued_at = 2;
	j->not_before = -3;
	j->started_at = INT64_MAX;
	j->finished_at = INT64_MIN;
	memset(j->repo, 'r', JOB_REPO_MAX);
	memset(j->branch, 'b', JOB_REF_MAX);
	memset(j->commit, 'c', JOB_REF_MAX);
	STR_COPY(j->needs, "network=none");
	j->warnings = 9;
	memset(j->error, 'e', sizeof(j->error) - 1);
	memset(j->spec_hash, 'a', 64);
}

static void
fill_attempt(struct attempt *a, unsigned nsteps)
{
	memset(a, 0, sizeof(*a));
	STR_COPY(a->job, "job-1");
	a->number = 7;
	a->state = JOB_TIMEOUT;
	a->reason = REASON_STEP_TIMEOUT;
	a->phase = PHASE_DONE;
	a->intent_timeout = a->sealed = true;
	STR_COPY(a->runner, "local");
	STR_COPY(a->endpoint, "sandbox");
	memset(a->boot_id, 'b', sizeof(a->boot_id) - 1);
	memset(a->sha, 'a', sizeof(a->sha) - 1);
	a->queued_at = 1;
	a->started_at = 2;
	a->finished_at = 3;
	STR_COPY(a->error, "x");
	a->cpu_us = 4;
	a->max_rss = 5;
	a->nsteps = nsteps;
	for (unsigned i = 0; i < nsteps; i++) {
		a->steps[i].state = STEP_FAILURE;
		a->steps[i].exit_code = -(int32_t)i;
		a->steps[i].has_exit = i % 2;
		a->steps[i].timed_out = !(i % 2);
		a->steps[i].started_at = i;
		a->steps[i].finished_at = i + 1;
		a->steps[i].cpu_us = 1000 + i;
		a->steps[i].max_rss = 2000 + i;
	}
}

static bool
steps_equal(const struct step_record *a, const struct step_record *b)
{
	return a->state == b->state && a->exit_code == b->exit_code &&
	       a->timed_out == b->timed_out && a->has_exit == b->has_exit &&
	       a->started_at == b->started_at && a->finished_at == b->finished_at &&
	       a->cpu_us == b->cpu_us && a->max_rss == b->max_rss;
}

Test(job, records_that_end_with_a_flag_are_still_read)
{
	struct wire_w w = { 0 };
	struct job j, k;

	fill_job(&j);
	job_encode(&j, &w);
	w.data[0] = 1;
	cr_assert_not(job_decode(&k, w.data, w.len), "the flag is missing");
	wire_w_u8(&w, 1);
	cr_assert(job_decode(&k, w.data, w.len));
	cr_assert_str_eq(k.spec_hash, j.spec_hash);
	w.data[0] = 2;
	cr_assert_not(job_decode(&k, w.data, w.len), "there is none any more");
	w.data[0] = 3;
	cr_assert_not(job_decode(&k, w.data, w.len));
	wire_w_free(&w);
}

Test(job, survives_encoding)
{
	struct wire_w w = { 0 }, again = { 0 };
	struct job j, k;

	fill_job(&j);
	job_encode(&j, &w);
	cr_assert(job_decode(&k, w.data, w.len));
	cr_assert_str_eq(k.id, "job-1");
	cr_assert_eq(k.seq, UINT64_MAX);
	cr_assert_eq(k.state, JOB_CANCELLED);
	cr_assert_eq(k.reason, REASON_SECRET_MISSING);
	cr_assert_eq(k.priority, JOB_PRIORITY_MAX);
	cr_assert_eq(k.attempt, 3);
	cr_assert_eq(k.retries, 2);
	cr_assert(k.cancel_wanted);
	cr_assert_str_eq(k.cancel_by, "me");
	cr_assert_eq(k.submitted_at, 1);
	cr_assert_eq(k.queued_at, 2);
	cr_assert_eq(k.not_before, -3);
	cr_assert_eq(k.started_at, INT64_MAX);
	cr_assert_eq(k.finished_at, INT64_MIN);
	cr_assert_str_eq(k.repo, j.repo);
	cr_assert_str_eq(k.branch, j.branch);
	cr_assert_str_eq(k.commit, j.commit);
	cr_assert_str_eq(k.needs, j.needs);
	cr_assert_eq(k.warnings, 9);
	cr_assert_str_eq(k.error, j.error);
	cr_assert_str_eq(k.spec_hash, j.spec_hash);
	job_encode(&k, &again);
	cr_assert_eq(again.len, w.len);
	cr_assert_eq(memcmp(again.data, w.data, w.len), 0);
	wire_w_free(&w);
	wire_w_free(&again);
}

Test(job, an_attempt_survives_encoding_with_its_steps_only)
{
	struct wire_w two = { 0 }, all = { 0 };
	struct attempt *a = xmalloc(sizeof(*a)), *b = xmalloc(sizeof(*b));

	fill_attempt(a, JOB_STEPS_MAX);
	attempt_encode(a, &all);
	memset(b, 0x5a, sizeof(*b));
	cr_assert(attempt_decode(b, all.data, all.len));
	cr_assert_eq(b->nsteps, JOB_STEPS_MAX);
	for (unsigned i = 0; i < JOB_STEPS_MAX; i++)
		cr_assert(steps_equal(&a->steps[i], &b->steps[i]));
	cr_assert_str_eq(b->boot_id, a->boot_id);
	cr_assert_str_eq(b->sha, a->sha);
	cr_assert_eq(b->phase, PHASE_DONE);
	a->nsteps = 2;
	attempt_encode(a, &two);
	cr_assert_lt(two.len, all.len / 10);
	cr_assert(attempt_decode(b, two.data, two.len));
	cr_assert_eq(b->nsteps, 2);
	cr_assert_eq(b->steps[2].state, STEP_PENDING);
	cr_assert_eq(b->steps[2].cpu_us, 0);
	wire_w_free(&two);
	wire_w_free(&all);
	free(a);
	free(b);
}

Test(job, every_shortening_and_a_longer_one_is_corrupt)
{
	struct attempt *a = xmalloc(sizeof(*a));
	struct wire_w w = { 0 }, v = { 0 };
	struct job j;

	fill_job(&j);
	fill_attempt(a, 3);
	job_encode(&j, &w);
	attempt_encode(a, &v);
	for (size_t n = 0; n < w.len; n++)
		cr_assert_not(job_decode(&j, w.data, n), "%zu", n);
	for (size_t n = 0; n < v.len; n++)
		cr_assert_not(attempt_decode(a, v.data, n), "%zu", n);
	wire_w_u8(&w, 0);
	wire_w_u8(&v, 0);
	cr_assert_not(job_decode(&j, w.data, w.len));
	cr_assert_not(attempt_decode(a, v.data, v.len));
	wire_w_free(&w);
	wire_w_free(&v);
	free(a);
}

/* Encodes with one change made, and tells whether that decodes. */
#define DECODES(change)                                                                \
	({                                                                             \
		struct wire_w w_ = { 0 };                                              \
		struct job j, out_;                                                    \
		bool ok_;                                                              \
		fill_job(&j);                                                          \
		change;                                                                \
		job_encode(&j, &w_);                                                   \
		ok_ = job_decode(&out_, w_.data, w_.len);                              \
		wire_w_free(&w_);                                                      \
		ok_;                                                                   \
	})

Test(job, values_out_of_range_are_corrupt)
{
	cr_assert(DECODES((void)j));
	cr_assert_not(DECODES(j.state = JOB_STATES));
	cr_assert_not(DECODES(j.reason = REASONS));
	cr_assert_not(DECODES(j.priority = JOB_PRIORITY_MAX + 1));
	cr_assert_not(DECODES(STR_COPY(j.id, "../x")));
	cr_assert_not(DECODES(STR_COPY(j.id, "")));
}

Test(job, another_version_is_corrupt)
{
	struct attempt *a = xmalloc(sizeof(*a));
	struct wire_w w = { 0 }, v = { 0 };
	struct job j;

	fill_job(&j);
	fill_attempt(a, 1);
	job_encode(&j, &w);
	attempt_encode(a, &v);
	w.data[0]++;
	v.data[0]++;
	cr_assert_not(job_decode(&j, w.data, w.len));
	cr_assert_not(attempt_decode(a, v.data, v.len));
	wire_w_free(&w);
	wire_w_free(&v);
	free(a);
}
