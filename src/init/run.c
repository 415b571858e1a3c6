#include "run.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sequence.h"
#include "util.h"

#define NOTE_MAX 2048

static void
run_note_va(struct run *run, uint16_t step, uint8_t flags, const char *fmt,
	    va_list ap) __attribute__((format(printf, 4, 0)));

static void
run_note_va(struct run *run, uint16_t step, uint8_t flags, const char *fmt,
	    va_list ap)
{
	cleanup_free uint8_t *masked = NULL;
	char text[NOTE_MAX];
	size_t len;
	int n;

	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		return;
	len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	masked = mask_text(run->mask, (const uint8_t *)text, len, &len);
	if (!masked)
		return;
	spoolw_frame(&run->spool, &(struct spoolw_frame){
					  .type = FRAME_NOTE,
					  .flags = flags,
					  .step = step,
					  .payload = masked,
					  .len = len,
				  });
}

void
run_note(struct run *run, uint16_t step, uint8_t flags, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	run_note_va(run, step, flags, fmt, ap);
	va_end(ap);
}

void
run_fail(struct run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	run_note_va(run, FRAME_NO_STEP, FRAME_ERROR, fmt, ap);
	va_end(ap);
	run_set_verdict(run, INIT_EXIT_INTERNAL);
	sequence_abort(run);
}

void
run_set_verdict(struct run *run, enum init_exit verdict)
{
	static const uint8_t rank[] = {
		[INIT_EXIT_SUCCESS] = 0,      [INIT_EXIT_FAILURE] = 1,
		[INIT_EXIT_STEP_TIMEOUT] = 1, [INIT_EXIT_JOB_TIMEOUT] = 1,
		[INIT_EXIT_OOM] = 1,	      [INIT_EXIT_CANCELLED] = 2,
		[INIT_EXIT_INTERNAL] = 3,
	};

	if (rank[verdict] > rank[run->verdict])
		run->verdict = verdict;
}

void
run_add_output(struct run *run, int fd, uint8_t type, uint16_t step)
{
	struct output *o = output_new(&run->sink, fd, type, step);

	if (!o) {
		run_fail(run, "out of memory");
		return;
	}
	if (run->noutputs == run->outputs_cap) {
		run->outputs_cap = run->outputs_cap ? 2 * run->outputs_cap : 8;
		run->outputs = util_realloc(run->outputs, run->outputs_cap *
							  sizeof(*run->outputs));
	}
	run->outputs[run->noutputs++] = o;
}

void
run_drop_ended(struct run *run)
{
	size_t kept = 0;

	for (size_t i = 0; i < run->noutputs; i++) {
		if (run->outputs[i]->ended)
			output_free(run->outputs[i]);
		else
			run->outputs[kept++] = run->outputs[i];
	}
	run->noutputs = kept;
}
