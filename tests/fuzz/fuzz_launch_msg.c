/* What slipwayd and slipway-launch read of each other, and whatever a request may ask
 * for. What decodes encodes to the same. */
#include "fuzz.h"
#include "launch/policy.h"
#include "slipway/launch_msg.h"

static void
check_start(const uint8_t *data, size_t size)
{
	static char bwrap[] = "/usr/bin/bwrap", slirp[] = "/usr/bin/slirp4netns",
		    init[] = "/usr/libexec/slipway/slipway-init", state[] = "";
	static const struct policy policy = { bwrap, slirp, init, state };
	struct launch_start s;
	struct wire_w w;
	struct err e = { 0 };

	if (!launch_start_decode(data, size, &s))
		return;
	fuzz_must(s.argv[0] && s.nfds <= LAUNCH_MSG_FDS &&
		  s.nlimits <= LAUNCH_MSG_LIMITS);
	fuzz_must(launch_start_encode(&s, &w));
	fuzz_must(w.len == size && !memcmp(w.data, data, size));
	wire_w_free(&w);
	if (!policy_check(&policy, s.argv, &e))
		fuzz_must(!strcmp(s.argv[0], bwrap) || !strcmp(s.argv[0], init));
	launch_start_free(&s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct launch_started a;
	char group[LAUNCH_MSG_GROUP];

	check_start(data, size);
	if (launch_started_decode(data, size, &a))
		fuzz_must((a.code == ERR_NONE) == (a.pid > 0));
	if (launch_remove_decode(data, size, group, sizeof(group)))
		fuzz_must(!strchr(group, '/'));
	launch_welcome_decode(data, size, group, sizeof(group));
	launch_hello_decode(data, size);
	return 0;
}
