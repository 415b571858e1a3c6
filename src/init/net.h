/*
 * net: keeps a sandbox's outbound network: bwrap, and slirp4netns beside it.
 *
 * Runs outside the sandbox, unprivileged. The sandbox stands still until slirp4netns
 * is ready in its network namespace. slirp4netns ends when the last holder of a pipe
 * is gone: this process, or bwrap and the sandbox's PID 1, which inherit it; so it
 * lives as long as the sandbox even if this process is killed. Of the descriptors
 * meant for bwrap none stays open here: locks on them speak of the sandbox alone.
 */
#pragma once

#define NET_EXIT_FAILED 121

/* Arguments after "net". bwrap's status (128 + signal), NET_EXIT_FAILED after a line
 * on stderr, or -1: wrong usage. */
int net_run(int argc, char **argv);
