/*
 * retention: forgets old jobs, records and logs, in small slices. Loop thread only.
 *
 * A final job goes when it is older than retention.jobs, unless it is among the last
 * retention.keep of its repository's branch. Runs at start and hourly.
 */
#pragma once

struct engine;
struct retention;

struct retention *retention_new(struct engine *en);
void retention_free(struct retention *r);
