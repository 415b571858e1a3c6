#include "slipway/frame.h"

#include <string.h>

static const uint8_t magic[6] = { 'S', 'L', 'W', 'S', 'P', 'L' };

static void
frame_put(uint8_t *out, uint64_t v, size_t width)
{
	for (size_t i = 0; i < width; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t
frame_get(const uint8_t *in, size_t width)
{
	uint64_t v = 0;

	for (size_t i = 0; i < width; i++)
		v |= (uint64_t)in[i] << (8 * i);
	return v;
}

void
spool_header_encode(uint8_t out[SPOOL_HEADER_LEN])
{
	memcpy(out, magic, sizeof(magic));
	frame_put(out + sizeof(magic), SPOOL_VERSION, 2);
}

bool
spool_header_ok(const uint8_t in[SPOOL_HEADER_LEN])
{
	return memcmp(in, magic, sizeof(magic)) == 0 &&
	       frame_get(in + sizeof(magic), 2) == SPOOL_VERSION;
}

void
frame_encode(const struct frame *f, uint8_t out[FRAME_HEADER_LEN])
{
	frame_put(out, f->len, 4);
	out[4] = f->type;
	out[5] = f->flags;
	frame_put(out + 6, f->step, 2);
	frame_put(out + 8, f->time_ms, 8);
}

void
frame_decode(struct frame *f, const uint8_t in[FRAME_HEADER_LEN])
{
	f->len = (uint32_t)frame_get(in, 4);
	f->type = in[4];
	f->flags = in[5];
	f->step = (uint16_t)frame_get(in + 6, 2);
	f->time_ms = frame_get(in + 8, 8);
}

void
step_end_encode(const struct step_end *s, uint8_t out[STEP_END_LEN])
{
	frame_put(out, (uint32_t)s->exit_code, 4);
	frame_put(out + 4, (uint32_t)s->signal, 4);
	out[8] = s->flags;
	frame_put(out + 9, s->utime_us, 8);
	frame_put(out + 17, s->stime_us, 8);
	frame_put(out + 25, s->max_rss, 8);
}

bool
step_end_decode(struct step_end *s, const uint8_t *in, size_t len)
{
	if (len != STEP_END_LEN)
		return false;
	s->exit_code = (int32_t)(uint32_t)frame_get(in, 4);
	s->signal = (int32_t)(uint32_t)frame_get(in + 4, 4);
	s->flags = in[8];
	s->utime_us = frame_get(in + 9, 8);
	s->stime_us = frame_get(in + 17, 8);
	s->max_rss = frame_get(in + 25, 8);
	return true;
}

static const char *
check_job_start(struct frame_seq *seq, const struct frame *f)
{
	if (seq->started)
		return "second job-start";
	seq->started = true;
	return NULL;
}

static const char *
check_step_start(struct frame_seq *seq, const struct frame *f)
{
	if (seq->open)
		return "step-start while a step is open";
	if (f->step < seq->next)
		return "step-start out of order";
	seq->open = f->step + 1;
	seq->next = (uint32_t)f->step + 1;
	return NULL;
}

static const char *
check_output(struct frame_seq *seq, const struct frame *f)
{
	return f->step < seq->next ? NULL : "output of a step not started";
}

static const char *
check_step_end(struct frame_seq *seq, const struct frame *f)
{
	if (seq->open) {
		if (seq->open != f->step + 1)
			return "step-end of another step than the open one";
		seq->open = 0;
		return NULL;
	}
	if (f->step < seq->next)
		return "step-end of a step that is not open";
	seq->next = (uint32_t)f->step + 1;
	return NULL;
}

static const char *
check_checkpoint(struct frame_seq *seq, const struct frame *f)
{
	return NULL;
}

static const char *
check_job_end(struct frame_seq *seq, const struct frame *f)
{
	if (seq->open)
		return "job-end while a step is open";
	seq->ended = true;
	return NULL;
}

/* A note has no check: it may stand anywhere. */
static const struct {
	const char *name;
	const char *(*check)(struct frame_seq *, const struct frame *);
	uint32_t len_min, len_max;
	uint8_t flags;
	bool of_step;
} types[FRAME_TYPES] = {
	[FRAME_JOB_START] = { "job-start", check_job_start, 2, 2, 0, false },
	[FRAME_STEP_START] = { "step-start", check_step_start, 0,
			       FRAME_PAYLOAD_MAX, 0, true },
	[FRAME_STDOUT] = { "stdout", check_output, 1, FRAME_PAYLOAD_MAX,
			   FRAME_PARTIAL, true },
	[FRAME_STDERR] = { "stderr", check_output, 1, FRAME_PAYLOAD_MAX,
			   FRAME_PARTIAL, true },
	[FRAME_STEP_END] = { "step-end", check_step_end, STEP_END_LEN,
			     STEP_END_LEN, 0, true },
	[FRAME_CHECKPOINT] = { "checkpoint", check_checkpoint, 4, 4, 0, false },
	[FRAME_NOTE] = { "note", NULL, 0, FRAME_PAYLOAD_MAX,
			 FRAME_TRUNCATED | FRAME_ERROR, false },
	[FRAME_JOB_END] = { "job-end", check_job_end, 1, 1, 0, false },
};

const char *
frame_check(struct frame_seq *seq, const struct frame *f)
{
	if (f->type >= FRAME_TYPES || !types[f->type].name)
		return "unknown type";
	if (f->len < types[f->type].len_min || f->len > types[f->type].len_max)
		return "length out of range";
	if (f->flags & ~types[f->type].flags)
		return "unknown flags";
	if (f->step != FRAME_NO_STEP && seq->nsteps && f->step >= seq->nsteps)
		return "step out of range";
	if (!types[f->type].check)
		return NULL;
	if (types[f->type].of_step != (f->step != FRAME_NO_STEP))
		return "step number missing or misplaced";
	if (seq->ended)
		return "frame after job-end";
	if (!seq->started && f->type != FRAME_JOB_START)
		return "frame before job-start";
	return types[f->type].check(seq, f);
}

void
frame_seq_job_start(struct frame_seq *seq, uint16_t nsteps)
{
	seq->nsteps = nsteps;
}

const char *
frame_type_name(uint8_t type)
{
	if (type >= FRAME_TYPES || !types[type].name)
		return "?";
	return types[type].name;
}
