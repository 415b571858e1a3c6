#include "page_steps.h"

#include <string.h>

#include "query.h"
#include "slipway/mem.h"

#define TITLE_STEPS 4

void
page_title(struct strbuf *out, const struct jobspec *spec, const struct job_view *v)
{
	size_t n = spec ? spec->nsteps : v->attempt.nsteps;

	if (!spec) {
		strbuf_addf(out, n ? "%zu steps" : "job", n);
		return;
	}
	for (size_t i = 0; i < n && i < TITLE_STEPS; i++) {
		strbuf_adds(out, i ? " → " : "");
		html_text(out, spec->steps[i].name);
	}
	if (n > TITLE_STEPS)
		strbuf_addf(out, " → %zu more", n - TITLE_STEPS);
}

const char *
job_phase_words(enum job_phase phase)
{
	switch (phase) {
	case PHASE_FETCH: return "fetching";
	case PHASE_START: return "starting";
	case PHASE_STEPS: return "in its steps";
	case PHASE_VERDICT: return "finishing";
	default: return "";
	}
}

/* Fate */

static const char *
reason_words(enum job_reason r)
{
	switch (r) {
	case REASON_STEP_FAILED: return "A step failed.";
	case REASON_STEP_TIMEOUT: return "A step took longer than it may.";
	case REASON_JOB_TIMEOUT: return "The job took longer than it may.";
	case REASON_CANCELLED: return "The job was cancelled.";
	case REASON_CLONE_FAILED: return "The repository could not be fetched.";
	case REASON_IMAGE_FAILED: return "The image could not be had.";
	case REASON_RUNNER_LOST: return "The job's sandbox vanished.";
	case REASON_OOM: return "The job ran out of memory.";
	case REASON_DISK_FULL: return "The disk is full.";
	case REASON_INTERNAL: return "Something went wrong inside slipway.";
	case REASON_SECRET_MISSING: return "A secret that the job needs is missing.";
	default: return "";
	}
}

static void
add_step_name(struct page *p, const struct shown_attempt *s, size_t i)
{
	if (s->spec && i < s->spec->nsteps) {
		strbuf_adds(&p->html, "<strong>");
		html_text(&p->html, s->spec->steps[i].name);
		strbuf_adds(&p->html, "</strong>");
	} else {
		strbuf_addf(&p->html, "%zu", i + 1);
	}
}

static bool
step_may_fail(const struct shown_attempt *s, size_t i)
{
	return s->spec && i < s->spec->nsteps && s->spec->steps[i].continue_on_error;
}

/* The step that ended the job: the first that failed and was not allowed to. */
static bool
find_failed(const struct shown_attempt *s, size_t *step)
{
	for (size_t i = 0; s->a && i < s->a->nsteps; i++) {
		*step = i;
		if (s->a->steps[i].state == STEP_FAILURE && !step_may_fail(s, i))
			return true;
	}
	return false;
}

static void
fate_final(struct page *p, const struct shown_attempt *s)
{
	size_t step;

	if (s->reason == REASON_STEP_FAILED && find_failed(s, &step)) {
		strbuf_adds(&p->html, "Step ");
		add_step_name(p, s, step);
		strbuf_addf(&p->html, " failed with exit code %d.",
			    s->a->steps[step].exit_code);
	} else if (s->reason == REASON_STEP_TIMEOUT && find_failed(s, &step)) {
		strbuf_adds(&p->html, "Step ");
		add_step_name(p, s, step);
		strbuf_adds(&p->html, " took longer than it may.");
	} else if (s->reason == REASON_CANCELLED && *s->v->job.cancel_by) {
		strbuf_adds(&p->html, "Cancelled by ");
		html_text(&p->html, s->v->job.cancel_by);
		strbuf_addc(&p->html, '.');
	} else {
		strbuf_adds(&p->html, reason_words(s->reason));
	}
}

static void
fate_waiting(struct page *p, const struct job_view *v)
{
	if (v->position > 0)
		strbuf_addf(&p->html, "Number %ld in the queue. ", v->position);
	if (*v->wait_reason) {
		strbuf_adds(&p->html, "Waiting: ");
		html_text(&p->html, v->wait_reason);
		strbuf_addc(&p->html, '.');
	}
}

static void
fate_running(struct page *p, const struct shown_attempt *s)
{
	int step = s->v->current_step;
	size_t n = s->spec ? s->spec->nsteps : 0;

	if (s->v->phase == PHASE_FETCH) {
		strbuf_adds(&p->html, "Fetching the repository.");
	} else if (step >= 0) {
		strbuf_addf(&p->html, "Step %d", step + 1);
		if (n)
			strbuf_addf(&p->html, " of %zu", n);
		strbuf_adds(&p->html, ": ");
		add_step_name(p, s, (size_t)step);
	} else if (s->v->phase == PHASE_START) {
		strbuf_adds(&p->html, "Starting the sandbox.");
	} else {
		strbuf_adds(&p->html, "Between two steps.");
	}
}

/* What the store says beyond what was said already. */
static bool
error_tells_more(const struct shown_attempt *s)
{
	return *s->error && s->reason != REASON_STEP_FAILED &&
	       s->reason != REASON_CANCELLED;
}

void
page_fate(struct page *p, const struct shown_attempt *s)
{
	if (s->state == JOB_SUCCESS)
		return;
	strbuf_addf(&p->html, "<p class=\"fate s-%s\">", job_state_name(s->state));
	if (s->state == JOB_QUEUED)
		fate_waiting(p, s->v);
	else if (s->state == JOB_RUNNING)
		fate_running(p, s);
	else
		fate_final(p, s);
	if (error_tells_more(s)) {
		strbuf_adds(&p->html, " <span class=\"detail\">");
		html_text(&p->html, s->error);
		strbuf_adds(&p->html, "</span>");
	}
	strbuf_adds(&p->html, "</p>\n");
}

/* Steps */

static const struct step_record *
step_of(const struct shown_attempt *s, size_t i, enum step_state *state)
{
	static const struct step_record none;
	const struct step_record *r = s->a && i < s->a->nsteps ? &s->a->steps[i]
							       : &none;

	*state = r->state;
	if (r->state == STEP_PENDING && job_state_is_final(s->state))
		*state = STEP_SKIPPED;
	return r;
}

static void
step_link(struct page *p, const struct strbuf *url, uint64_t line)
{
	cleanup_strbuf struct strbuf href = { 0 };
	char number[24];

	if (!line) {
		strbuf_adds(&p->html, "<span class=\"leg\">");
		return;
	}
	snprintf(number, sizeof(number), "%llu", (unsigned long long)line);
	strbuf_adds(&href, strbuf_str(url));
	query_append(&href, "from", number);
	strbuf_addf(&href, "#L%s", number);
	strbuf_addf(&p->html, "<a class=\"leg\" data-line=\"%s\"", number);
	page_href(&p->html, &href);
	strbuf_addc(&p->html, '>');
}

static void
add_step(struct page *p, const struct shown_attempt *s, size_t i, uint64_t line,
	 const struct strbuf *url)
{
	enum step_state state;
	const struct step_record *r = step_of(s, i, &state);
	const char *name = step_state_name(state);
	bool allowed = state == STEP_FAILURE && step_may_fail(s, i);

	strbuf_addf(&p->html, "<li class=\"t-%s\">", allowed ? "allowed" : name);
	step_link(p, url, line);
	page_icon(&p->html, name);
	strbuf_addf(&p->html, "<span class=\"sr\">%s%s: </span><span class=\"name\">",
		    name, allowed ? " (allowed)" : "");
	html_text(&p->html,
		  s->spec && i < s->spec->nsteps ? s->spec->steps[i].name : "step");
	strbuf_adds(&p->html, "</span>");
	if (r->timed_out)
		strbuf_adds(&p->html, "<span class=\"exit\">timed out</span>");
	else if (r->has_exit && r->exit_code != 0)
		strbuf_addf(&p->html, "<span class=\"exit\">exit %d</span>",
			    r->exit_code);
	strbuf_adds(&p->html, "<span class=\"took\">");
	if (state == STEP_RUNNING || r->finished_at)
		page_duration(p, r->started_at,
			      state == STEP_RUNNING ? 0 : r->finished_at);
	strbuf_addf(&p->html, "</span></%s></li>\n", line ? "a" : "span");
}

void
page_steps(struct page *p, const struct shown_attempt *s, const uint64_t *first,
	   const struct strbuf *url)
{
	size_t n = s->spec ? s->spec->nsteps : s->a ? s->a->nsteps : 0;

	strbuf_adds(&p->html, "<ol class=\"steps\">\n");
	for (size_t i = 0; i < n; i++)
		add_step(p, s, i, i < JOB_STEPS_MAX ? first[i] : 0, url);
	strbuf_adds(&p->html, "</ol>\n");
}
