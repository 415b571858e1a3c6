/*
 * conf_yaml: the YAML that a configuration may be written in, as a flat sequence of
 * nodes. Refuses aliases, anchors, tags, duplicate keys, several documents, more than
 * 256 KiB, 16 levels or 10000 nodes. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "slipway/err.h"

#define CONF_YAML_MAX (256u << 10)
#define CONF_YAML_DEPTH_MAX 16
#define CONF_YAML_NODES_MAX 10000

enum conf_node_kind { CONF_SCALAR, CONF_LIST, CONF_MAP, CONF_MAP_END };

struct conf_node {
	enum conf_node_kind kind;
	const char *path;  /* "runners[0].labels[1]"; "" for the outermost */
	const char *value; /* of a scalar */
	bool null;	   /* nothing, ~ or null, unquoted */
};

/* on_node's errors get "NAME:LINE:COLUMN: PATH: " in front. */
int conf_yaml_read(const char *text, size_t len, const char *name,
		   int (*on_node)(void *arg, const struct conf_node *n, struct err *e),
		   void *arg, struct err *e);
