#include "environ.h"

#include <string.h>

#include "util.h"

static char **
environ_find(const struct environ_list *l, const char *name, size_t len)
{
	for (size_t i = 0; i < l->n; i++)
		if (strncmp(l->v[i], name, len) == 0 && l->v[i][len] == '=')
			return &l->v[i];
	return NULL;
}

void
environ_set(struct environ_list *l, const char *name, const char *value,
	    size_t value_len)
{
	size_t name_len = strlen(name);
	char *s = util_alloc(name_len + value_len + 2);
	char **slot = environ_find(l, name, name_len);

	memcpy(s, name, name_len);
	s[name_len] = '=';
	if (value_len)
		memcpy(s + name_len + 1, value, value_len);
	if (slot) {
		free(*slot);
		*slot = s;
		return;
	}
	if (l->n + 1 >= l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->v = util_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = s;
	l->v[l->n] = NULL;
}

void
environ_set_str(struct environ_list *l, const char *name, const char *value)
{
	environ_set(l, name, value, strlen(value));
}

void
environ_add(struct environ_list *l, char *const *strings)
{
	for (; strings && *strings; strings++) {
		const char *eq = strchr(*strings, '=');
		cleanup_free char *name = NULL;

		if (!eq || eq == *strings)
			continue;
		name = util_format("%.*s", (int)(eq - *strings), *strings);
		environ_set_str(l, name, eq + 1);
	}
}

const char *
environ_get(const struct environ_list *l, const char *name)
{
	size_t len = strlen(name);
	char **slot = environ_find(l, name, len);

	return slot ? *slot + len + 1 : NULL;
}

void
environ_clear(struct environ_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct environ_list){ 0 };
}
