#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "slipway/loop.h"
#include "slipway/pool.h"

static struct loop *loop;
static struct pool *pool;
static atomic_int worked;
static int done, expected;
static sem_t gate, entered;

static void
set_up(void)
{
	loop = loop_new(NULL);
	pool = pool_new(loop, NULL);
	cr_assert(loop && pool);
	worked = 0;
	done = 0;
	sem_init(&gate, 0, 0);
	sem_init(&entered, 0, 0);
}

static void
tear_down(void)
{
	pool_free(pool);
	loop_free(loop);
}

TestSuite(pool, .init = set_up, .fini = tear_down, .timeout = 20);

static void
work(void *arg)
{
	cr_assert_not(loop_is_current(loop));
	worked++;
}

static void
wait_at_gate(void *arg)
{
	sem_post(&entered);
	sem_wait(&gate);
	worked++;
}

static void
count_done(void *arg)
{
	cr_assert(loop_is_current(loop));
	if (++done == expected)
		loop_stop(loop);
}

static void
open_gate(int n)
{
	while (n--)
		sem_post(&gate);
}

Test(pool, every_task_works_once_and_is_done_once)
{
	expected = 3000;
	for (int i = 0; i < expected; i++) {
		enum pool_lane lane = (enum pool_lane)(i % POOL_LANES);

		cr_assert_eq(pool_submit(pool, lane, work, count_done, NULL, NULL), 0);
	}
	loop_run(loop);
	cr_assert_eq(worked, 3000);
	cr_assert_eq(done, 3000);
	cr_assert_eq(pool_load(pool, POOL_IO), 0);
}

Test(pool, a_blocked_lane_does_not_starve_another)
{
	for (int i = 0; i < 100; i++)
		pool_submit(pool, POOL_FETCH, wait_at_gate, count_done, NULL, NULL);
	expected = 1;
	cr_assert_eq(pool_submit(pool, POOL_IO, work, count_done, NULL, NULL), 0);
	loop_run(loop);
	cr_assert_eq(done, 1);
	cr_assert_eq(pool_load(pool, POOL_FETCH), 100);
	open_gate(100);
	expected = 101;
	loop_run(loop);
	cr_assert_eq(pool_load(pool, POOL_FETCH), 0);
}

Test(pool, a_lane_runs_as_many_tasks_at_once_as_it_has_threads)
{
	expected = 8;
	for (int i = 0; i < expected; i++)
		pool_submit(pool, POOL_FETCH, wait_at_gate, count_done, NULL, NULL);
	for (int i = 0; i < expected; i++)
		sem_wait(&entered);
	open_gate(expected);
	loop_run(loop);
	cr_assert_eq(worked, 8);
}

Test(pool, the_queue_takes_4096_and_refuses_one_more)
{
	struct err e = { 0 };

	/* Two occupy the lane's threads, the others wait. */
	for (int i = 0; i < 2; i++)
		pool_submit(pool, POOL_IO, wait_at_gate, count_done, NULL, NULL);
	sem_wait(&entered);
	sem_wait(&entered);
	for (int i = 0; i < 4096; i++)
		cr_assert_eq(pool_submit(pool, POOL_IO, work, count_done, NULL, &e), 0);
	cr_assert_eq(pool_submit(pool, POOL_IO, work, count_done, NULL, &e), -1);
	cr_assert_eq(e.code, ERR_BUSY);
	cr_assert_eq(pool_load(pool, POOL_IO), 4098);
	expected = 4098;
	open_gate(2);
	loop_run(loop);
	cr_assert_eq(done, 4098);
}

static void
wait_for_stop(void *arg)
{
	sem_post(&entered);
	while (!pool_is_stopping(pool))
		sched_yield();
	worked++;
}

Test(pool, stopping_finishes_running_and_queued_tasks)
{
	struct err e = { 0 };

	expected = -1;
	cr_assert_not(pool_is_stopping(pool));
	pool_submit(pool, POOL_IO, wait_for_stop, count_done, NULL, NULL);
	sem_wait(&entered);
	for (int i = 0; i < 10; i++)
		pool_submit(pool, POOL_IO, work, count_done, NULL, NULL);
	pool_stop(pool);
	cr_assert_eq(worked, 11);
	cr_assert_eq(done, 11);
	cr_assert_eq(pool_submit(pool, POOL_IO, work, count_done, NULL, &e), -1);
	cr_assert_eq(e.code, ERR_CLOSED);
}

Test(pool, freeing_stops_first)
{
	expected = -1;
	for (int i = 0; i < 10; i++)
		pool_submit(pool, POOL_TRANSFER, work, count_done, NULL, NULL);
	pool_free(pool);
	pool = NULL;
	cr_assert_eq(worked, 10);
	cr_assert_eq(done, 10);
}
