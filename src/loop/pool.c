/*
 * submit (loop) -> lane's queue -> work (lane's thread) -> done list -> done (loop)
 *
 * Threads are started when a task finds no idle one, so an idle daemon has none. The
 * done list of all lanes is shared; its eventfd is written only when the list was
 * empty, so many small tasks cost one wake-up of the loop.
 */
#include "slipway/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "slipway/log.h"
#include "slipway/mem.h"

#define QUEUE_MAX 4096
#define THREADS_MAX 64
#define STACK_SIZE (512 * 1024)

struct task {
	STAILQ_ENTRY(task) next;
	enum pool_lane lane;
	void (*work)(void *);
	void (*done)(void *);
	void *arg;
};
STAILQ_HEAD(tasks, task);

struct lane {
	struct pool *pool;
	const char *name;
	unsigned max_threads;
	unsigned load;	  /* loop thread only */
	unsigned started; /* loop thread only */
	pthread_t threads[THREADS_MAX];
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under lock: */
	struct tasks queue;
	unsigned waiting;
	unsigned idle;
};

struct pool {
	struct lane lanes[POOL_LANES];
	atomic_bool stopping;
	int done_fd;
	struct loop_fd *done_watch;
	pthread_mutex_t done_lock;
	struct tasks finished; /* under done_lock */
};

static void
task_finish(struct pool *p, struct task *t)
{
	bool first;

	pthread_mutex_lock(&p->done_lock);
	first = STAILQ_EMPTY(&p->finished);
	STAILQ_INSERT_TAIL(&p->finished, t, next);
	pthread_mutex_unlock(&p->done_lock);
	if (first && eventfd_write(p->done_fd, 1) < 0)
		log_fatal(LOG_LOOP, "pool eventfd: %s", strerror(errno));
}

/* NULL when the pool stops and nothing waits any more. */
static struct task *
lane_take(struct lane *lane)
{
	struct task *t;

	pthread_mutex_lock(&lane->lock);
	lane->idle++;
	while (!(t = STAILQ_FIRST(&lane->queue)) && !lane->pool->stopping)
		pthread_cond_wait(&lane->wake, &lane->lock);
	lane->idle--;
	if (t) {
		STAILQ_REMOVE_HEAD(&lane->queue, next);
		lane->waiting--;
	}
	pthread_mutex_unlock(&lane->lock);
	return t;
}

static void *
lane_thread(void *arg)
{
	struct lane *lane = arg;
	struct task *t;

	pthread_setname_np(pthread_self(), lane->name);
	while ((t = lane_take(lane))) {
		t->work(t->arg);
		task_finish(lane->pool, t);
	}
	return NULL;
}

static int
lane_start_thread(struct lane *lane, struct err *e)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* Signals belong to the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&lane->threads[lane->started], &attr, lane_thread, lane);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (rc) {
		errno = rc;
		return err_sys(e, "cannot start a thread of lane %s", lane->name);
	}
	lane->started++;
	return 0;
}

static void
tasks_finish(struct pool *p)
{
	struct tasks finished = STAILQ_HEAD_INITIALIZER(finished);
	struct task *t;

	pthread_mutex_lock(&p->done_lock);
	STAILQ_CONCAT(&finished, &p->finished);
	pthread_mutex_unlock(&p->done_lock);
	while ((t = STAILQ_FIRST(&finished))) {
		STAILQ_REMOVE_HEAD(&finished, next);
		p->lanes[t->lane].load--;
		t->done(t->arg);
		free(t);
	}
}

static void
on_tasks_finished(int fd, unsigned what, void *arg)
{
	struct pool *p = arg;
	eventfd_t count;

	if (eventfd_read(fd, &count) < 0 && errno != EAGAIN)
		log_fatal(LOG_LOOP, "pool eventfd: %s", strerror(errno));
	tasks_finish(p);
}

static void
lane_init(struct pool *p, enum pool_lane which, const char *name, unsigned threads)
{
	struct lane *lane = &p->lanes[which];

	lane->pool = p;
	lane->name = name;
	lane->max_threads = threads;
	STAILQ_INIT(&lane->queue);
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->wake, NULL);
}

struct pool *
pool_new(struct loop *l, struct err *e)
{
	struct pool *p = xcalloc(1, sizeof(*p));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	p->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->done_fd < 0) {
		err_sys(e, "eventfd");
		free(p);
		return NULL;
	}
	if (cores < 1)
		cores = 1;
	if (cores > THREADS_MAX)
		cores = THREADS_MAX;
	lane_init(p, POOL_IO, "pool-io", 2);
	lane_init(p, POOL_TRANSFER, "pool-transfer", (unsigned)cores);
	lane_init(p, POOL_FETCH, "pool-fetch", 8);
	STAILQ_INIT(&p->finished);
	pthread_mutex_init(&p->done_lock, NULL);
	p->done_watch = loop_fd_new(l, p->done_fd, LOOP_READ, on_tasks_finished, p);
	return p;
}

static void
lane_stop(struct lane *lane)
{
	/* With the lock, or a thread between its check and its wait sleeps on. */
	pthread_mutex_lock(&lane->lock);
	pthread_cond_broadcast(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
	for (unsigned i = 0; i < lane->started; i++)
		pthread_join(lane->threads[i], NULL);
	pthread_cond_destroy(&lane->wake);
	pthread_mutex_destroy(&lane->lock);
}

void
pool_stop(struct pool *p)
{
	if (p->stopping)
		return;
	p->stopping = true;
	for (int i = 0; i < POOL_LANES; i++)
		lane_stop(&p->lanes[i]);
	tasks_finish(p);
}

void
pool_free(struct pool *p)
{
	if (!p)
		return;
	pool_stop(p);
	loop_fd_free(p->done_watch);
	close(p->done_fd);
	pthread_mutex_destroy(&p->done_lock);
	free(p);
}

int
pool_submit(struct pool *p, enum pool_lane which, void (*work)(void *),
	    void (*done)(void *), void *arg, struct err *e)
{
	struct lane *lane = &p->lanes[which];
	struct task *t;
	bool full, starved;

	if (p->stopping)
		return err_set(e, ERR_CLOSED, "the pool is stopping");
	pthread_mutex_lock(&lane->lock);
	full = lane->waiting >= QUEUE_MAX;
	starved = lane->waiting >= lane->idle;
	pthread_mutex_unlock(&lane->lock);
	if (full)
		return err_set(e, ERR_BUSY, "%d tasks wait in lane %s", QUEUE_MAX,
			       lane->name);
	/* With a thread in the lane a failure to start another only costs time. */
	if (starved && lane->started < lane->max_threads &&
	    lane_start_thread(lane, lane->started ? NULL : e) < 0 && !lane->started)
		return -1;

	t = xmalloc(sizeof(*t));
	*t = (struct task){ .lane = which, .work = work, .done = done, .arg = arg };
	lane->load++;
	pthread_mutex_lock(&lane->lock);
	STAILQ_INSERT_TAIL(&lane->queue, t, next);
	lane->waiting++;
	pthread_cond_signal(&lane->wake);
	pthread_mutex_unlock(&lane->lock);
	return 0;
}

int
pool_is_stopping(const struct pool *p)
{
	return p->stopping;
}

unsigned
pool_load(const struct pool *p, enum pool_lane lane)
{
	return p->lanes[lane].load;
}
