#include <errno.h>
#include <stdio.h>

#include "conf_table.h"
#include "slipway/mem.h"

struct unit {
	const char *name;
	int64_t factor;
};

/* Largest first: printing takes the first that divides. */
static const struct unit durations[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 },
};
static const struct unit sizes[] = {
	{ "TiB", 1ll << 40 }, { "GiB", 1ll << 30 }, { "MiB", 1ll << 20 },
	{ "KiB", 1ll << 10 }, { "B", 1 },
};

static bool
conf_parse_digits(const char **s, int64_t *v)
{
	const char *p = *s;

	*v = 0;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(*v, 10, v) ||
		    __builtin_add_overflow(*v, *p - '0', v))
			return false;
	if (p == *s)
		return false;
	*s = p;
	return true;
}

static bool
conf_parse_unit(const char *s, const struct unit *units, size_t n, int64_t plain,
		int64_t *out)
{
	int64_t factor = plain;

	if (!conf_parse_digits(&s, out))
		return false;
	if (*s) {
		size_t i = 0;

		while (i < n && strcmp(units[i].name, s))
			i++;
		if (i == n)
			return false;
		factor = units[i].factor;
	}
	return !__builtin_mul_overflow(*out, factor, out);
}

int
conf_parse_duration(const char *s, int64_t *ms, struct err *e)
{
	int64_t v;

	if (!conf_parse_unit(s, durations, ARRAY_LEN(durations), 1000, &v))
		return err_set(e, ERR_INVALID, "not a duration, as in 300s 30m 7d");
	*ms = v;
	return 0;
}

int
conf_parse_size(const char *s, int64_t *bytes, struct err *e)
{
	int64_t v;

	if (!conf_parse_unit(s, sizes, ARRAY_LEN(sizes), 1, &v))
		return err_set(e, ERR_INVALID, "not a size, as in 64MiB 2GiB");
	*bytes = v;
	return 0;
}

static void
conf_print_unit(int64_t v, const struct unit *units, struct strbuf *out)
{
	while (v % units->factor)
		units++;
	strbuf_addf(out, "%lld%s", (long long)(v / units->factor), units->name);
}

static void
conf_print_quoted(const char *s, struct strbuf *out)
{
	strbuf_addc(out, '"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			strbuf_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			strbuf_addf(out, "\\x%02x", c);
		else
			strbuf_addc(out, (char)c);
	}
	strbuf_addc(out, '"');
}

static int
text_set(const char *text, void *at, struct err *e)
{
	char *copy = xstrdup(text);

	free(*(char **)at);
	*(char **)at = copy;
	return 0;
}

static void
text_print(const void *at, struct strbuf *out)
{
	conf_print_quoted(*(char *const *)at, out);
}

static void
text_clear(void *at)
{
	free(STEAL(*(char **)at));
}

static int
int_set(const char *text, void *at, struct err *e)
{
	const char *p = text + (*text == '-');
	int64_t v;

	if (!conf_parse_digits(&p, &v) || *p)
		return err_set(e, ERR_INVALID, "not a whole number");
	*(int64_t *)at = *text == '-' ? -v : v;
	return 0;
}

static void
int_print(const void *at, struct strbuf *out)
{
	strbuf_addf(out, "%lld", (long long)*(const int64_t *)at);
}

static void
number_clear(void *at)
{
	*(int64_t *)at = 0;
}

static int
bool_set(const char *text, void *at, struct err *e)
{
	bool yes = !strcmp(text, "true");

	if (!yes && strcmp(text, "false"))
		return err_set(e, ERR_INVALID, "must be true or false");
	*(bool *)at = yes;
	return 0;
}

static void
bool_print(const void *at, struct strbuf *out)
{
	strbuf_adds(out, *(const bool *)at ? "true" : "false");
}

static void
bool_clear(void *at)
{
	*(bool *)at = false;
}

static int
size_set(const char *text, void *at, struct err *e)
{
	return conf_parse_size(text, at, e);
}

static void
size_print(const void *at, struct strbuf *out)
{
	conf_print_unit(*(const int64_t *)at, sizes, out);
}

static int
duration_set(const char *text, void *at, struct err *e)
{
	return conf_parse_duration(text, at, e);
}

static void
duration_print(const void *at, struct strbuf *out)
{
	conf_print_unit(*(const int64_t *)at, durations, out);
}

static void
list_add(struct conf_strings *l, const char *s, size_t len)
{
	l->v = xreallocarray(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = xstrndup(s, len);
}

static void
list_clear(void *at)
{
	struct conf_strings *l = at;

	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct conf_strings){ 0 };
}

static int
list_set(const char *text, void *at, struct err *e)
{
	list_clear(at);
	while (*text) {
		size_t n = strcspn(text, ",");

		list_add(at, text, n);
		text += n;
		if (*text == ',' && !*++text)
			return err_set(e, ERR_INVALID, "a comma at the end");
	}
	return 0;
}

static void
list_print(const void *at, struct strbuf *out)
{
	const struct conf_strings *l = at;

	strbuf_addc(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		strbuf_adds(out, i ? ", " : "");
		conf_print_quoted(l->v[i], out);
	}
	strbuf_addc(out, ']');
}

const struct conf_type conf_text = { "text", false, text_set, text_print, text_clear };
const struct conf_type conf_int = { "number", false, int_set, int_print, number_clear };
const struct conf_type conf_bool = { "true or false", false, bool_set, bool_print,
				     bool_clear };
const struct conf_type conf_size = { "size", false, size_set, size_print,
				     number_clear };
const struct conf_type conf_duration = { "duration", false, duration_set,
					 duration_print, number_clear };
const struct conf_type conf_list = { "list", true, list_set, list_print, list_clear };

static int
conf_check_range(const struct conf_key *k, const void *at, struct err *e)
{
	cleanup_strbuf struct strbuf min = { 0 }, max = { 0 };
	int64_t v;

	if (k->min == k->max)
		return 0;
	v = *(const int64_t *)at;
	if (v >= k->min && v <= k->max)
		return 0;
	k->type->print(&k->min, &min);
	k->type->print(&k->max, &max);
	return err_set(e, ERR_INVALID, "must be %s to %s", strbuf_str(&min),
		       strbuf_str(&max));
}

int
conf_key_set(const struct conf_key *k, void *base, const char *text, struct err *e)
{
	void *at = conf_at(base, k->offset);
	const struct conf_strings *l = at;
	const char *wrong = NULL;

	if (!k->type->list && k->check)
		wrong = k->check(text);
	if (wrong)
		return err_set(e, ERR_INVALID, "%s", wrong);
	if (k->type->set(text, at, e))
		return -1;
	for (size_t i = 0; k->type->list && k->check && i < l->n; i++) {
		wrong = k->check(l->v[i]);
		if (wrong)
			return err_set(e, ERR_INVALID, "%s: %s", l->v[i], wrong);
	}
	return conf_check_range(k, at, e);
}

int
conf_key_add(const struct conf_key *k, void *base, const char *text, struct err *e)
{
	const char *wrong = k->check ? k->check(text) : NULL;

	if (wrong)
		return err_set(e, ERR_INVALID, "%s", wrong);
	list_add(conf_at(base, k->offset), text, strlen(text));
	return 0;
}
