#include "engine_priv.h"
#include "pause.h"

#include "slipway/clock.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

/* Who is let in: limits of the queue, room in the store and on the disk, and what the
 * configuration says about single jobs. */

#define STORE_FULL_PERCENT 80
#define SPACE_CHECK_MS 1000

bool
engine_measure_space(struct engine *en)
{
	uint64_t avail = 0, total = 0;

	en->space_checked = clock_mono_ms();
	en->space_ok = fs_space(en->d.conf->state_dir, &avail, &total, NULL) != 0 ||
		       avail >= (uint64_t)en->d.conf->limits_disk_reserve;
	return en->space_ok;
}

bool
engine_has_space(struct engine *en)
{
	if (en->space_checked && clock_mono_ms() - en->space_checked < SPACE_CHECK_MS)
		return en->space_ok;
	return engine_measure_space(en);
}

int
engine_admit(struct engine *en, size_t bytes, struct err *e)
{
	const struct conf *c = en->d.conf;
	char held[ENGINE_HOLD_TEXT_MAX];

	if (en->stopping)
		return err_set(e, ERR_DRAINING, "the daemon is stopping");
	if (en->hold.mode == ENGINE_DRAINING) {
		pause_describe(&en->hold, held, sizeof(held));
		return err_set(e, ERR_DRAINING, "the server takes no new jobs: %s",
			       held);
	}
	/* Those whose insertion is under way count already. */
	if (en->sched.count + en->nqueueing >= (uint64_t)c->queue_max_depth)
		return err_set(e, ERR_QUEUE_FULL, "the queue is full: %u jobs (queue.max_depth)",
			       en->sched.count + en->nqueueing);
	if (en->queued_bytes + bytes > (uint64_t)c->queue_max_bytes)
		return err_set(e, ERR_QUEUE_FULL,
			       "the queue is full: %llu bytes of jobs (queue.max_bytes)",
			       (unsigned long long)en->queued_bytes);
	if (db_fill_percent(en->d.db) >= STORE_FULL_PERCENT)
		return err_set(e, ERR_NO_SPACE, "the store is full (limits.db_size)");
	if (!engine_has_space(en))
		return err_set(e, ERR_NO_SPACE,
			       "the disk is nearly full (limits.disk_reserve)");
	return 0;
}

static bool
is_full_sha(const char *s)
{
	size_t len = strlen(s);

	return (len == 40 || len == 64) && strspn(s, "0123456789abcdef") == len;
}

static void
check_warn(const struct jobspec *spec, struct strbuf *w)
{
	if (!is_full_sha(spec->commit))
		strbuf_addf(w,
			    "commit \"%s\" is a name: it is resolved when the job runs, "
			    "so a retry may build something else\n",
			    spec->commit);
}

static int
check_no_secrets(const struct jobspec *spec, struct err *e)
{
	static const char why[] = "no secrets here: secrets.dir is not configured";
	char field[40];

	if (spec->nsecrets > 0)
		return err_field(e, ERR_INVALID, "secrets", "%s", why);
	for (size_t i = 0; i < spec->nsteps; i++) {
		snprintf(field, sizeof(field), "steps[%zu].secrets", i);
		if (spec->steps[i].nsecrets > 0)
			return err_field(e, ERR_INVALID, field, "%s", why);
	}
	return 0;
}

int
engine_check(struct engine *en, const struct jobspec *spec, struct strbuf *warnings,
	     struct err *e)
{
	const struct conf *c = en->d.conf;
	int64_t max_s = c->limits_job_timeout_ms / 1000;

	if (checkout_check_url(c, spec->repo, e)) {
		if (e)
			STR_COPY(e->field, "repo");
		return -1;
	}
	if (max_s > 0 && spec->timeout_s > max_s)
		return err_field(e, ERR_INVALID, "timeout",
				 "at most %lld s here (limits.job_timeout)",
				 (long long)max_s);
	if ((!c->secrets_dir || !*c->secrets_dir) && check_no_secrets(spec, e))
		return -1;
	if (warnings)
		check_warn(spec, warnings);
	return 0;
}
