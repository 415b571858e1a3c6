#include "conf_table.h"
#include "slipway/mem.h"

struct printer {
	struct strbuf *out;
	unsigned indent;
	bool dash; /* the next line begins an item */
};

static void
print_indent(struct printer *p, unsigned more)
{
	strbuf_addf(p->out, "%*s", (int)(p->indent + more) * 2, "");
	if (p->dash) {
		p->out->len -= 2;
		strbuf_adds(p->out, "- ");
		p->dash = false;
	}
}

static size_t
print_section_len(const char *key)
{
	size_t len = strcspn(key, ".");

	return key[len] ? len + 1 : 0;
}

/* One key; last is the one before it, whose section may still be open. */
static void
print_key(struct printer *p, const char *last, const struct conf_key *k,
	  const void *base)
{
	size_t len = print_section_len(k->key);

	if (len && (!last || strncmp(last, k->key, len))) {
		print_indent(p, 0);
		strbuf_addf(p->out, "%.*s:\n", (int)len - 1, k->key);
	}
	print_indent(p, len ? 1 : 0);
	strbuf_addf(p->out, "%s: ", k->key + len);
	k->type->print(conf_at(base, k->offset), p->out);
	strbuf_addc(p->out, '\n');
}

static void
print_group(const struct conf *c, const struct conf_group *g, struct strbuf *out)
{
	size_t len = print_section_len(g->key), n = *(size_t *)conf_at(c, g->count);
	const char *items = *(char **)conf_at(c, g->items);
	struct printer p = { .out = out, .indent = len ? 1 : 0 };

	print_indent(&p, 0);
	strbuf_addf(out, "%s:%s\n", g->key + len, n ? "" : " []");
	p.indent += 2;
	for (size_t i = 0; i < n; i++) {
		p.dash = true;
		for (size_t k = 0; k < g->nkeys; k++)
			print_key(&p, k ? g->keys[k - 1].key : NULL, &g->keys[k],
				  items + i * g->item_size);
	}
}

/* The groups of the section of this length that key is in; 0: of none. */
static void
print_groups(const struct conf *c, const char *key, size_t len, struct strbuf *out)
{
	for (size_t i = 0; i < conf_ngroups; i++)
		if (print_section_len(conf_groups[i].key) == len &&
		    !strncmp(conf_groups[i].key, key, len))
			print_group(c, &conf_groups[i], out);
}

void
conf_print(const struct conf *c, struct strbuf *out)
{
	struct printer p = { .out = out };

	for (size_t i = 0; i < conf_nkeys; i++) {
		const char *key = conf_keys[i].key;
		size_t len = print_section_len(key);

		print_key(&p, i ? conf_keys[i - 1].key : NULL, &conf_keys[i], c);
		if (len &&
		    (i + 1 == conf_nkeys || strncmp(conf_keys[i + 1].key, key, len)))
			print_groups(c, key, len, out);
	}
	print_groups(c, "", 0, out);
}

void
conf_restart_needed(const struct conf *old, const struct conf *new_, struct strbuf *out)
{
	for (size_t i = 0; i < conf_nkeys; i++) {
		const struct conf_key *k = &conf_keys[i];
		cleanup_strbuf struct strbuf was = { 0 }, is = { 0 };

		if (!k->restart)
			continue;
		k->type->print(conf_at(old, k->offset), &was);
		k->type->print(conf_at(new_, k->offset), &is);
		if (strcmp(strbuf_str(&was), strbuf_str(&is)))
			strbuf_addf(out, "%s\n", k->key);
	}
}

static void
describe_keys(const char *prefix, const struct conf_key *keys, size_t n,
	      struct strbuf *out)
{
	for (size_t i = 0; i < n; i++)
		strbuf_addf(out, "%s%s\t%s\t%s\t%s%s\n", prefix, keys[i].key,
			    keys[i].type->name, keys[i].def, keys[i].help,
			    keys[i].restart ? " (needs a restart)" : "");
}

void
conf_describe(struct strbuf *out)
{
	describe_keys("", conf_keys, conf_nkeys, out);
	for (size_t i = 0; i < conf_ngroups; i++) {
		const struct conf_group *g = &conf_groups[i];
		cleanup_free char *prefix = xasprintf("%s[].", g->key);

		strbuf_addf(out, "%s\tlist\t\t%s\n", g->key, g->help);
		describe_keys(prefix, g->keys, g->nkeys, out);
	}
}
