/*
 * One handler per event of the parser. The path grows when a key or an item begins
 * and shrinks when its value is over; a level per open mapping or sequence remembers
 * where.
 */
#include "conf_yaml.h"

#include <stdio.h>
#include <yaml.h>

#include "slipway/mem.h"
#include "slipway/strbuf.h"

struct ylevel {
	bool map, have_key;
	size_t path_len, index;
	yaml_mark_t start;  /* where errors about the whole point to */
	struct strbuf keys; /* seen in this mapping, each with its NUL */
};

struct yread {
	yaml_parser_t parser;
	const char *name;
	int (*on_node)(void *, const struct conf_node *, struct err *);
	void *arg;
	struct err *e;
	struct ylevel levels[CONF_YAML_DEPTH_MAX];
	unsigned depth, nodes, documents;
	char path[512];
	size_t path_len;
	yaml_mark_t at; /* of the current key or item */
	bool done;
};

static int
yread_locate(struct yread *y, const yaml_mark_t *at)
{
	if (y->path_len)
		return err_wrap(y->e, "%s:%zu:%zu: %s", y->name, at->line + 1,
				at->column + 1, y->path);
	return err_wrap(y->e, "%s:%zu:%zu", y->name, at->line + 1, at->column + 1);
}

static int
yread_fail(struct yread *y, const yaml_mark_t *at, const char *what)
{
	err_field(y->e, ERR_INVALID, y->path, "%s", what);
	return yread_locate(y, at);
}

static bool
yread_set_path(struct yread *y, int n)
{
	y->path_len += (size_t)n;
	if (y->path_len < sizeof(y->path))
		return true;
	y->path_len = sizeof(y->path) - 1;
	return false;
}

static struct ylevel *
yread_top(struct yread *y)
{
	return y->depth ? &y->levels[y->depth - 1] : NULL;
}

static int
yread_emit(struct yread *y, const yaml_mark_t *at, struct conf_node n)
{
	n.path = y->path;
	if (!y->on_node(y->arg, &n, y->e))
		return 0;
	if (y->e && !y->e->field[0])
		STR_COPY(y->e->field, y->path);
	return yread_locate(y, at);
}

/* Any node but a key begins. */
static int
yread_begin(struct yread *y, const yaml_event_t *ev, const void *anchor,
	    const void *tag)
{
	struct ylevel *l = yread_top(y);
	char *end = y->path + y->path_len;
	size_t room = sizeof(y->path) - y->path_len;

	if (anchor || tag)
		return yread_fail(y, &ev->start_mark,
				  "anchors and tags are not accepted");
	if (++y->nodes > CONF_YAML_NODES_MAX)
		return yread_fail(y, &ev->start_mark, "too many values");
	if (l && l->map && !l->have_key)
		return yread_fail(y, &ev->start_mark, "a key must be one word");
	if (l && l->map)
		return 0; /* at is where the key began */
	y->at = ev->start_mark;
	if (l && !yread_set_path(y, snprintf(end, room, "[%zu]", l->index++)))
		return yread_fail(y, &y->at, "nested too deep");
	return 0;
}

/* A value is over: back to the path of what holds it. */
static void
yread_end(struct yread *y)
{
	struct ylevel *l = yread_top(y);

	y->path_len = l ? l->path_len : 0;
	y->path[y->path_len] = '\0';
	if (l)
		l->have_key = false;
}

static bool
yread_is_known(const struct ylevel *l, const char *key)
{
	for (size_t i = 0; i < l->keys.len; i += strlen(l->keys.data + i) + 1)
		if (!strcmp(l->keys.data + i, key))
			return true;
	return false;
}

static int
yread_key(struct yread *y, struct ylevel *l, const yaml_event_t *ev)
{
	const char *key = (const char *)ev->data.scalar.value;
	size_t len = strspn(key, "abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	char *end = y->path + y->path_len;

	y->at = ev->start_mark;
	if (ev->data.scalar.anchor || ev->data.scalar.tag)
		return yread_fail(y, &y->at, "anchors and tags are not accepted");
	if (++y->nodes > CONF_YAML_NODES_MAX)
		return yread_fail(y, &y->at, "too many values");
	if (!len || len != ev->data.scalar.length)
		return yread_fail(y, &y->at, "a key must be one word");
	if (!yread_set_path(y, snprintf(end, sizeof(y->path) - y->path_len, "%s%s",
					y->path_len ? "." : "", key)))
		return yread_fail(y, &y->at, "key too long");
	if (yread_is_known(l, key))
		return yread_fail(y, &y->at, "is there twice");
	strbuf_add(&l->keys, key, len + 1);
	l->have_key = true;
	return 0;
}

static bool
yread_is_null(const yaml_event_t *ev)
{
	const char *v = (const char *)ev->data.scalar.value;

	return ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*v || !strcmp(v, "~") || !strcmp(v, "null"));
}

static int
on_scalar(struct yread *y, const yaml_event_t *ev)
{
	struct ylevel *l = yread_top(y);
	const char *v = (const char *)ev->data.scalar.value;
	struct conf_node n = { .kind = CONF_SCALAR, .value = v };

	if (l && l->map && !l->have_key)
		return yread_key(y, l, ev);
	if (yread_begin(y, ev, ev->data.scalar.anchor, ev->data.scalar.tag))
		return -1;
	if (strlen(v) != ev->data.scalar.length)
		return yread_fail(y, &y->at, "must not hold NUL");
	n.null = yread_is_null(ev);
	if (yread_emit(y, &y->at, n))
		return -1;
	yread_end(y);
	return 0;
}

static int
yread_open(struct yread *y, bool map)
{
	struct conf_node n = { .kind = map ? CONF_MAP : CONF_LIST };

	if (y->depth == CONF_YAML_DEPTH_MAX)
		return yread_fail(y, &y->at, "nested too deep");
	if (yread_emit(y, &y->at, n))
		return -1;
	y->levels[y->depth++] =
		(struct ylevel){ .map = map, .path_len = y->path_len, .start = y->at };
	return 0;
}

static int
on_mapping(struct yread *y, const yaml_event_t *ev)
{
	if (yread_begin(y, ev, ev->data.mapping_start.anchor,
			ev->data.mapping_start.tag))
		return -1;
	return yread_open(y, true);
}

static int
on_sequence(struct yread *y, const yaml_event_t *ev)
{
	if (yread_begin(y, ev, ev->data.sequence_start.anchor,
			ev->data.sequence_start.tag))
		return -1;
	return yread_open(y, false);
}

static int
on_collection_end(struct yread *y, const yaml_event_t *ev)
{
	struct ylevel *l = &y->levels[--y->depth];

	strbuf_free(&l->keys);
	if (l->map &&
	    yread_emit(y, &l->start, (struct conf_node){ .kind = CONF_MAP_END }))
		return -1;
	yread_end(y);
	return 0;
}

static int
on_alias(struct yread *y, const yaml_event_t *ev)
{
	return yread_fail(y, &ev->start_mark, "aliases are not accepted");
}

static int
on_document(struct yread *y, const yaml_event_t *ev)
{
	if (y->documents++)
		return yread_fail(y, &ev->start_mark, "only one document is accepted");
	return 0;
}

static int
on_stream_end(struct yread *y, const yaml_event_t *ev)
{
	y->done = true;
	return 0;
}

static int (*const handlers[])(struct yread *, const yaml_event_t *) = {
	[YAML_STREAM_END_EVENT] = on_stream_end,
	[YAML_DOCUMENT_START_EVENT] = on_document,
	[YAML_ALIAS_EVENT] = on_alias,
	[YAML_SCALAR_EVENT] = on_scalar,
	[YAML_SEQUENCE_START_EVENT] = on_sequence,
	[YAML_SEQUENCE_END_EVENT] = on_collection_end,
	[YAML_MAPPING_START_EVENT] = on_mapping,
	[YAML_MAPPING_END_EVENT] = on_collection_end,
};

static int
yread_next(struct yread *y)
{
	yaml_event_t ev;
	int rc = 0;

	if (!yaml_parser_parse(&y->parser, &ev)) {
		y->path_len = 0;
		y->path[0] = '\0';
		return yread_fail(y, &y->parser.problem_mark,
				  y->parser.problem ? y->parser.problem
						    : "not valid YAML");
	}
	if (handlers[ev.type])
		rc = handlers[ev.type](y, &ev);
	yaml_event_delete(&ev);
	return rc;
}

int
conf_yaml_read(const char *text, size_t len, const char *name,
	       int (*on_node)(void *arg, const struct conf_node *n, struct err *e),
	       void *arg, struct err *e)
{
	struct yread y = { .name = name, .on_node = on_node, .arg = arg, .e = e };
	int rc = 0;

	if (len > CONF_YAML_MAX)
		return err_set(e, ERR_TOO_LARGE, "%s: over %u KiB", name,
			       CONF_YAML_MAX >> 10);
	if (!yaml_parser_initialize(&y.parser))
		return err_set(e, ERR_INTERNAL, "out of memory");
	yaml_parser_set_encoding(&y.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)text, len);
	while (!rc && !y.done)
		rc = yread_next(&y);
	while (y.depth)
		strbuf_free(&y.levels[--y.depth].keys);
	yaml_parser_delete(&y.parser);
	return rc;
}
