#include "slipway/checkout.h"
#include "slipway/giturl.h"

int
checkout_check_url(const struct conf *conf, const char *repo, struct err *e)
{
	struct giturl_policy p = {
		.hosts = conf->git_allow_hosts.v,
		.nhosts = conf->git_allow_hosts.n,
		.roots = conf->git_local_roots.v,
		.nroots = conf->git_local_roots.n,
	};
	struct giturl u;

	if (giturl_parse(repo, &u, e))
		return -1;
	return giturl_check(&u, &p, e);
}
