#include "conf_table.h"

#include "jobspec_check.h"
#include "slipway/log.h"
#include "slipway/mem.h"

#define KIB(n) ((int64_t)(n) << 10)
#define MIB(n) ((int64_t)(n) << 20)
#define GIB(n) ((int64_t)(n) << 30)
#define TIB(n) ((int64_t)(n) << 40)
#define SECONDS(n) ((int64_t)(n)*1000)
#define DAYS(n) SECONDS((int64_t)(n)*86400)

#define TEXT(m) &conf_text, offsetof(struct conf, m)
#define INT(m) &conf_int, offsetof(struct conf, m)
#define BOOL(m) &conf_bool, offsetof(struct conf, m)
#define SIZE(m) &conf_size, offsetof(struct conf, m)
#define DURATION(m) &conf_duration, offsetof(struct conf, m)
#define LIST(m) &conf_list, offsetof(struct conf, m)
#define RANGE(a, b) .min = (a), .max = (b)
#define HELP(s) .help = s
#define CHECK(f) .check = conf_check_##f

/* Keys of one section stand together: conf_print() opens it once. */
const struct conf_key conf_keys[] = {
	{ "state_dir", TEXT(state_dir), "/var/lib/slipway", "slipway-state", CHECK(dir),
	  .restart = true, HELP("where everything is kept") },
	{ "public_url", TEXT(public_url), "", CHECK(url),
	  HELP("the address users see, for links") },

	{ "http.listen", LIST(http_listen), "127.0.0.1:8080", CHECK(listen),
	  .restart = true, HELP("addresses to listen on; port 0 picks a free one") },
	{ "http.unix_socket", TEXT(http_unix_socket), "/run/slipway/slipwayd.sock", "",
	  CHECK(socket), .restart = true,
	  HELP("socket for local administration; empty for none") },
	{ "http.hosts", LIST(http_hosts), "", CHECK(host),
	  HELP("further names by which requests may address the server") },
	{ "http.max_connections", INT(http_max_connections), "12288", RANGE(16, 65536),
	  .restart = true, HELP("connections at once") },
	{ "http.stream_timeout", DURATION(http_stream_timeout_ms), "60s",
	  RANGE(100, DAYS(1)), .restart = true,
	  HELP("how long a client of a log may take nothing of what waits for it") },
	{ "http.stream_beat", DURATION(http_stream_beat_ms), "15s", RANGE(100, DAYS(1)),
	  .restart = true, HELP("silence in a stream of events before a comment is sent") },
	{ "http.auth", BOOL(http_auth), "true", "false", .restart = true,
	  HELP("whether requests need a token, once there is one") },
	{ "http.trusted_proxies", LIST(http_trusted_proxies), "", CHECK(proxy),
	  HELP("addresses and networks whose X-Forwarded-For is believed; unix for the "
	       "socket") },
	{ "http.user_header", TEXT(http_user_header), "", CHECK(header),
	  HELP("header in which a trusted proxy names the user it let in") },
	{ "http.user_scopes", LIST(http_user_scopes), "read", CHECK(scope),
	  HELP("what such users may do: read, submit, admin") },
	{ "http.cors_origins", LIST(http_cors_origins), "", CHECK(origin),
	  .restart = true, HELP("web sites whose scripts may use the API") },

	{ "log.level", TEXT(log_level), "info", CHECK(log_level),
	  HELP("error, warn, info, debug, or debug:run,store for some parts only") },
	{ "log.max_size", SIZE(log_max_size), "64MiB", RANGE(KIB(64), GIB(16)),
	  HELP("output kept of one attempt of a job; the rest is dropped") },

	{ "queue.max_concurrent", INT(queue_max_concurrent), "10", RANGE(1, 1000),
	  HELP("jobs that run at once, over all runners") },
	{ "queue.default_priority", INT(queue_default_priority), "5", RANGE(0, 10),
	  HELP("priority of jobs that name none; 10 goes first") },
	{ "queue.max_retries", INT(queue_max_retries), "3", RANGE(0, 10),
	  HELP("automatic retries of one job") },
	{ "queue.max_depth", INT(queue_max_depth), "100000", RANGE(1, 10000000),
	  HELP("jobs that may wait") },
	{ "queue.max_bytes", SIZE(queue_max_bytes), "1GiB", RANGE(MIB(1), TIB(1)),
	  HELP("size of the jobs that may wait, together") },
	{ "queue.boost", DURATION(queue_boost_ms), "10m", RANGE(SECONDS(1), DAYS(30)),
	  HELP("waiting this long counts as one level of priority") },
	{ "queue.backoff", DURATION(queue_backoff_ms), "5s", RANGE(0, DAYS(1)),
	  HELP("wait before the first automatic retry, doubled each time") },
	{ "queue.retry_on", LIST(queue_retry_on), "infra", CHECK(retry),
	  HELP("what is retried by itself: infra, failure, timeout") },

	{ "defaults.step_timeout", DURATION(defaults_step_timeout_ms), "300s",
	  RANGE(0, DAYS(30)), HELP("of steps that name none; 0 for the job's") },
	{ "defaults.job_timeout", DURATION(defaults_job_timeout_ms), "3600s",
	  RANGE(0, DAYS(30)), HELP("of jobs that name none") },
	{ "defaults.network", TEXT(defaults_network), "isolated", CHECK(network),
	  HELP("of jobs that name none: none, isolated (outbound only), host") },

	{ "limits.job_timeout", DURATION(limits_job_timeout_ms), "6h",
	  RANGE(0, DAYS(30)), HELP("the most a job may ask for; 0 for no maximum") },
	{ "limits.grace", DURATION(limits_grace_ms), "10s", RANGE(0, SECONDS(3600)),
	  HELP("time between asking a job to end and killing it") },
	{ "limits.fetch_timeout", DURATION(limits_fetch_timeout_ms), "5m",
	  RANGE(SECONDS(1), DAYS(1)), HELP("for fetching a repository") },
	{ "limits.fetch_bytes", SIZE(limits_fetch_bytes), "2GiB", RANGE(MIB(1), TIB(1)),
	  HELP("size of one fetch") },
	{ "limits.fetch_objects", INT(limits_fetch_objects), "1000000",
	  RANGE(1, 100000000), HELP("objects of one fetch") },
	{ "limits.helper_memory", SIZE(limits_helper_memory), "1GiB",
	  RANGE(MIB(64), GIB(64)), HELP("memory of a helper process") },
	{ "limits.db_size", SIZE(limits_db_size), "4GiB", RANGE(MIB(1), TIB(1)),
	  .restart = true, HELP("the most the database may grow to") },
	{ "limits.requests_per_minute", INT(limits_requests_per_minute), "1200", "0",
	  RANGE(0, 1000000),
	  HELP("of one token or address, with bursts of a sixth; 0 for no limit") },
	{ "limits.disk_reserve", SIZE(limits_disk_reserve), "256MiB", RANGE(0, TIB(1)),
	  HELP("free disk space under which new jobs are refused") },

	{ "launch.socket", TEXT(launch_socket), "", CHECK(socket), .restart = true,
	  HELP("where slipway-launch starts sandboxes; empty: slipwayd does so itself") },

	{ "git.allow_hosts", LIST(git_allow_hosts), "", CHECK(glob),
	  HELP("globs of hosts to fetch from; empty for any public host") },
	{ "git.local_roots", LIST(git_local_roots), "", "/", CHECK(root),
	  HELP("directories whose repositories may be used") },

	{ "secrets.dir", TEXT(secrets_dir), "", CHECK(path),
	  HELP("directory (mode 0700) with one file per secret") },

	{ "retention.jobs", DURATION(retention_jobs_ms), "7d", RANGE(0, DAYS(3650)),
	  HELP("how long finished jobs are kept") },
	{ "retention.keep", INT(retention_keep), "10", RANGE(0, 1000000),
	  HELP("the last jobs of each branch that are kept whatever their age") },
};
const size_t conf_nkeys = ARRAY_LEN(conf_keys);

#define CRED(m) &conf_text, offsetof(struct conf_credential, m), ""

static const struct conf_key credential_keys[] = {
	{ "match", CRED(match), CHECK(glob),
	  HELP("glob over host/path of the repositories it is for") },
	{ "username", CRED(username), CHECK(user),
	  HELP("default x-access-token with a token, git with a key") },
	{ "token_file", CRED(token_file), CHECK(path),
	  HELP("file with a token, for https") },
	{ "ssh_key_file", CRED(ssh_key_file), CHECK(path),
	  HELP("private key, for ssh") },
	{ "known_hosts_file", CRED(known_hosts_file), CHECK(path),
	  HELP("host keys to accept, for ssh") },
};

#define RUNNER(m) offsetof(struct conf_runner, m)

static const struct conf_key runner_keys[] = {
	{ "name", &conf_text, RUNNER(name), "", .check = jobspec_check_runner,
	  HELP("what jobs and logs call it") },
	{ "type", &conf_text, RUNNER(type), "local", CHECK(type), HELP("local") },
	{ "labels", &conf_list, RUNNER(labels), "", .check = jobspec_check_label,
	  HELP("what jobs can ask for") },
	{ "capacity", &conf_int, RUNNER(capacity), "0", RANGE(0, 1000),
	  HELP("jobs at once; 0 for the number of processors") },
	{ "user", &conf_text, RUNNER(user), "", CHECK(user),
	  HELP("user of the jobs of a root daemon; default slipway, else nobody") },
	{ "network", &conf_text, RUNNER(network), "", CHECK(network),
	  HELP("instead of defaults.network") },
	{ "allow.repos", &conf_list, RUNNER(allow_repos), "", CHECK(glob),
	  HELP("globs of repositories it serves; empty for all") },
	{ "allow.branches", &conf_list, RUNNER(allow_branches), "", CHECK(glob),
	  HELP("globs of branches it serves; empty for all") },
	{ "allow_unsandboxed", &conf_bool, RUNNER(allow_unsandboxed), "false",
	  HELP("run jobs without a sandbox where bubblewrap is missing") },
};

const struct conf_group conf_groups[] = {
	{ "git.credentials", credential_keys, ARRAY_LEN(credential_keys),
	  sizeof(struct conf_credential), offsetof(struct conf, git_credentials),
	  offsetof(struct conf, ngit_credentials), conf_check_credential,
	  "what opens private repositories; the first match is used" },
	{ "runners", runner_keys, ARRAY_LEN(runner_keys), sizeof(struct conf_runner),
	  offsetof(struct conf, runners), offsetof(struct conf, nrunners),
	  conf_check_runner, "where jobs run; default one, local" },
};
const size_t conf_ngroups = ARRAY_LEN(conf_groups);

void
conf_keys_set_defaults(const struct conf_key *keys, size_t n, void *base, bool dev)
{
	for (size_t i = 0; i < n; i++) {
		const struct conf_key *k = &keys[i];
		const char *text = dev && k->dev ? k->dev : k->def;
		struct err e;

		/* By type, not by conf_key_set(): "" may say "must be given". */
		if (k->type->set(text, conf_at(base, k->offset), &e))
			log_fatal(LOG_CONF, "default of %s: %s", k->key, e.msg);
	}
}

void
conf_keys_clear(const struct conf_key *keys, size_t n, void *base)
{
	for (size_t i = 0; i < n; i++)
		keys[i].type->clear(conf_at(base, keys[i].offset));
}

#define NEAR_MAX 48

/* Levenshtein's distance, of short texts. */
static size_t
conf_distance(const char *a, const char *b)
{
	size_t row[NEAR_MAX + 1], na = strlen(a), nb = strlen(b);

	if (na > NEAR_MAX || nb > NEAR_MAX)
		return NEAR_MAX;
	for (size_t j = 0; j <= nb; j++)
		row[j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[nb];
}

bool
conf_keys_nearest(const struct conf_key *keys, size_t n, const char *key, char *out,
		  size_t size)
{
	size_t best = strlen(key) / 3 + 1, dots = 0, distance;
	char cut[NEAR_MAX + 1];
	bool found = false;

	for (const char *p = key; *p; p++)
		dots += *p == '.';
	for (size_t i = 0; i < n; i++) {
		size_t len = 0, left = dots;

		/* As deep as the key in question, so that sections are found too. */
		for (; keys[i].key[len]; len++)
			if (keys[i].key[len] == '.' && !left--)
				break;
		if (len >= sizeof(cut))
			continue;
		memcpy(cut, keys[i].key, len);
		cut[len] = '\0';
		distance = conf_distance(key, cut);
		if (distance < best) {
			best = distance;
			found = str_copy(out, size, cut);
		}
	}
	return found;
}
