/*
 * here: the jobs of the git repository that the working directory is a checkout of.
 */
#pragma once

#include "cli.h"

#define HERE_NAMES_MAX 32

struct here_names {
	char *v[HERE_NAMES_MAX];
	unsigned n;
};

/* The ways in which a job may name the repository at url: over https or ssh, with and
 * without ".git". Adds those that are not there yet. Pure. */
void here_spellings(const char *url, struct here_names *names);
void here_names_free(struct here_names *names);

/* The newest job of this repository, malloc'ed, told to people. 0, or the exit code. */
int here_newest_job(struct cli *cli, char **id);
