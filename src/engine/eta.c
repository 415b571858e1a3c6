#include "eta.h"

#include "slipway/db_job.h"
#include "slipway/log.h"

#define SEED_VISITED 200

void
eta_note(struct eta *eta, const struct job *j)
{
	int64_t took = j->finished_at - j->started_at;

	if (j->state == JOB_CANCELLED || !job_state_is_final(j->state) ||
	    !j->started_at || took < 0)
		return;
	if (eta->n == ETA_JOBS)
		eta->sum -= eta->took[eta->next];
	else
		eta->n++;
	eta->took[eta->next] = took;
	eta->sum += took;
	eta->next = (eta->next + 1) % ETA_JOBS;
}

static bool
on_row(void *arg, const struct job *j)
{
	eta_note(arg, j);
	return true;
}

void
eta_seed(struct eta *eta, struct db *db)
{
	const struct job_query q = { .state = JOB_STATES,
				     .max_rows = ETA_JOBS,
				     .max_visited = SEED_VISITED };
	struct err e = { 0 };
	uint64_t next;

	if (db_job_list(db, &q, on_row, eta, &next, &e))
		log_warn(LOG_ENGINE, "nothing known of how long jobs take: %s", e.msg);
}

int64_t
eta_of(const struct eta *eta, long position, unsigned slots)
{
	/* Slots end at times of their own: one falls free every mean/slots. */
	if (eta->n == 0 || position <= 0 || slots == 0)
		return -1;
	return eta->sum / eta->n * position / slots;
}
