#include "run.h"

#include <stdarg.h>

#include "slipway/clock.h"
#include "slipway/log.h"
#include "slipway/mem.h"

/* The spool's frames become the attempt's step records. */

static void
on_step_start(struct run *run, const struct frame *f, const uint8_t *payload)
{
	struct step_record *s = &run->att.steps[f->step];

	s->state = STEP_RUNNING;
	s->started_at = (int64_t)f->time_ms;
	run->current_step = f->step;
}

static void
on_step_end(struct run *run, const struct frame *f, const uint8_t *payload)
{
	struct step_record *s = &run->att.steps[f->step];
	struct step_end end;

	if (!step_end_decode(&end, payload, f->len))
		return;
	if (run->current_step == f->step)
		run->current_step = -1;
	if (end.flags & STEP_END_SKIPPED) {
		s->state = STEP_SKIPPED;
		return;
	}
	s->state = end.exit_code == 0 && !(end.flags & (STEP_END_TIMED_OUT |
							STEP_END_CANCELLED))
			   ? STEP_SUCCESS
			   : STEP_FAILURE;
	s->has_exit = true;
	s->exit_code = end.exit_code;
	s->timed_out = end.flags & STEP_END_TIMED_OUT;
	s->finished_at = (int64_t)f->time_ms;
	s->cpu_us = end.utime_us + end.stime_us;
	s->max_rss = end.max_rss;
	run->att.cpu_us += s->cpu_us;
	if (s->max_rss > run->att.max_rss)
		run->att.max_rss = s->max_rss;
}

static void
on_frame(void *arg, const struct frame *f, const uint8_t *payload)
{
	static void (*const handlers[FRAME_TYPES])(struct run *, const struct frame *,
						   const uint8_t *) = {
		[FRAME_STEP_START] = on_step_start,
		[FRAME_STEP_END] = on_step_end,
	};
	struct run *run = arg;

	if (!handlers[f->type] || f->step >= run->att.nsteps)
		return;
	handlers[f->type](run, f, payload);
	run_publish(run);
}

static void
on_grown(void *arg)
{
	struct run *run = arg;
	const struct bus_event ev = { .what = BUS_LOG, .job = run->job.id,
				      .attempt = run->att.number };

	bus_publish(run->en->d.bus, &ev);
}

int
run_open_spool(struct run *run, struct err *e)
{
	const struct spool_events ev = { .on_frame = on_frame, .on_grown = on_grown,
					 .arg = run };

	/* They are told again from the beginning. */
	memset(run->att.steps, 0, sizeof(run->att.steps));
	run->att.cpu_us = run->att.max_rss = 0;
	run->spool = spool_open(run->en->spools, run->dir, &ev, e);
	return run->spool ? 0 : -1;
}

void
run_note(struct run *run, unsigned flags, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	spool_note(run->spool, text, flags);
}

void
run_close_steps(struct run *run)
{
	int64_t now = clock_wall_ms();

	for (unsigned i = 0; i < run->att.nsteps; i++) {
		struct step_record *s = &run->att.steps[i];

		if (s->state == STEP_RUNNING) {
			s->state = STEP_FAILURE;
			s->finished_at = now;
		} else if (s->state == STEP_PENDING) {
			s->state = STEP_SKIPPED;
		}
	}
	run->current_step = -1;
}
