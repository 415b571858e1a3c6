/*
 * envfile: the file behind $SLIPWAY_ENV, by which a step hands variables on.
 *
 * The step may do anything to that path, so it is opened without following links or
 * blocking, must still be the file that was made, and is parsed as outside bytes.
 * Lines are KEY=value; empty ones are skipped, names are those of the shell, and
 * names that begin with SLIPWAY_ are refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ENVFILE_MAX (1u << 20)
#define ENVFILE_NAME_MAX 255u
/* execve() takes no longer string than 128 KiB, name, "=" and terminator included. */
#define ENVFILE_LINE_MAX ((128u << 10) - 1)

struct envfile {
	char *path;
	dev_t dev;
	ino_t ino;
};

/* Make an empty file of mode 0600 in dir; 0, or -1 with errno. */
int envfile_create(struct envfile *f, const char *dir);
/* The bytes, malloc'ed; NULL with *why (static text) when they are not to be had. */
uint8_t *envfile_read(const struct envfile *f, size_t *len, const char **why);
/* Removes the file and frees the path. */
void envfile_remove(struct envfile *f);

struct envfile_line {
	const uint8_t *name, *value;
	size_t name_len, value_len;
	const char *bad; /* NULL, or what is wrong with the line (static text) */
};

struct envfile_parser {
	const uint8_t *p, *end;
	unsigned line; /* number of the line given last */
};

/* The next line that is not empty; false at the end. */
bool envfile_next(struct envfile_parser *parser, struct envfile_line *line);
