#include "db_commit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "slipway/fs.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define BALLAST_SIZE (16 << 20)
/* The ballast must not be what fills the disk. */
#define BALLAST_MIN_FREE (64u << 20)
#define DISK_WAIT_SECONDS 30

static void
ballast_make(struct db_commit *c)
{
	cleanup_close int fd = -1;
	uint64_t avail, total;
	struct stat st;

	c->has_ballast = lstat(c->ballast, &st) == 0 &&
			 st.st_blocks * INT64_C(512) >= BALLAST_SIZE;
	if (c->has_ballast || fs_space(c->dir, &avail, &total, NULL) < 0 ||
	    avail <= BALLAST_MIN_FREE)
		return;
	fd = open(c->ballast, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	c->has_ballast = posix_fallocate(fd, 0, BALLAST_SIZE) == 0;
	if (!c->has_ballast)
		unlink(c->ballast);
}

static void
ballast_drop(struct db_commit *c)
{
	if (unlink(c->ballast) == 0)
		log_warn(LOG_STORE, "disk full: gave up the ballast file");
	c->has_ballast = false;
}

void
db_commit_init(struct db_commit *c, struct db_env *env, const char *dir,
	       void (*on_full)(void *arg), void *arg)
{
	*c = (struct db_commit){ .env = env, .on_full = on_full, .arg = arg };
	c->dir = xstrdup(dir);
	c->ballast = xasprintf("%s/ballast", dir);
	ballast_make(c);
}

void
db_commit_fini(struct db_commit *c)
{
	free(STEAL(c->ballast));
	free(STEAL(c->dir));
}

bool
db_commit_is_full(const struct db_commit *c)
{
	return atomic_load(&c->full);
}

void
db_commit_hurry(struct db_commit *c, bool hurry)
{
	atomic_store(&c->hurry, hurry);
}

static void
add_batch(struct db_commit *c, struct batch *b, bool admit)
{
	struct unit *u;
	struct op *op;

	STAILQ_FOREACH(u, &b->units, next) {
		if (b->direct && !admit && (u->flags & DB_ADMISSION))
			u->refused = true;
		if (u->refused)
			continue;
		STAILQ_FOREACH(op, &u->ops, next) {
			if (op->del)
				db_env_del(c->env, &op->row);
			else
				db_env_put(c->env, &op->row, &op->val);
		}
	}
}

static enum db_outcome
try_commit(struct db_commit *c, const struct batches *list, bool admit, struct err *e)
{
	uint64_t seq = 0;
	struct batch *b;

	db_env_begin(c->env);
	STAILQ_FOREACH(b, list, to_apply) {
		add_batch(c, b, admit);
		seq = b->seq;
	}
	return db_env_commit(c->env, seq, e);
}

static void
wait_for_disk(int waited, const struct err *e)
{
	struct timespec second = { .tv_sec = 1 };

	if (waited == DISK_WAIT_SECONDS)
		log_fatal(LOG_STORE, "disk still full after %d s: %s", waited, e->msg);
	log_error(LOG_STORE, "disk full, changes wait for space: %s", e->msg);
	while (nanosleep(&second, &second) < 0 && errno == EINTR)
		;
}

int
db_commit_apply(struct db_commit *c, const struct batches *list, struct err *e)
{
	enum db_outcome outcome;
	bool admit = true;
	int waited = 0;

	while ((outcome = try_commit(c, list, admit, e)) != DB_COMMITTED) {
		if (outcome == DB_BROKEN)
			log_fatal(LOG_STORE, "%s", e->msg);
		if (!atomic_exchange(&c->full, true))
			c->on_full(c->arg);
		if (outcome == DB_DISK_FULL && c->has_ballast)
			ballast_drop(c);
		else if (admit)
			log_warn(LOG_STORE, "no space, new work is refused: %s",
				 e->msg);
		else if (outcome == DB_DISK_FULL && atomic_load(&c->hurry))
			return -1;
		else if (outcome == DB_DISK_FULL)
			wait_for_disk(waited++, e);
		else if (db_env_grow(c->env, e) < 0)
			log_fatal(LOG_STORE, "%s", e->msg);
		admit = false;
	}
	atomic_store(&c->full, false);
	if (!c->has_ballast)
		ballast_make(c);
	return 0;
}
