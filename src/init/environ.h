/*
 * environ: a list of "NAME=value" for execve(); later settings of a name win.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct environ_list {
	char **v; /* NULL-terminated once something was set */
	size_t n, cap;
};

/* value need not be terminated. */
void environ_set(struct environ_list *l, const char *name, const char *value,
		 size_t value_len);
void environ_set_str(struct environ_list *l, const char *name, const char *value);
/* Whole "NAME=value" strings; those without "=" are left out. */
void environ_add(struct environ_list *l, char *const *strings);
/* The value of a name, or NULL. */
const char *environ_get(const struct environ_list *l, const char *name);
void environ_clear(struct environ_list *l);
