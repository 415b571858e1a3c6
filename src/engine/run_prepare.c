#include "maintain.h"
#include "run.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "slipway/db_job.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/*
 *	run_enter_fetch → on_prepare_work (pool: directories, spool, secrets, plan)
 *	  → on_prepare_done → checkout → on_checkout_done → run_advance
 */

struct prepare {
	struct run *run; /* held; only touched by done */
	char *state_dir, *job, *dir, *workspace, *spec_json;
	size_t spec_len;
	unsigned attempt;
	bool has_user;
	uid_t uid;
	gid_t gid;
	struct plan_conf pc;
	struct jobspec *spec;
	struct plan plan;
	enum job_reason reason;
	struct err err;
};

static void
prepare_free(struct prepare *p)
{
	free(p->state_dir);
	free(p->job);
	free(p->dir);
	free(p->workspace);
	free(p->spec_json);
	plan_conf_clear(&p->pc);
	plan_clear(&p->plan);
	jobspec_free(p->spec);
	free(p);
}

static int
make_owned_dir(const struct prepare *p, const char *path, struct err *e)
{
	if (mkdir(path, 0700) != 0)
		return err_sys(e, "%s", path);
	if (p->has_user && lchown(path, p->uid, p->gid) != 0)
		return err_sys(e, "%s: chown", path);
	return 0;
}

/* Under a root daemon the jobs' user has to pass through to its workspace; what is
 * beside it has modes of its own. */
static int
prepare_dirs(struct prepare *p, struct err *e)
{
	cleanup_free char *home = xasprintf("%s/home", p->workspace);

	/* An attempt that was queued again uncounted left its directory. */
	if (access(p->dir, F_OK) == 0 && maintain_discard(p->state_dir, p->dir, e))
		return -1;
	if (fs_mkdir_p(p->dir, p->has_user ? 0711 : 0700, e) ||
	    make_owned_dir(p, p->workspace, e) || make_owned_dir(p, home, e))
		return -1;
	return spool_create(p->dir, e);
}

static void
on_prepare_work(void *arg)
{
	struct prepare *p = arg;

	if (prepare_dirs(p, &p->err)) {
		p->reason = p->err.code == ERR_NO_SPACE ? REASON_DISK_FULL
							: REASON_INTERNAL;
		return;
	}
	p->spec = jobspec_parse(p->spec_json, p->spec_len, &p->err);
	if (!p->spec) {
		p->reason = REASON_INTERNAL;
		return;
	}
	if (plan_build(&p->pc, p->spec, p->job, p->attempt, &p->plan, &p->err))
		p->reason = REASON_SECRET_MISSING;
}

static void
on_checkout_note(void *arg, const char *text, bool is_error)
{
	struct run *run = arg;

	run_note(run, is_error ? FRAME_ERROR : 0, "%s", text);
}

static bool
is_transient(const struct err *e)
{
	return e->code == ERR_CONNECT || e->code == ERR_TIMEOUT ||
	       e->code == ERR_INTERNAL || e->code == ERR_SYSTEM || e->code == ERR_BUSY;
}

static void
on_checkout_done(void *arg, const struct err *err, const char *sha)
{
	struct run *run = arg;

	run->checkout = NULL;
	if (run_drop(run))
		return;
	if (!err) {
		STR_COPY(run->att.sha, sha);
		plan_set_env(&run->plan, "SLIPWAY_COMMIT", sha);
	} else if (!run->job.cancel_wanted) {
		run_fail(run, err->code == ERR_NO_SPACE ? REASON_DISK_FULL
							: REASON_CLONE_FAILED,
			 is_transient(err) || err->code == ERR_NO_SPACE, err);
	}
	run_advance(run, NULL);
}

static void
run_checkout(struct run *run)
{
	const struct engine_runner *er = &run->en->runners[run->runner];
	cleanup_free char *dest = xasprintf("%s/repo", run->workspace);
	struct checkout_req req = { .repo = run->spec->repo,
				    .commit = run->spec->commit,
				    .branch = run->spec->branch,
				    .depth = run->spec->depth == 0 ? 0 : 1,
				    .submodules = run->spec->submodules,
				    .dest = dest,
				    .on_note = on_checkout_note,
				    .on_done = on_checkout_done,
				    .arg = run };

	req.has_user = er->ops->job_user(er->runner, &req.uid, &req.gid);
	run_note(run, 0, "attempt %u on runner %s", run->att.number, er->name);
	run_hold(run);
	run->checkout = checkout_start(run->en->d.checkouts, &req);
}

static int
prepare_take(struct run *run, struct prepare *p, struct err *e)
{
	struct mask_secret *secrets;

	run->spec = STEAL(p->spec);
	run->plan = p->plan;
	memset(&p->plan, 0, sizeof(p->plan));
	run->att.nsteps = (unsigned)run->spec->nsteps;
	if (run_open_spool(run, e))
		return -1;
	if (run->plan.nmasks == 0)
		return 0;
	secrets = xcalloc(run->plan.nmasks, sizeof(*secrets));
	for (size_t i = 0; i < run->plan.nmasks; i++)
		secrets[i] = (struct mask_secret){ run->plan.masks[i].data,
						   run->plan.masks[i].len };
	run->mask = mask_new(secrets, run->plan.nmasks);
	free(secrets);
	spool_set_mask(run->spool, run->mask);
	return 0;
}

static void
on_prepare_done(void *arg)
{
	struct prepare *p = arg;
	struct run *run = p->run;
	struct err e = { 0 };

	if (run_drop(run)) {
		prepare_free(p);
		return;
	}
	/* The spool is there even where secrets are missing: the log tells why. */
	if (p->spec && prepare_take(run, p, &e))
		run_fail(run, REASON_INTERNAL, true, &e);
	if (p->reason && !run->failed)
		run_fail(run, p->reason, p->reason != REASON_SECRET_MISSING, &p->err);
	prepare_free(p);
	if (run->failed || run->job.cancel_wanted)
		run_advance(run, NULL);
	else
		run_checkout(run);
}

void
run_enter_fetch(struct run *run)
{
	const struct engine_runner *er = &run->en->runners[run->runner];
	struct prepare *p = xcalloc(1, sizeof(*p));
	cleanup_strbuf struct strbuf json = { 0 };
	struct err e = { 0 };
	int found;

	p->run = run;
	found = db_spec_get(run->en->d.db, run->job.id, &json, &e);
	if (found == 0)
		err_set(&e, ERR_CORRUPT, "its spec is missing from the store");
	p->state_dir = xstrdup(run->en->d.conf->state_dir);
	p->job = xstrdup(run->job.id);
	p->dir = xstrdup(run->dir);
	p->workspace = xstrdup(run->workspace);
	p->attempt = run->att.number;
	p->spec_len = json.len;
	p->spec_json = xstrdup(strbuf_str(&json));
	p->has_user = er->ops->job_user(er->runner, &p->uid, &p->gid);
	plan_conf_init(&p->pc, run->en->d.conf);
	run_hold(run);
	if (found == 1 && pool_submit(run->en->d.pool, POOL_IO, on_prepare_work,
				      on_prepare_done, p, &e) == 0)
		return;
	p->reason = REASON_INTERNAL;
	p->err = e;
	loop_defer(run->en->d.loop, on_prepare_done, p);
}
