#include "maintain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "engine_priv.h"
#include "slipway/clock.h"
#include "slipway/db_job.h"
#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/seal.h"

/*
 *	maintain_add → next → task (pool: workspace to the trash, seal logs) → unit
 *	                    → no space: starved → on_again → next
 *	trash: deleted only after a quiet time, or when the disk fills. Files made soon
 *	after many were deleted are slow to make on ext4, and a CI server that deletes
 *	after each job would live in exactly that state.
 */

#define SEAL_FROM (16u << 10) /* smaller logs fit in a few blocks as they are */
#define TASKS_MAX 2
#define TRASH_QUIET_MS 60000
#define TRASH_LOW_PERCENT 20 /* free space or inodes under which nothing waits */
#define STARVED_MS 2000

struct pending {
	STAILQ_ENTRY(pending) link;
	char id[JOB_ID_MAX + 1];
	bool starved; /* was tried when the disk was full, and the log says so */
};
STAILQ_HEAD(pending_list, pending);

struct maintain {
	struct engine *en;
	struct pending_list list;
	struct pending_list starved;
	struct loop_timer *again; /* set while starved has some */
	unsigned tasks;
	struct loop_timer *trash;
	char *trash_dir;
	bool trash_busy;
	_Atomic bool trash_stop;
};

struct task {
	struct maintain *m;
	char *state_dir;
	char id[JOB_ID_MAX + 1];
	unsigned *numbers;
	size_t n;
	bool starved; /* before */
	bool failed;
	struct err err;
};

static void maintain_next(struct maintain *m);
static void trash_arm(struct maintain *m);

int
maintain_discard(const char *state_dir, const char *path, struct err *e)
{
	char random[17];
	cleanup_free char *to = NULL;

	id_random_hex(random, 16);
	to = xasprintf("%s/trash/%s", state_dir, random);
	if (rename(path, to) != 0 && errno != ENOENT)
		return err_sys(e, "%s: moving to the trash", path);
	return 0;
}

static int
seal_spool(const char *dir, struct err *e)
{
	cleanup_free char *spool = xasprintf("%s/spool", dir);
	cleanup_free char *sealed = xasprintf("%s/spool.zst", dir);
	cleanup_close int fd = -1;
	struct stat st;

	if (lstat(spool, &st) != 0 || st.st_size < (off_t)SEAL_FROM)
		return 0;
	/* Two tasks of one job, after two of its attempts, may both be at this one. */
	fd = fs_open_regular(spool, O_RDONLY, e);
	if (fd < 0)
		return access(spool, F_OK) != 0 && errno == ENOENT ? 0 : -1;
	if (seal_write(fd, (uint64_t)st.st_size, sealed, e))
		return -1;
	if (unlink(spool) != 0 && errno != ENOENT)
		return err_sys(e, "%s", spool);
	return 0;
}

static int
task_attempt(struct task *t, unsigned number)
{
	cleanup_free char *dir = xasprintf("%s/jobs/%s/%u", t->state_dir, t->id, number);
	cleanup_free char *workspace = xasprintf("%s/workspace", dir);
	cleanup_free char *status = xasprintf("%s/status", dir);

	if (maintain_discard(t->state_dir, workspace, &t->err))
		return -1;
	unlink(status);
	return seal_spool(dir, &t->err);
}

static void
on_task_work(void *arg)
{
	struct task *t = arg;

	for (size_t i = 0; i < t->n && !t->failed; i++)
		t->failed = task_attempt(t, t->numbers[i]) != 0;
}

/* Attempts of a job that are over and were not yet dealt with. */
static void
task_collect(struct task *t, struct db *db, const struct job *j)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	for (unsigned k = 1; k <= j->attempt; k++) {
		if (k == j->attempt && !job_state_is_final(j->state))
			continue;
		if (db_attempt_get(db, j->id, k, a, NULL) != 1 || a->sealed)
			continue;
		t->numbers = xreallocarray(t->numbers, t->n + 1, sizeof(*t->numbers));
		t->numbers[t->n++] = k;
	}
	free(a);
}

static void
task_save(struct task *t)
{
	struct attempt *a = xcalloc(1, sizeof(*a));
	struct engine *en = t->m->en;

	db_begin(en->d.db, 0);
	for (size_t i = 0; i < t->n; i++) {
		if (db_attempt_get(en->d.db, t->id, t->numbers[i], a, NULL) != 1)
			continue;
		a->sealed = true;
		a->phase = PHASE_DONE;
		db_attempt_put(en->d.db, a);
	}
	db_job_set_pending(en->d.db, t->id, false);
	db_end(en->d.db, NULL, NULL);
	for (size_t i = 0; i < t->n; i++)
		engine_publish(en, t->id, t->numbers[i], BUS_SEAL);
	free(a);
}

/* On a full disk a log cannot be sealed, which is what would make room: it is tried
 * again when the trash, or others, have. */
static void
task_starve(struct task *t)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	STR_COPY(p->id, t->id);
	p->starved = true;
	STAILQ_INSERT_TAIL(&t->m->starved, p, link);
	if (!loop_timer_is_set(t->m->again))
		loop_timer_set(t->m->again, STARVED_MS);
}

static void
on_again(void *arg)
{
	struct maintain *m = arg;

	STAILQ_CONCAT(&m->list, &m->starved);
	maintain_next(m);
}

static void
on_task_done(void *arg)
{
	struct task *t = arg;
	struct maintain *m = t->m;

	/* Any other failure leaves the mark: the next start tries again. */
	if (t->failed && !t->starved)
		log_error(LOG_ENGINE, "job=%s cleaning up: %s", t->id, t->err.msg);
	if (t->failed && t->err.code == ERR_NO_SPACE)
		task_starve(t);
	else if (!t->failed)
		task_save(t);
	free(t->numbers);
	free(t->state_dir);
	free(t);
	m->tasks--;
	maintain_next(m);
	trash_arm(m);
}

static void
maintain_start(struct maintain *m, const struct pending *p)
{
	const char *id = p->id;
	struct task *t;
	struct err e = { 0 };
	struct job j;

	if (db_job_get(m->en->d.db, id, &j, &e) != 1)
		return;
	t = xcalloc(1, sizeof(*t));
	t->m = m;
	STR_COPY(t->id, id);
	t->starved = p->starved;
	t->state_dir = xstrdup(m->en->d.conf->state_dir);
	task_collect(t, m->en->d.db, &j);
	m->tasks++;
	if (pool_submit(m->en->d.pool, POOL_TRANSFER, on_task_work, on_task_done, t, &e)) {
		t->failed = true;
		t->err = e;
		loop_defer(m->en->d.loop, on_task_done, t);
	}
}

static void
maintain_next(struct maintain *m)
{
	struct pending *p;

	while (m->tasks < TASKS_MAX && !pool_is_stopping(m->en->d.pool) &&
	       (p = STAILQ_FIRST(&m->list))) {
		STAILQ_REMOVE_HEAD(&m->list, link);
		maintain_start(m, p);
		free(p);
	}
}

void
maintain_add(struct maintain *m, const char *id)
{
	struct pending *p = xcalloc(1, sizeof(*p));

	STR_COPY(p->id, id);
	STAILQ_INSERT_TAIL(&m->list, p, link);
	maintain_next(m);
}

/* Trash. */

struct trash_task {
	struct maintain *m;
	char *dir;
	bool more;
	uint64_t removed;
	struct err err;
	bool failed;
};

static bool
disk_is_low(const char *path)
{
	struct statvfs vfs;

	if (statvfs(path, &vfs) != 0)
		return false;
	return vfs.f_bavail < vfs.f_blocks / 100 * TRASH_LOW_PERCENT ||
	       vfs.f_favail < vfs.f_files / 100 * TRASH_LOW_PERCENT;
}

static bool
trash_should_stop(void *arg)
{
	struct trash_task *t = arg;

	return pool_is_stopping(t->m->en->d.pool) ||
	       (t->m->trash_stop && !disk_is_low(t->dir));
}

static void
on_trash_work(void *arg)
{
	struct trash_task *t = arg;
	DIR *d = opendir(t->dir);
	struct dirent *de;

	while (d && !t->failed && (de = readdir(d))) {
		cleanup_free char *path = xasprintf("%s/%s", t->dir, de->d_name);

		if (de->d_name[0] == '.')
			continue;
		t->more = trash_should_stop(t);
		if (t->more)
			break;
		t->failed = fs_remove_tree(path, &t->removed, trash_should_stop, t,
					   &t->err) != 0;
	}
	if (d)
		closedir(d);
}

static void
on_trash_done(void *arg)
{
	struct trash_task *t = arg;
	struct maintain *m = t->m;

	m->trash_busy = false;
	if (t->failed && t->err.code != ERR_CLOSED)
		log_error(LOG_ENGINE, "trash: %s", t->err.msg);
	log_debug(LOG_ENGINE, "trash: %llu entries removed",
		  (unsigned long long)t->removed);
	if ((t->more || t->failed) && !pool_is_stopping(m->en->d.pool))
		trash_arm(m);
	free(t->dir);
	free(t);
}

static void
on_trash_timer(void *arg)
{
	struct maintain *m = arg;
	struct trash_task *t;

	if (m->en->nruns > 0 && !disk_is_low(m->trash_dir)) {
		trash_arm(m);
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->m = m;
	t->dir = xstrdup(m->trash_dir);
	m->trash_stop = false;
	m->trash_busy = true;
	if (pool_submit(m->en->d.pool, POOL_TRANSFER, on_trash_work, on_trash_done, t,
			NULL)) {
		t->more = true;
		loop_defer(m->en->d.loop, on_trash_done, t);
	}
}

static void
trash_arm(struct maintain *m)
{
	/* What is being deleted yields to new work. */
	if (m->trash_busy)
		m->trash_stop = true;
	else
		loop_timer_set(m->trash, disk_is_low(m->trash_dir) ? 0 : TRASH_QUIET_MS);
}

struct maintain *
maintain_new(struct engine *en, struct err *e)
{
	struct maintain *m = xcalloc(1, sizeof(*m));

	m->en = en;
	STAILQ_INIT(&m->list);
	STAILQ_INIT(&m->starved);
	m->again = loop_timer_new(en->d.loop, on_again, m);
	m->trash_dir = xasprintf("%s/trash", en->d.conf->state_dir);
	m->trash = loop_timer_new(en->d.loop, on_trash_timer, m);
	if (fs_mkdir_p(m->trash_dir, 0700, e)) {
		maintain_free(m);
		return NULL;
	}
	trash_arm(m);
	return m;
}

void
maintain_free(struct maintain *m)
{
	struct pending *p;

	if (!m)
		return;
	STAILQ_CONCAT(&m->list, &m->starved);
	while ((p = STAILQ_FIRST(&m->list))) {
		STAILQ_REMOVE_HEAD(&m->list, link);
		free(p);
	}
	loop_timer_free(m->again);
	loop_timer_free(m->trash);
	free(m->trash_dir);
	free(m);
}
