#include <criterion/criterion.h>
#include <limits.h>

#include "slipway/db_job.h"
#include "slipway/fs.h"
#include "slipway/mem.h"

static char dir[PATH_MAX];
static struct loop *loop;
static struct db *db;
static struct err err;

static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");
	struct db_opts o = {.dir = dir, .map_size = INT64_C(64) << 20, .no_sync = true};

	snprintf(dir, sizeof(dir), "%s/test-db-job-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert_not_null(mkdtemp(dir));
	loop = o.loop = loop_new(&err);
	cr_assert_not_null(loop, "%s", err.msg);
	db = db_open(&o, &err);
	cr_assert_not_null(db, "%s", err.msg);
}

static void
teardown(void)
{
	db_close(db);
	loop_free(loop);
	fs_remove_tree(dir, NULL, NULL, NULL, NULL);
}

TestSuite(db_job, .init = setup, .fini = teardown, .timeout = 60);

static void
on_done(void *arg, const struct err *e)
{
	cr_assert_null(e);
	loop_stop(loop);
}

static void
begin(void)
{
	db_begin(db, 0);
}

static void
commit(void)
{
	db_end(db, on_done, NULL);
	loop_run(loop);
}

static struct job
make_job(const char *id, uint64_t seq)
{
	struct job j = {.seq = seq, .state = JOB_QUEUED, .attempt = 1, .priority = 5,
			.submitted_at = (int64_t)seq * 1000};

	STR_COPY(j.id, id);
	STR_COPY(j.repo, "https://example.com/a.git");
	STR_COPY(j.branch, "main");
	return j;
}

static struct job
insert(const char *id, uint64_t seq)
{
	struct job j = make_job(id, seq);

	begin();
	db_job_insert(db, &j, "{}", 2);
	commit();
	return j;
}

static bool
on_row_count(void *arg, const struct db_val *key, const struct db_val *val)
{
	++*(unsigned *)arg;
	return true;
}

static unsigned
count_rows(enum db_table t)
{
	struct db_walk w = {.table = t};
	unsigned rows = 0;

	cr_assert_eq(db_walk(db, &w, on_row_count, &rows, &err), 0);
	return rows;
}

/*
 * One job.
 */

Test(db_job, keeps_job_spec_and_attempts)
{
	struct job j = insert("job-1", 7), got;
	struct attempt a = {.number = 1, .state = JOB_RUNNING, .nsteps = 2}, got_a;
	cleanup_strbuf struct strbuf spec = {0};

	STR_COPY(a.job, j.id);
	STR_COPY(a.runner, "local");
	a.steps[1].exit_code = 3;
	begin();
	db_attempt_put(db, &a);
	commit();

	cr_assert_eq(db_job_get(db, "job-1", &got, &err), 1);
	cr_expect_eq(got.seq, 7);
	cr_expect_str_eq(got.repo, j.repo);
	cr_assert_eq(db_spec_get(db, "job-1", &spec, &err), 1);
	cr_expect_str_eq(strbuf_str(&spec), "{}");
	cr_assert_eq(db_attempt_get(db, "job-1", 1, &got_a, &err), 1);
	cr_expect_str_eq(got_a.runner, "local");
	cr_expect_eq(got_a.steps[1].exit_code, 3);
	cr_expect_eq(db_attempt_get(db, "job-1", 2, &got_a, &err), 0);
}

Test(db_job, finds_nothing_under_unknown_or_impossible_ids)
{
	cleanup_strbuf struct strbuf spec = {0};
	char longer[600];
	struct attempt a;
	struct job j;

	memset(longer, 'j', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	const char *const ids[] = {"none", "", longer, longer + 599 - JOB_ID_MAX - 1};
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		cr_expect_eq(db_job_get(db, ids[i], &j, &err), 0);
		cr_expect_eq(db_spec_get(db, ids[i], &spec, &err), 0);
		cr_expect_eq(db_attempt_get(db, ids[i], 1, &a, &err), 0);
	}
}

Test(db_job, takes_ids_of_the_full_length)
{
	char id[JOB_ID_MAX + 1];
	struct attempt a = {.number = UINT32_MAX, .state = JOB_RUNNING}, got_a;
	struct job got;

	memset(id, 'x', JOB_ID_MAX);
	id[JOB_ID_MAX] = '\0';
	insert(id, 1);
	STR_COPY(a.job, id);
	begin();
	db_attempt_put(db, &a);
	commit();
	cr_expect_eq(db_job_get(db, id, &got, &err), 1);
	cr_expect_eq(db_attempt_get(db, id, UINT32_MAX, &got_a, &err), 1);
}

Test(db_job, deletes_everything_of_a_job_and_nothing_else)
{
	struct job j = insert("job-1", 1);
	struct attempt a = {.number = 1, .state = JOB_FAILURE};

	insert("job-2", 2);
	STR_COPY(a.job, j.id);
	begin();
	db_attempt_put(db, &a);
	a.number = 2;
	db_attempt_put(db, &a);
	STR_COPY(a.job, "job-2");
	db_attempt_put(db, &a);
	j.attempt = 2;
	j.state = JOB_FAILURE;
	db_job_update(db, &j, JOB_QUEUED);
	db_job_set_pending(db, "job-1", true);
	db_job_set_pending(db, "job-2", true);
	commit();
	begin();
	db_job_delete(db, &j);
	commit();
	for (int t = DB_SPEC; t <= DB_PENDING; t++)
		cr_expect_eq(count_rows((enum db_table)t), 1, "table %d", t);
}

Test(db_job, tells_a_damaged_record)
{
	struct attempt a;
	struct job j;

	insert("job-1", 1);
	begin();
	db_put(db, DB_JOB, "job-1", 5, "junk", 4);
	db_put(db, DB_ATTEMPT, "job-1\0\0\0\0\1", 10, "junk", 4);
	commit();
	cr_expect_eq(db_job_get(db, "job-1", &j, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
	err.code = ERR_NONE;
	cr_expect_eq(db_attempt_get(db, "job-1", 1, &a, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
}

Test(db_job, tells_a_record_that_lies_under_another_id)
{
	struct db_val v;
	struct job j;

	insert("job-1", 1);
	cr_assert_eq(db_get(db, DB_JOB, "job-1", 5, &v, &err), 1);
	begin();
	db_put(db, DB_JOB, "job-2", 5, v.data, v.len);
	commit();
	cr_expect_eq(db_job_get(db, "job-2", &j, &err), -1);
	cr_expect_eq(err.code, ERR_CORRUPT);
}

/*
 * Walks.
 */

static bool
on_job_collect(void *arg, const struct job *j)
{
	strbuf_addf(arg, "%s ", j->id);
	return true;
}

static bool
on_id_collect(void *arg, const char *id)
{
	strbuf_addf(arg, "%s ", id);
	return true;
}

static bool
on_job_stop(void *arg, const struct job *j)
{
	strbuf_addf(arg, "%s ", j->id);
	return false;
}

static struct job_query
any_query(void)
{
	return (struct job_query){
		.state = JOB_STATES, .max_rows = 100, .max_visited = 1000};
}

Test(db_job, walks_a_state_in_order_of_acceptance)
{
	cleanup_strbuf struct strbuf queued = {0}, running = {0}, first = {0};
	struct job j;

	insert("c", 1);
	j = insert("a", 2);
	insert("b", 256);
	begin();
	j.state = JOB_RUNNING;
	db_job_update(db, &j, JOB_QUEUED);
	db_job_update(db, &j, JOB_RUNNING);
	commit();
	db_job_each_in_state(db, JOB_QUEUED, on_job_collect, &queued, &err);
	cr_expect_str_eq(strbuf_str(&queued), "c b ");
	db_job_each_in_state(db, JOB_RUNNING, on_job_collect, &running, &err);
	cr_expect_str_eq(strbuf_str(&running), "a ");
	db_job_each_in_state(db, JOB_QUEUED, on_job_stop, &first, &err);
	cr_expect_str_eq(strbuf_str(&first), "c ");
}

Test(db_job, walks_past_damage)
{
	cleanup_strbuf struct strbuf walk = {0}, page = {0};
	struct job_query q = any_query();
	uint64_t next;

	insert("a", 1);
	insert("b", 2);
	insert("c", 3);
	insert("d", 4);
	begin();
	db_put(db, DB_JOB, "b", 1, "junk", 4);
	db_del(db, DB_JOB, "c", 1);
	db_put(db, DB_BY_TIME, "short", 5, "a", 1);
	db_put(db, DB_BY_TIME, "\0\0\0\0\0\0\0\5", 8, "", 0);
	commit();
	db_job_each_in_state(db, JOB_QUEUED, on_job_collect, &walk, &err);
	cr_expect_str_eq(strbuf_str(&walk), "a d ");
	cr_expect_eq(db_job_list(db, &q, on_job_collect, &page, &next, &err), 0);
	cr_expect_str_eq(strbuf_str(&page), "d a ");
	cr_expect_eq(next, 0);
}

Test(db_job, keeps_marks_of_pending_work)
{
	cleanup_strbuf struct strbuf ids = {0};

	begin();
	db_job_set_pending(db, "b", true);
	db_job_set_pending(db, "a", true);
	db_job_set_pending(db, "c", true);
	db_job_set_pending(db, "c", false);
	db_job_set_pending(db, "d", false);
	db_put(db, DB_PENDING, "../x", 4, "", 0);
	commit();
	cr_expect_eq(db_job_each_pending(db, on_id_collect, &ids, &err), 0);
	cr_expect_str_eq(strbuf_str(&ids), "a b ");
}

Test(db_job, knows_the_highest_seq)
{
	uint64_t seq = 1;

	cr_expect_eq(db_job_last_seq(db, &seq, &err), 0);
	cr_expect_eq(seq, 0);
	insert("a", 255);
	insert("b", 65536);
	insert("c", 256);
	cr_expect_eq(db_job_last_seq(db, &seq, &err), 0);
	cr_expect_eq(seq, 65536);
}

/*
 * Listing.
 */

static unsigned
list_size(const struct job_query *q, uint64_t *next)
{
	cleanup_strbuf struct strbuf ids = {0};
	unsigned n = 0;

	cr_assert_eq(db_job_list(db, q, on_job_collect, &ids, next, &err), 0);
	for (size_t i = 0; i < ids.len; i++)
		n += ids.data[i] == ' ';
	return n;
}

static void
insert_many(unsigned n)
{
	char id[16];

	begin();
	for (unsigned i = 1; i <= n; i++) {
		struct job j;

		snprintf(id, sizeof(id), "job-%u", i);
		j = make_job(id, i);
		db_job_insert(db, &j, "{}", 2);
	}
	commit();
}

Test(db_job, ends_a_page_at_its_rows)
{
	struct job_query q = any_query();
	uint64_t next;

	insert_many(10);
	q.max_rows = 9;
	cr_expect_eq(list_size(&q, &next), 9);
	cr_expect_eq(next, 2);
	q.before = next;
	cr_expect_eq(list_size(&q, &next), 1);
	cr_expect_eq(next, 0);
	q.before = 0;
	q.max_rows = 10;
	cr_expect_eq(list_size(&q, &next), 10);
	cr_expect_eq(next, 0);
}

Test(db_job, ends_a_page_after_the_rows_it_may_visit)
{
	struct job_query q = any_query();
	uint64_t next;

	insert_many(100);
	q.branch = "none of them";
	q.max_visited = 30;
	cr_expect_eq(list_size(&q, &next), 0);
	cr_expect_eq(next, 71);
	q.before = 31;
	cr_expect_eq(list_size(&q, &next), 0);
	cr_expect_eq(next, 0);
	q.before = 32;
	cr_expect_eq(list_size(&q, &next), 0);
	cr_expect_eq(next, 2);
}

Test(db_job, goes_on_after_the_row_that_a_caller_stopped_at)
{
	cleanup_strbuf struct strbuf ids = {0};
	struct job_query q = any_query();

	insert_many(3);
	do
		db_job_list(db, &q, on_job_stop, &ids, &q.before, &err);
	while (q.before);
	cr_expect_str_eq(strbuf_str(&ids), "job-3 job-2 job-1 ");
}

Test(db_job, stops_looking_where_all_is_too_old)
{
	struct job_query q = any_query();
	struct job old = make_job("old", 1), new = make_job("new", 3);
	uint64_t next;

	insert_many(2);
	new.submitted_at = INT64_C(3600) * 1000 * 100;
	begin();
	db_job_insert(db, &new, "{}", 2);
	db_job_insert(db, &old, "{}", 2);
	commit();
	q.since = new.submitted_at;
	q.max_visited = 2;
	cr_expect_eq(list_size(&q, &next), 1);
	cr_expect_eq(next, 0);
}

#define MODEL_JOBS 300

static const char *const repos[] = {"/srv/a", "/srv/b", "/srv/c"};
static const char *const branches[] = {"main", "develop", ""};

static struct job model[MODEL_JOBS];
static bool alive[MODEL_JOBS];

/* One change of a random job; those of one batch build on each other. */
static void
change_model(unsigned i)
{
	struct job *j = &model[i];
	enum job_state was = j->state;
	char id[32];

	if (!alive[i]) {
		snprintf(id, sizeof(id), "job-%u", (i * 7919) % MODEL_JOBS);
		*j = make_job(id, i + 1);
		STR_COPY(j->repo, repos[rand() % 3]);
		STR_COPY(j->branch, branches[rand() % 3]);
		j->submitted_at += rand() % 20000;
		j->state = (enum job_state)(rand() % JOB_STATES);
		alive[i] = true;
		db_job_insert(db, j, "{}", 2);
	} else if (rand() % 4 == 0) {
		alive[i] = false;
		db_job_delete(db, j);
	} else {
		j->state = (enum job_state)(rand() % JOB_STATES);
		db_job_update(db, j, was);
	}
}

static struct job_query
random_query(void)
{
	struct job_query q = {.state = JOB_STATES};

	if (rand() % 2)
		q.state = (enum job_state)(rand() % JOB_STATES);
	if (rand() % 2)
		q.repo = repos[rand() % 3];
	if (rand() % 2)
		q.branch = branches[rand() % 3];
	if (rand() % 2)
		q.since = rand() % (MODEL_JOBS * 1000);
	q.max_rows = 1 + (unsigned)rand() % 20;
	q.max_visited = 1 + (unsigned)rand() % 40;
	return q;
}

static void
list_model(const struct job_query *q, struct strbuf *out)
{
	for (unsigned i = MODEL_JOBS; i-- > 0;) {
		const struct job *j = &model[i];

		if (alive[i] && (q->state == JOB_STATES || q->state == j->state) &&
		    (!q->repo || strcmp(q->repo, j->repo) == 0) &&
		    (!q->branch || strcmp(q->branch, j->branch) == 0) &&
		    j->submitted_at >= q->since)
			strbuf_addf(out, "%s ", j->id);
	}
}

static void
list_pages(struct job_query q, struct strbuf *out)
{
	uint64_t next;

	for (;;) {
		struct strbuf page = {0};
		unsigned rows = 0;

		cr_assert_eq(db_job_list(db, &q, on_job_collect, &page, &next, &err),
			     0);
		for (size_t i = 0; i < page.len; i++)
			rows += page.data[i] == ' ';
		cr_assert_leq(rows, q.max_rows);
		cr_assert_leq(rows, q.max_visited);
		strbuf_adds(out, strbuf_str(&page));
		strbuf_free(&page);
		if (next == 0)
			return;
		cr_assert(q.before == 0 || next < q.before);
		q.before = next;
	}
}

Test(db_job, lists_like_a_filtered_array)
{
	srand(11);
	for (int round = 0; round < 40; round++) {
		begin();
		for (int i = 0; i < 60; i++)
			change_model((unsigned)rand() % MODEL_JOBS);
		commit();
		for (int i = 0; i < 50; i++) {
			cleanup_strbuf struct strbuf want = {0}, got = {0};
			struct job_query q = random_query();

			list_model(&q, &want);
			list_pages(q, &got);
			cr_assert_str_eq(strbuf_str(&got), strbuf_str(&want));
		}
	}
}
