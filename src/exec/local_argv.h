/*
 * local_argv: what a local sandbox consists of, as bubblewrap's argument vector.
 *
 * Each mount costs: bubblewrap reads the whole table of mounts after it. So what is the
 * same for all sandboxes lies in one prepared root (local_root.h), and the mounts that
 * need such a reading come while the table is short.
 *
 * local_host_read() looks once at what this machine's root directory is like;
 * local_argv_build() is pure. The vector borrows every string: from the host's
 * description, from the arguments, from constants. Descriptors have fixed numbers in
 * the child, so none has to be printed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/jobspec.h"

/* Descriptor numbers in the launched process. The first three reach slipway-init or
 * bubblewrap's monitor, which keep them from the steps; bubblewrap eats the others. */
#define LOCAL_FD_STATUS 3
#define LOCAL_FD_PLAN 4
#define LOCAL_FD_SPOOL 5
#define LOCAL_FD_SECCOMP 6
#define LOCAL_FD_RESOLV 7

#define LOCAL_ARGV_MAX 160
#define LOCAL_MOUNTS_MAX 16

#define LOCAL_WORKSPACE "/workspace"
#define LOCAL_SECRETS_DIR "/run/slipway"
#define LOCAL_INIT "/run/slipway-init"

/* The sandbox's own resolv.conf: slirp4netns answers there. */
#define LOCAL_RESOLV "nameserver 10.0.2.3\n"

struct local_mount {
	const char *how; /* "--ro-bind", "--ro-bind-try"; NULL: a link */
	char *from;	 /* path, or a link's content */
	char *to;
	bool maybe_empty; /* not worth a mount while nothing is in it */
	bool empty;
};

struct local_host {
	struct local_mount mounts[LOCAL_MOUNTS_MAX];
	size_t nmounts;
	bool has_resolv; /* /etc/resolv.conf exists */
};

struct local_args {
	const struct local_host *host;
	const char *bwrap;
	const char *init;  /* slipway-init, outside */
	const char *slirp; /* needed for NETWORK_ISOLATED */
	const char *root;  /* see local_root.h */
	bool bind_init;	   /* the one in the root cannot be executed */
	const char *workspace;
	enum spec_network network; /* never NETWORK_DEFAULT */
	bool disable_userns;	   /* does this bubblewrap know the option? */
	bool seccomp;		   /* is a filter passed? */
	bool status;		   /* the probe's exit code to LOCAL_FD_STATUS? */
	uint64_t tmp_size;	   /* of each tmpfs, 0: the kernel's default */
};

struct local_argv {
	const char *v[LOCAL_ARGV_MAX + 1];
	size_t n;
	char tmp_size[24];
};

/* root is "/" but for tests. */
void local_host_read(struct local_host *h, const char *root);
void local_host_free(struct local_host *h);
/* Look again what is empty. */
void local_host_refresh(struct local_host *h);
/* Always fits: the numbers above are checked by tests against the largest case. */
void local_argv_build(struct local_argv *out, const struct local_args *a);
/* The same sandbox around a program that does nothing: no workspace, no descriptors. */
void local_argv_build_probe(struct local_argv *out, const struct local_args *a);
/* The same without a sandbox: slipway-init alone. */
void local_argv_build_bare(struct local_argv *out, const char *init);
/* "bubblewrap 0.8.0" → true when it is at least this version. */
bool local_bwrap_is_at_least(const char *version, unsigned major, unsigned minor);
