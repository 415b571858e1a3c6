#include "engine_priv.h"

#include <openssl/evp.h>

#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	engine_submit → unit → entry_on_queued → engine_enqueue → answer
 *	  known id: the pending insertion's answer, or the stored job's
 *	engine_retry  → unit → entry_on_queued, as above
 */

struct refusal {
	struct err err;
	engine_submit_fn *fn;
	void *arg;
};

static void
on_refused(void *arg)
{
	struct refusal *r = arg;

	r->fn(r->arg, &r->err, NULL);
	free(r);
}

static void
submit_refuse(struct engine *en, const struct err *e, engine_submit_fn *fn, void *arg)
{
	struct refusal *r = xmalloc(sizeof(*r));

	r->err = *e;
	r->fn = fn;
	r->arg = arg;
	loop_defer(en->d.loop, on_refused, r);
}

void
entry_add_waiter(struct entry *ent, engine_submit_fn *fn, void *arg, bool existed)
{
	struct submit_waiter *w = xcalloc(1, sizeof(*w));

	w->fn = fn;
	w->arg = arg;
	w->existed = existed;
	SLIST_INSERT_HEAD(&ent->waiters, w, link);
}

static void
entry_answer_waiters(struct entry *ent, const struct err *err)
{
	struct engine_submitted s = { 0 };
	struct submit_waiter *w;

	STR_COPY(s.id, ent->id);
	s.position = sched_position(&ent->en->sched, &ent->item);
	while ((w = SLIST_FIRST(&ent->waiters))) {
		SLIST_REMOVE_HEAD(&ent->waiters, link);
		s.existed = w->existed;
		w->fn(w->arg, err, err ? NULL : &s);
		free(w);
	}
}

static void
spec_hash(const struct strbuf *json, char out[65])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	EVP_Digest(json->data, json->len, md, &len, EVP_sha256(), NULL);
	for (unsigned i = 0; i < 32; i++)
		snprintf(out + 2 * i, 3, "%02x", md[i]);
}

/* The insertion is on disk, or was refused. The record is read back: what is queued is
 * what is stored. */
void
entry_on_queued(void *arg, const struct err *err)
{
	struct entry *ent = arg;
	struct engine *en = ent->en;
	struct err e = { 0 };
	struct job j;

	free(ent->pending_hash);
	ent->pending_hash = NULL;
	en->nqueueing--;
	if (err) {
		en->queued_bytes -= ent->spec_bytes;
		entry_answer_waiters(ent, err);
		entry_free(ent);
		return;
	}
	if (db_job_get(en->d.db, ent->id, &j, &e) != 1)
		log_fatal(LOG_ENGINE, "job=%s lost after its commit: %s", ent->id, e.msg);
	engine_enqueue(en, ent, &j);
	entry_answer_waiters(ent, NULL);
	engine_publish(en, j.id, j.attempt, BUS_JOB);
}

static void
submit_insert(struct engine *en, const struct jobspec *spec, const char *id,
	      const struct strbuf *json, const char *hash, struct entry *ent)
{
	struct job j = { .state = JOB_QUEUED, .attempt = 1 };

	STR_COPY(j.id, id);
	STR_COPY(j.repo, spec->repo);
	STR_COPY(j.branch, spec->branch ? spec->branch : "");
	STR_COPY(j.commit, spec->commit);
	STR_COPY(j.spec_hash, hash);
	j.seq = ++en->last_seq;
	j.priority = spec->priority < 0 ? (int)en->d.conf->queue_default_priority
					: spec->priority;
	j.submitted_at = j.queued_at = clock_wall_ms();
	jobspec_needs(spec, NETWORK_DEFAULT, j.needs, sizeof(j.needs));
	ent->pending_hash = xstrdup(hash);
	ent->spec_bytes = (uint32_t)json->len;
	en->queued_bytes += ent->spec_bytes;
	db_begin(en->d.db, DB_ADMISSION);
	db_job_insert(en->d.db, &j, json->data, json->len);
	db_end(en->d.db, entry_on_queued, ent);
}

/* Is the id taken? The same body gets the same answer, another one is a conflict. */
enum { SUBMIT_NEW, SUBMIT_WAITS, SUBMIT_STORED };

static int
submit_known(struct engine *en, const char *id, const char *hash, engine_submit_fn *fn,
	     void *arg, struct err *e)
{
	struct entry *ent = entry_find(en, id);
	struct job j;
	int found;

	if (ent && ent->pending_hash) {
		if (strcmp(ent->pending_hash, hash) != 0)
			return err_field(e, ERR_CONFLICT, "id",
					 "job %s exists with another content", id);
		entry_add_waiter(ent, fn, arg, true);
		return SUBMIT_WAITS;
	}
	found = db_job_get(en->d.db, id, &j, e);
	if (found <= 0)
		return found;
	if (strcmp(j.spec_hash, hash) != 0)
		return err_field(e, ERR_CONFLICT, "id",
				 "job %s exists with another content", id);
	return SUBMIT_STORED;
}

/* An answer that needs no commit still comes later, as all answers do. */
struct known {
	struct engine *en;
	engine_submit_fn *fn;
	void *arg;
	char id[JOB_ID_MAX + 1];
};

static void
on_known(void *arg)
{
	struct known *k = arg;
	struct entry *ent = entry_find(k->en, k->id);
	struct engine_submitted s = { .existed = true };

	STR_COPY(s.id, k->id);
	s.position = ent ? sched_position(&k->en->sched, &ent->item) : 0;
	k->fn(k->arg, NULL, &s);
	free(k);
}

static void
submit_answer_known(struct engine *en, const char *id, engine_submit_fn *fn, void *arg)
{
	struct known *k = xcalloc(1, sizeof(*k));

	k->en = en;
	k->fn = fn;
	k->arg = arg;
	STR_COPY(k->id, id);
	loop_defer(en->d.loop, on_known, k);
}

void
engine_submit(struct engine *en, const struct jobspec *spec, engine_submit_fn *fn,
	      void *arg)
{
	cleanup_strbuf struct strbuf json = { 0 };
	char id[JOB_ID_MAX + 1], hash[65];
	struct err e = { 0 };
	struct entry *ent;
	int known = SUBMIT_NEW;

	if (engine_check(en, spec, NULL, &e))
		goto refuse;
	jobspec_to_json(spec, &json);
	spec_hash(&json, hash);
	if (spec->id) {
		STR_COPY(id, spec->id);
		known = submit_known(en, id, hash, fn, arg, &e);
	} else {
		id_make_job(id);
	}
	if (known < 0)
		goto refuse;
	if (known == SUBMIT_STORED)
		submit_answer_known(en, id, fn, arg);
	if (known != SUBMIT_NEW)
		return;
	if (engine_admit(en, json.len, &e))
		goto refuse;
	ent = entry_new(en, id, ENTRY_QUEUEING);
	entry_add_waiter(ent, fn, arg, false);
	submit_insert(en, spec, id, &json, hash, ent);
	return;
refuse:
	submit_refuse(en, &e, fn, arg);
}

void
engine_retry(struct engine *en, const char *id, engine_submit_fn *fn, void *arg)
{
	struct entry *ent = entry_find(en, id);
	struct err e = { 0 };
	struct job j;
	int found = 0;

	if (ent)
		err_set(&e, ERR_CONFLICT, "job %s is not final yet", id);
	else if ((found = db_job_get(en->d.db, id, &j, &e)) == 0)
		err_field(&e, ERR_NOT_FOUND, "jobId", "no such job: %s", id);
	if (found != 1 || engine_admit(en, 0, &e)) {
		submit_refuse(en, &e, fn, arg);
		return;
	}
	ent = entry_new(en, id, ENTRY_QUEUEING);
	entry_add_waiter(ent, fn, arg, false);
	/* A job that was cancelled before it ran has no attempt to count. */
	if (j.started_at)
		j.attempt++;
	j.retries = 0;
	j.cancel_wanted = false;
	j.cancel_by[0] = j.error[0] = '\0';
	j.reason = REASON_NONE;
	j.not_before = j.started_at = j.finished_at = 0;
	j.warnings = 0;
	db_begin(en->d.db, DB_ADMISSION);
	engine_set_state(en, &j, JOB_QUEUED);
	db_end(en->d.db, entry_on_queued, ent);
}
