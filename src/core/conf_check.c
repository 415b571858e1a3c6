#include <arpa/inet.h>
#include <sys/un.h>

#include "conf_table.h"
#include "jobspec_check.h"
#include "slipway/log.h"
#include "slipway/mem.h"
#include "slipway/netaddr.h"
#include "slipway/token.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

const char *
conf_check_dir(const char *s)
{
	if (!*s)
		return "must not be empty";
	return jobspec_has_control(s) ? "must not hold control characters" : NULL;
}

const char *
conf_check_path(const char *s)
{
	if (*s && *s != '/')
		return "must be an absolute path";
	return jobspec_has_control(s) ? "must not hold control characters" : NULL;
}

const char *
conf_check_root(const char *s)
{
	return *s ? conf_check_path(s) : "must be an absolute path";
}

const char *
conf_check_url(const char *s)
{
	const char *host;

	if (!*s)
		return NULL;
	host = strstr(s, "://");
	if (strncmp(s, "https://", 8) && strncmp(s, "http://", 7))
		return "must begin with https:// or http://";
	if (!strchr(ALNUM "[", host[3]) || !host[3])
		return "has no host";
	return jobspec_has_control(s) || strpbrk(s, " ?#")
		       ? "must not hold spaces, control characters, ? or #"
		       : NULL;
}

const char *
conf_check_listen(const char *s)
{
	static const char wrong[] =
		"must be ADDRESS:PORT with a numeric address, as in "
		"127.0.0.1:8080 or [::1]:8080";
	unsigned char addr[sizeof(struct in6_addr)];
	const char *colon = strrchr(s, ':');
	char host[INET6_ADDRSTRLEN];
	bool six = s[0] == '[';
	size_t digits;

	if (!colon || (size_t)(colon - s) >= sizeof(host))
		return wrong;
	digits = strspn(colon + 1, "0123456789");
	if (!digits || digits > 5 || colon[1 + digits] ||
	    strtoul(colon + 1, NULL, 10) > 65535)
		return wrong;
	memcpy(host, s, (size_t)(colon - s));
	host[colon - s] = '\0';
	if (six && (colon == s + 1 || colon[-1] != ']'))
		return wrong;
	if (six)
		host[colon - s - 1] = '\0';
	return inet_pton(six ? AF_INET6 : AF_INET, host + six, addr) == 1 ? NULL
									  : wrong;
}

const char *
conf_check_socket(const char *s)
{
	if (strlen(s) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return "is too long for a socket's path";
	return conf_check_path(s);
}

const char *
conf_check_host(const char *s)
{
	return *s && !s[strspn(s, ALNUM ".-_:[]")] ? NULL : "must be a host's name";
}

const char *
conf_check_proxy(const char *s)
{
	struct netaddr_net net;

	return strcmp(s, "unix") ? netaddr_parse_net(s, &net) : NULL;
}

const char *
conf_check_header(const char *s)
{
	return !s[strspn(s, ALNUM "-_")] ? NULL : "must be a header's name";
}

const char *
conf_check_scope(const char *s)
{
	return token_scope_parse(s) ? NULL : "must be read, submit or admin";
}

const char *
conf_check_origin(const char *s)
{
	const char *host = strstr(s, "://");

	if (!*s || conf_check_url(s))
		return "must be an origin, as in https://app.example.org";
	/* Browsers send it in this form, and it is compared as a text. */
	return host[3 + strspn(host + 3, "abcdefghijklmnopqrstuvwxyz0123456789.-_:[]")]
		       ? "must be an origin in lower case, without a path"
		       : NULL;
}

const char *
conf_check_glob(const char *s)
{
	if (!*s)
		return "must not be empty";
	return jobspec_has_control(s) || strchr(s, ' ')
		       ? "must not hold spaces or control characters"
		       : NULL;
}

const char *
conf_check_log_level(const char *s)
{
	return log_level_is_valid(s) ? NULL
				     : "must be error, warn, info, debug, or as in "
				       "debug:run,store";
}

static bool
conf_is_one_of(const char *s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(words[i], s))
			return true;
	return false;
}

const char *
conf_check_network(const char *s)
{
	static const char *const words[] = { "none", "isolated", "host" };

	return conf_is_one_of(s, words, ARRAY_LEN(words))
		       ? NULL
		       : "must be none, isolated or host";
}

const char *
conf_check_retry(const char *s)
{
	static const char *const words[] = { "infra", "failure", "timeout" };

	return conf_is_one_of(s, words, ARRAY_LEN(words))
		       ? NULL
		       : "must be infra, failure or timeout";
}

const char *
conf_check_type(const char *s)
{
	static const char *const later[] = { "docker", "swarm", "ssh", "github" };

	if (!strcmp(s, "local"))
		return NULL;
	return conf_is_one_of(s, later, ARRAY_LEN(later)) ? "is not supported yet"
							  : "must be local";
}

const char *
conf_check_user(const char *s)
{
	return strlen(s) <= 64 && !s[strspn(s, ALNUM "._-@+")] && s[0] != '-'
		       ? NULL
		       : "not a user's name";
}

int
conf_check_runner(const struct conf *c, struct err *e)
{
	const struct conf_runner *last = &c->runners[c->nrunners - 1];

	if (!*last->name)
		return err_set(e, ERR_INVALID, "name is missing");
	for (const struct conf_runner *r = c->runners; r < last; r++)
		if (!strcmp(r->name, last->name))
			return err_set(e, ERR_INVALID, "there are two runners named %s",
				       r->name);
	return 0;
}

int
conf_check_credential(const struct conf *c, struct err *e)
{
	const struct conf_credential *last =
		&c->git_credentials[c->ngit_credentials - 1];

	if (!*last->match)
		return err_set(e, ERR_INVALID, "match is missing");
	if (!*last->token_file == !*last->ssh_key_file)
		return err_set(e, ERR_INVALID,
			       "needs one of token_file and ssh_key_file");
	if (*last->known_hosts_file && !*last->ssh_key_file)
		return err_set(e, ERR_INVALID,
			       "known_hosts_file goes with ssh_key_file");
	return 0;
}
