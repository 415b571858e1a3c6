/*
 * Defaults from the table, then the file's nodes, then overrides, each through the
 * same rows; last the values that follow from others (conf_finish).
 */
#include "slipway/conf.h"

#include <stdio.h>

#include "conf_table.h"
#include "conf_yaml.h"
#include "slipway/fs.h"
#include "slipway/mem.h"
#include "slipway/netaddr.h"

#ifndef SLIPWAY_LIBEXEC_DIR
#define SLIPWAY_LIBEXEC_DIR "/usr/libexec/slipway"
#endif

#define CONF_PATH_MAX 4096

struct build {
	struct conf *c;
	bool runners_given;
};

static void **
group_items(const struct conf_group *g, const struct conf *c)
{
	return conf_at(c, g->items);
}

static size_t *
group_count(const struct conf_group *g, const struct conf *c)
{
	return conf_at(c, g->count);
}

static void *
group_item(const struct conf_group *g, const struct conf *c, size_t i)
{
	return conf_at(*group_items(g, c), i * g->item_size);
}

static void
group_clear(const struct conf_group *g, struct conf *c)
{
	for (size_t i = 0; i < *group_count(g, c); i++)
		conf_keys_clear(g->keys, g->nkeys, group_item(g, c, i));
	free(STEAL(*group_items(g, c)));
	*group_count(g, c) = 0;
}

static void
group_add(const struct conf_group *g, struct conf *c)
{
	size_t n = (*group_count(g, c))++;

	*group_items(g, c) = xreallocarray(*group_items(g, c), n + 1, g->item_size);
	memset(group_item(g, c, n), 0, g->item_size);
	conf_keys_set_defaults(g->keys, g->nkeys, group_item(g, c, n), c->dev);
}

static int
conf_fail_unknown(const struct conf_key *keys, size_t n, const char *key, struct err *e)
{
	char hint[64];

	if (conf_keys_nearest(keys, n, key, hint, sizeof(hint)))
		return err_set(e, ERR_INVALID, "unknown key, did you mean %s?", hint);
	return err_set(e, ERR_INVALID, "unknown key");
}

static bool
conf_is_section(const struct conf_key *keys, size_t n, const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < n; i++)
		if (!len ||
		    (!strncmp(keys[i].key, path, len) && keys[i].key[len] == '.'))
			return true;
	return false;
}

/* rest is what follows the key in the path: "" or an index. */
static int
conf_apply_value(const struct conf_key *k, void *base, const char *rest,
		 const struct conf_node *n, struct err *e)
{
	if (k->type->list && !*rest) {
		if (n->kind != CONF_LIST)
			return err_set(e, ERR_INVALID, "must be a list");
		k->type->clear(conf_at(base, k->offset));
		return 0;
	}
	if (n->kind != CONF_SCALAR)
		return err_set(e, ERR_INVALID, "must be a single value (%s)",
			       k->type->name);
	if (n->null)
		return err_set(e, ERR_INVALID, "has no value");
	return *rest ? conf_key_add(k, base, n->value, e)
		     : conf_key_set(k, base, n->value, e);
}

static int
conf_apply(const struct conf_key *keys, size_t nkeys, void *base, const char *path,
	   const struct conf_node *n, struct err *e)
{
	for (size_t i = 0; i < nkeys; i++) {
		size_t len = strlen(keys[i].key);

		if (!strncmp(keys[i].key, path, len) &&
		    (!path[len] || path[len] == '['))
			return conf_apply_value(&keys[i], base, path + len, n, e);
	}
	if (!conf_is_section(keys, nkeys, path))
		return conf_fail_unknown(keys, nkeys, path, e);
	if (n->kind == CONF_LIST || (n->kind == CONF_SCALAR && !n->null))
		return err_set(e, ERR_INVALID, "must hold keys, as in \"key: value\"");
	return 0;
}

/* rest is what follows the group's key: "", "[0]" or "[0].key...". */
static int
conf_apply_group(struct build *b, const struct conf_group *g, const char *rest,
		 const struct conf_node *n, struct err *e)
{
	const char *key = strchr(rest, '.');

	if (key)
		return conf_apply(g->keys, g->nkeys,
				  group_item(g, b->c, *group_count(g, b->c) - 1),
				  key + 1, n, e);
	if (*rest) {
		if (n->kind == CONF_MAP_END)
			return g->check(b->c, e);
		if (n->kind != CONF_MAP)
			return err_set(e, ERR_INVALID,
				       "must hold keys, as in \"name: value\"");
		group_add(g, b->c);
		return 0;
	}
	if (n->kind != CONF_LIST)
		return err_set(e, ERR_INVALID, "must be a list");
	group_clear(g, b->c);
	if (g->items == offsetof(struct conf, runners))
		b->runners_given = true;
	return 0;
}

static int
on_node(void *arg, const struct conf_node *n, struct err *e)
{
	struct build *b = arg;

	for (size_t i = 0; i < conf_ngroups; i++) {
		const struct conf_group *g = &conf_groups[i];
		size_t len = strlen(g->key);

		if (!strncmp(g->key, n->path, len) &&
		    (!n->path[len] || n->path[len] == '['))
			return conf_apply_group(b, g, n->path + len, n, e);
	}
	return conf_apply(conf_keys, conf_nkeys, b->c, n->path, n, e);
}

/* The key after "runners.NAME."; names may hold dots themselves. */
static int
conf_override_runner(struct conf *c, const struct conf_group *g, const char *rest,
		     const char *value, struct err *e)
{
	for (size_t i = 0; i < c->nrunners; i++) {
		size_t len = strlen(c->runners[i].name);

		if (strncmp(c->runners[i].name, rest, len) || rest[len] != '.')
			continue;
		for (size_t k = 0; k < g->nkeys; k++)
			if (!strcmp(g->keys[k].key, rest + len + 1))
				return conf_key_set(&g->keys[k], &c->runners[i], value,
						    e);
		return conf_fail_unknown(g->keys, g->nkeys, rest + len + 1, e);
	}
	return err_set(e, ERR_INVALID, "there is no such runner");
}

static int
conf_override(struct conf *c, const struct conf_override *o, struct err *e)
{
	for (size_t i = 0; i < conf_nkeys; i++)
		if (!strcmp(conf_keys[i].key, o->key))
			return conf_key_set(&conf_keys[i], c, o->value, e);
	for (size_t i = 0; i < conf_ngroups; i++) {
		const struct conf_group *g = &conf_groups[i];
		size_t len = strlen(g->key);

		if (strncmp(g->key, o->key, len) || (o->key[len] && o->key[len] != '.'))
			continue;
		if (g->items == offsetof(struct conf, runners) && o->key[len])
			return conf_override_runner(c, g, o->key + len + 1, o->value,
						    e);
		return err_set(e, ERR_INVALID, "can only be set in the file");
	}
	return conf_fail_unknown(conf_keys, conf_nkeys, o->key, e);
}

static void
conf_replace(char **s, const char *by)
{
	char *copy = xstrdup(by);

	free(*s);
	*s = copy;
}

static int
conf_finish_dirs(struct conf *c, struct err *e)
{
	char cwd[CONF_PATH_MAX], out[CONF_PATH_MAX];
	cleanup_free char *full = NULL;

	if (c->state_dir[0] == '/')
		full = xstrdup(c->state_dir);
	else if (!c->dev)
		return err_set(e, ERR_INVALID, "state_dir: must be an absolute path");
	else if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(e, "state_dir: getcwd");
	else
		full = xasprintf("%s/%s", cwd, c->state_dir);
	if (!fs_normalise(full, out, sizeof(out)))
		return err_set(e, ERR_INVALID, "state_dir: not a usable path");
	conf_replace(&c->state_dir, out);
	for (size_t i = 0; i < c->git_local_roots.n; i++) {
		if (!fs_normalise(c->git_local_roots.v[i], out, sizeof(out)))
			return err_set(e, ERR_INVALID,
				       "git.local_roots[%zu]: not a usable path", i);
		conf_replace(&c->git_local_roots.v[i], out);
	}
	return 0;
}

static void
conf_finish_groups(struct conf *c)
{
	for (size_t i = 0; i < c->nrunners; i++)
		if (!*c->runners[i].network)
			conf_replace(&c->runners[i].network, c->defaults_network);
	for (size_t i = 0; i < c->ngit_credentials; i++) {
		struct conf_credential *cr = &c->git_credentials[i];

		if (!*cr->username)
			conf_replace(&cr->username,
				     *cr->ssh_key_file ? "git" : "x-access-token");
	}
}

static bool
listens_beyond_loopback(const struct conf *c)
{
	struct netaddr a;

	for (size_t i = 0; i < c->http_listen.n; i++) {
		const char *s = c->http_listen.v[i];

		if (!netaddr_parse_hop(s, strlen(s), &a) || !netaddr_is_loopback(&a))
			return true;
	}
	return false;
}

static int
conf_finish_http(const struct conf *c, struct err *e)
{
	if (!c->http_listen.n && !*c->http_unix_socket)
		return err_set(e, ERR_INVALID,
			       "http.listen and http.unix_socket are "
			       "both empty: nobody could reach it");
	if (!c->http_auth && listens_beyond_loopback(c))
		return err_set(e, ERR_INVALID,
			       "http.auth: false goes with loopback addresses in "
			       "http.listen only");
	if (*c->http_user_header && !c->http_trusted_proxies.n)
		return err_set(e, ERR_INVALID,
			       "http.user_header needs http.trusted_proxies: anybody "
			       "could send it");
	return 0;
}

static int
conf_finish(struct conf *c, struct err *e)
{
	size_t len = strlen(c->public_url);

	while (len && c->public_url[len - 1] == '/')
		c->public_url[--len] = '\0';
	if (conf_finish_http(c, e))
		return -1;
	conf_finish_groups(c);
	return conf_finish_dirs(c, e);
}

static struct conf *
conf_new(bool dev)
{
	const char *libexec = getenv("SLIPWAY_LIBEXEC_DIR");
	const char *secrets = getenv("CREDENTIALS_DIRECTORY");
	struct conf *c = xcalloc(1, sizeof(*c));

	c->dev = dev;
	conf_keys_set_defaults(conf_keys, conf_nkeys, c, dev);
	if (secrets && secrets[0] == '/')
		conf_replace(&c->secrets_dir, secrets);
	c->libexec_dir = xstrdup(libexec && *libexec ? libexec : SLIPWAY_LIBEXEC_DIR);
	return c;
}

static void
conf_add_default_runner(struct conf *c)
{
	for (size_t i = 0; i < conf_ngroups; i++)
		if (conf_groups[i].items == offsetof(struct conf, runners))
			group_add(&conf_groups[i], c);
	conf_replace(&c->runners[0].name, "local");
}

static void
conf_cleanup(struct conf **c)
{
	conf_free(*c);
}

struct conf *
conf_parse(const char *text, size_t len, const char *name, bool dev,
	   const struct conf_override *over, size_t nover, struct err *e)
{
	__attribute__((cleanup(conf_cleanup))) struct conf *c = conf_new(dev);
	struct build b = { .c = c };

	if (conf_yaml_read(text, len, name, on_node, &b, e))
		return NULL;
	if (!b.runners_given)
		conf_add_default_runner(c);
	for (size_t i = 0; i < nover; i++) {
		if (conf_override(c, &over[i], e)) {
			err_wrap(e, "-o %s", over[i].key);
			return NULL;
		}
	}
	if (conf_finish(c, e)) {
		err_wrap(e, "%s", name);
		return NULL;
	}
	return STEAL(c);
}

struct conf *
conf_load(const char *file, bool dev, const struct conf_override *over, size_t nover,
	  struct err *e)
{
	cleanup_strbuf struct strbuf text = { 0 };
	cleanup_file FILE *f = NULL;
	char chunk[4096];
	size_t n;

	if (!file)
		return conf_parse("", 0, "defaults", dev, over, nover, e);
	/* A link to the file is fine here, so this is not fs_read_file(). */
	f = fopen(file, "re");
	while (f && text.len <= CONF_YAML_MAX &&
	       (n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		strbuf_add(&text, chunk, n);
	if (!f || ferror(f)) {
		err_sys(e, "%s", file);
		return NULL;
	}
	return conf_parse(strbuf_str(&text), text.len, file, dev, over, nover, e);
}

void
conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < conf_ngroups; i++)
		group_clear(&conf_groups[i], c);
	conf_keys_clear(conf_keys, conf_nkeys, c);
	free(c->libexec_dir);
	free(c);
}
