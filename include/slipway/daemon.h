/*
 * daemon: slipwayd from its command line to its exit.
 */
#pragma once

/* Returns the exit code (sysexits). */
int daemon_main(int argc, char **argv);
