/*
 * conf_table: every key of the configuration, and the types of their values.
 *
 * A row's offset is into struct conf, or into the item of a group (a list of things,
 * such as runners). Strings are malloc'ed and never NULL.
 */
#pragma once

#include "slipway/conf.h"

struct conf_type {
	const char *name;
	bool list;
	/* Replace the value at `at` by what text says (lists: comma separated). */
	int (*set)(const char *text, void *at, struct err *e);
	/* As YAML; equal text = equal value. */
	void (*print)(const void *at, struct strbuf *out);
	void (*clear)(void *at);
};

extern const struct conf_type conf_text, conf_int, conf_bool, conf_size, conf_duration,
	conf_list;

struct conf_key {
	const char *key;
	const struct conf_type *type;
	size_t offset;
	const char *def, *dev; /* dev NULL: the same in development */
	int64_t min, max;      /* numbers; both 0: any */
	/* What is wrong with a text, or one item of a list; NULL: nothing. */
	const char *(*check)(const char *);
	bool restart; /* a change needs a restart */
	const char *help;
};

struct conf_group {
	const char *key;
	const struct conf_key *keys;
	size_t nkeys, item_size;
	size_t items, count; /* offsets in struct conf */
	/* A whole item, the last of the list so far; position comes from the caller. */
	int (*check)(const struct conf *c, struct err *e);
	const char *help;
};

extern const struct conf_key conf_keys[];
extern const size_t conf_nkeys;
extern const struct conf_group conf_groups[];
extern const size_t conf_ngroups;

static inline void *
conf_at(const void *base, size_t offset)
{
	return (char *)(uintptr_t)base + offset;
}

/* Set from text, with all of the row's checks. Errors say only what is wrong. */
int conf_key_set(const struct conf_key *k, void *base, const char *text, struct err *e);
/* Add to a list value. */
int conf_key_add(const struct conf_key *k, void *base, const char *text, struct err *e);
void conf_keys_set_defaults(const struct conf_key *keys, size_t n, void *base,
			    bool dev);
void conf_keys_clear(const struct conf_key *keys, size_t n, void *base);
/* The known key, or section, that looks most like it; false when none does. */
bool conf_keys_nearest(const struct conf_key *keys, size_t n, const char *key,
		       char *out, size_t size);

/* conf_check.c: what is wrong with one text. */
const char *conf_check_dir(const char *s);
const char *conf_check_path(const char *s); /* "" or absolute */
const char *conf_check_root(const char *s); /* absolute */
const char *conf_check_url(const char *s);
const char *conf_check_listen(const char *s);
const char *conf_check_socket(const char *s);
const char *conf_check_host(const char *s);
const char *conf_check_proxy(const char *s);
const char *conf_check_header(const char *s);
const char *conf_check_scope(const char *s);
const char *conf_check_origin(const char *s);
const char *conf_check_glob(const char *s);
const char *conf_check_log_level(const char *s);
const char *conf_check_network(const char *s);
const char *conf_check_retry(const char *s);
const char *conf_check_type(const char *s);
const char *conf_check_user(const char *s);
int conf_check_runner(const struct conf *c, struct err *e);
int conf_check_credential(const struct conf *c, struct err *e);
