/*
 * doctor: what may be wrong with an installation. What the files of its checks share.
 *
 * A check says one thing about its subject: ok, a note (nothing to mend), or a problem
 * with the command that cures it. Checks of the machine are done where the server is.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli.h"
#include "slipway/conf.h"

enum doctor_result { DOCTOR_OK, DOCTOR_NOTE, DOCTOR_PROBLEM };

struct doctor {
	struct cli *cli;
	struct conf *conf;     /* of the file, else the defaults; never NULL */
	const char *conf_file; /* "" when there is none */
	const char *socket;    /* the unix socket that is used, or NULL */
	bool local;	       /* the server is on this machine */
	bool answers;
	struct json_object *health; /* NULL when it does not answer */
	struct json_object *admin;  /* /admin/status; NULL when not allowed to see it */
	int64_t skew_ms;	    /* of the server's clock against this one */
	bool has_user;		    /* jobs run as: */
	uid_t uid;
	gid_t gid;
	const char *name; /* of the check under way */
	struct json_object *told;
	unsigned problems;
};

/* "Told": text with a cure, a command; "" for none. */
void doctor_say(struct doctor *d, enum doctor_result result, const char *cure,
		const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The checks. */
void doctor_config(struct doctor *d);
void doctor_socket(struct doctor *d);
void doctor_daemon(struct doctor *d);
void doctor_token(struct doctor *d);
void doctor_clock(struct doctor *d);
void doctor_stream(struct doctor *d);
void doctor_disk(struct doctor *d);
void doctor_bwrap(struct doctor *d);
void doctor_userns(struct doctor *d);
void doctor_slirp(struct doctor *d);
void doctor_tun(struct doctor *d);
void doctor_docker(struct doctor *d);
void doctor_git(struct doctor *d);
void doctor_systemd(struct doctor *d);
