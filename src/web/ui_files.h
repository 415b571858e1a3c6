/*
 * ui_files: the files of ui/, put into the program by ui/embed.
 */
#pragma once

#include <stddef.h>

struct ui_file {
	const char *name, *hash;
	const unsigned char *data;
	size_t len;
};

extern const struct ui_file ui_files[]; /* ends with name NULL */
