/*
 * conf: the configuration.
 *
 * One table in core/conf_table.c {key, type, offset, default, range, reloadable,
 * help} drives the YAML reader, -o overrides, --print-config, -t and the check that
 * manual and etc/slipway.yaml name every key. A reload builds a new struct conf,
 * validates it, and swaps; nobody keeps pointers into an old one across turns.
 * Its strings are never NULL: "" is "not given".
 * conf_load reads the file (blocking, start-up and SIGHUP only); the rest is pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slipway/err.h"
#include "slipway/jobspec.h"
#include "slipway/strbuf.h"

struct conf_strings {
	char **v;
	size_t n;
};

struct conf_credential {
	char *match; /* glob over "host/path" of a repository URL */
	char *username; /* https user name, default "x-access-token"; ssh: "git" */
	char *token_file, *ssh_key_file, *known_hosts_file;
};

struct conf_runner {
	char *name;
	char *type; /* "local" */
	struct conf_strings labels;
	int64_t capacity; /* jobs at once; 0: number of cores */
	char *user;	  /* unix user of jobs under a root daemon */
	char *network;	  /* default network of its jobs: none, isolated, host */
	struct conf_strings allow_repos, allow_branches;
	bool allow_unsandboxed;
};

struct conf {
	bool dev;
	char *state_dir;
	char *public_url;
	struct conf_strings http_listen; /* "127.0.0.1:8080", "[::1]:8080" */
	char *http_unix_socket;		 /* "" = none */
	struct conf_strings http_hosts;
	int64_t http_max_connections;
	bool http_auth;
	struct conf_strings http_trusted_proxies; /* addresses, networks, "unix" */
	char *http_user_header;			  /* "" = none */
	struct conf_strings http_user_scopes;
	struct conf_strings http_cors_origins;
	int64_t http_stream_timeout_ms, http_stream_beat_ms;
	char *log_level;
	int64_t log_max_size;
	int64_t queue_max_concurrent, queue_default_priority, queue_max_retries;
	int64_t queue_max_depth, queue_max_bytes;
	int64_t queue_boost_ms; /* ageing: waiting this long equals one priority level */
	int64_t queue_backoff_ms; /* first delay of an automatic retry, doubled each time */
	struct conf_strings queue_retry_on; /* "infra", "failure", "timeout" */
	int64_t defaults_step_timeout_ms, defaults_job_timeout_ms;
	char *defaults_network; /* isolated */
	int64_t limits_job_timeout_ms; /* the most a job may ask for; 0 = no maximum */
	int64_t limits_grace_ms;
	int64_t limits_fetch_timeout_ms, limits_fetch_bytes, limits_fetch_objects;
	int64_t limits_helper_memory;
	int64_t limits_db_size;
	int64_t limits_requests_per_minute; /* of one token or address; 0 = no limit */
	int64_t limits_disk_reserve; /* free bytes under which new jobs are refused */
	char *launch_socket; /* of slipway-launch; "": none */
	struct conf_strings git_allow_hosts; /* globs; empty: any public host */
	struct conf_strings git_local_roots; /* directories whose repositories may be used */
	struct conf_credential *git_credentials;
	size_t ngit_credentials;
	struct conf_runner *runners;
	size_t nrunners;
	char *secrets_dir;
	int64_t retention_jobs_ms, retention_keep;
	char *libexec_dir; /* where slipway-worker and slipway-init are; compiled in,
			      $SLIPWAY_LIBEXEC_DIR overrides (not a key) */
};

struct conf_override {
	const char *key, *value; /* "queue.max_concurrent", "4" */
};

/* file may be NULL (defaults only). dev starts from the development defaults.
 * Errors read "FILE:LINE:COLUMN: key: what is wrong". NULL on error. */
struct conf *conf_load(const char *file, bool dev, const struct conf_override *over,
		       size_t nover, struct err *e);
/* The same from memory; name is used in errors. */
struct conf *conf_parse(const char *text, size_t len, const char *name, bool dev,
			const struct conf_override *over, size_t nover, struct err *e);
void conf_free(struct conf *c);
/* YAML that conf_parse() reads back to the same configuration. */
void conf_print(const struct conf *c, struct strbuf *out);
/* Names (one per line) of changed keys that only a restart applies. Empty = none. */
void conf_restart_needed(const struct conf *old, const struct conf *new_,
			 struct strbuf *out);
/* For the documentation check and --help-config: every key with type, default, help. */
void conf_describe(struct strbuf *out);
/* "300s 30m 7d", plain = seconds; to ms. "64MiB", plain = bytes. */
int conf_parse_duration(const char *s, int64_t *ms, struct err *e);
int conf_parse_size(const char *s, int64_t *bytes, struct err *e);
