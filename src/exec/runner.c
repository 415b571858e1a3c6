#include "slipway/runner.h"

#include <string.h>

#include "slipway/mem.h"

static const struct runner_ops *const types[] = { &runner_local_ops };

const struct runner_ops *
runner_ops_find(const char *type)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (!strcmp(types[i]->type, type))
			return types[i];
	return NULL;
}
