/*
 * slipway-worker: does tasks on untrusted bytes, for slipwayd. Not for people.
 */
#include <stdio.h>
#include <string.h>

#include "lg.h"
#include "serve.h"
#include "task.h"

int
main(int argc, char **argv)
{
	struct err e = { 0 };

	if (argc == 2 && !strcmp(argv[1], "nursery"))
		return serve_main();
	if (argc == 2 && !strcmp(argv[1], "task")) {
		if (lg_init(&e)) {
			fprintf(stderr, "slipway-worker: %s\n", e.msg);
			return 1;
		}
		task_main();
	}
	fprintf(stderr, "slipway-worker is started by slipwayd: "
		"slipway-worker nursery | task\n");
	return 64;
}
