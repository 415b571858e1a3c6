/* OpenSSH's known_hosts. */
#include "fuzz.h"
#include "known_hosts.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[] = "\0\0\0\013ssh-ed25519\0\0\0\040"
				     "0123456789abcdef0123456789abcdef";

	known_hosts_check((const char *)data, size, "example.org", 22, key,
			  sizeof(key) - 1);
	known_hosts_check((const char *)data, size, "example.org", 2222, key,
			  sizeof(key) - 1);
	return 0;
}
