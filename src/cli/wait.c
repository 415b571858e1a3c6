#include "wait.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "slipway/clock.h"
#include "slipway/mem.h"

#define PATIENCE_MS 60000
#define DELAY_MIN_MS 250
#define DELAY_MAX_MS 4000
#define WAIT_S 50

static volatile sig_atomic_t got_interrupt;

static void
on_interrupt(int signo)
{
	got_interrupt = 1;
}

void
interrupt_catch(void)
{
	struct sigaction sa = { .sa_handler = on_interrupt, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &sa, NULL);
}

bool
interrupted(void)
{
	return got_interrupt;
}

int
report_interrupted(const struct cli *cli, const char *id)
{
	return report(cli, CLI_INTERRUPTED,
		      "interrupted; the job goes on (slipway logs -f %s, or slipway "
		      "cancel %s)",
		      id, id);
}

int
report_gave_up(const struct cli *cli, const char *id)
{
	return report(
		cli, CLI_UNREACHABLE,
		"gave up: %s has not answered for %d s. The job is not lost; come "
		"back with slipway logs -f %s",
		client_where(cli->client), PATIENCE_MS / 1000, id);
}

bool
patience_wait(struct patience *p)
{
	int64_t now = clock_mono_ms();
	struct timespec ts;

	if (!p->since)
		p->since = now;
	if (got_interrupt || now - p->since >= PATIENCE_MS)
		return false;
	p->delay = p->delay ? p->delay * 2 : DELAY_MIN_MS;
	if (p->delay > DELAY_MAX_MS)
		p->delay = DELAY_MAX_MS;
	ts.tv_sec = p->delay / 1000;
	ts.tv_nsec = p->delay % 1000 * 1000000;
	nanosleep(&ts, NULL);
	return !got_interrupt;
}

static bool
is_passing(const struct response *r)
{
	return r->status == 429 || r->status == 502 || r->status == 503 ||
	       r->status == 504;
}

/* One answer, over any number of tries. 0, or the exit code. */
static int
wait_once(struct cli *cli, const char *id, const char *path, struct response *r)
{
	struct patience p = { 0 };
	struct err e = { 0 };

	for (;;) {
		int rc = client_call(cli->client, path, NULL, WAIT_S + 15, r, &e);

		if (rc == 0 && !is_passing(r))
			break;
		if (rc && e.code != ERR_CONNECT)
			return report_unreachable(cli, &e);
		if (!patience_wait(&p))
			return interrupted() ? report_interrupted(cli, id)
					     : report_gave_up(cli, id);
	}
	return r->status == 200 ? 0 : report_refusal(cli, r);
}

static bool
same_for_people(struct json_object *a, struct json_object *b)
{
	return strcmp(json_text(a, "status"), json_text(b, "status")) == 0 &&
	       strcmp(json_text(a, "phase"), json_text(b, "phase")) == 0 &&
	       json_number(a, "attempt") == json_number(b, "attempt") &&
	       json_object_object_get_ex(a, "currentStep", NULL) ==
		       json_object_object_get_ex(b, "currentStep", NULL) &&
	       json_number(a, "currentStep") == json_number(b, "currentStep");
}

int
wait_job(struct cli *cli, const char *id,
	 void (*on_change)(struct cli *cli, struct json_object *job),
	 struct json_object **last)
{
	cleanup_strbuf struct strbuf now = { 0 }, later = { 0 };
	cleanup_response struct response r = { 0 };
	struct json_object *job;
	int code;

	*last = NULL;
	cli_path(&now, "/jobs/status", id);
	strbuf_addf(&later, "%s&wait=%d", now.data, WAIT_S);
	for (;;) {
		code = wait_once(cli, id, *last ? later.data : now.data, &r);
		if (code)
			return code;
		job = cli_parse(cli, &r);
		if (!job)
			return CLI_PROTOCOL;
		if (on_change && (!*last || !same_for_people(*last, job)))
			on_change(cli, job);
		json_object_put(*last);
		*last = job;
		if (state_is_final(json_text(job, "status")))
			return exit_of_state(json_text(job, "status"));
	}
}
