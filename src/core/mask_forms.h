/*
 * mask_forms: the patterns under which a secret may show up in a log (see mask.h).
 *
 * The list owns its patterns and wipes them. Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mask_form {
	uint8_t *data;
	size_t len; /* MASK_MIN or more */
};

struct mask_forms {
	struct mask_form *v;
	size_t n, cap;
};

/* All forms of one secret. False when memory is out. */
bool mask_forms_add(struct mask_forms *f, const uint8_t *secret, size_t len);
/* Longest first, each one once. */
void mask_forms_sort(struct mask_forms *f);
void mask_forms_clear(struct mask_forms *f);
