/*
 * step_output: the ends of the steps' outputs, gathered from a log's frames. Pure, any
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/strbuf.h"

#define STEP_OUTPUT_MAX (64u << 10) /* of one step */
#define STEP_OUTPUTS_MAX (1u << 20) /* of all steps of an answer */

struct step_outputs {
	struct strbuf *steps;
	size_t n;
	bool from_start; /* frames were added from the log's beginning on */
};

void step_outputs_init(struct step_outputs *o, size_t nsteps);
void step_outputs_free(struct step_outputs *o);
/* Whole frames, in order. */
void step_outputs_add(struct step_outputs *o, const uint8_t *data, size_t len);
/* Make each output valid UTF-8 and cut all to their limits, later steps first: what
 * people look for is at the end. */
void step_outputs_finish(struct step_outputs *o);
/* The output of a step, NULL when none of it is known. */
const struct strbuf *step_outputs_get(const struct step_outputs *o, size_t step);
