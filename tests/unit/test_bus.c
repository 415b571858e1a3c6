#include <criterion/criterion.h>

#include "slipway/bus.h"

static struct bus *bus;

static void
start(void)
{
	bus = bus_new();
}

static void
stop(void)
{
	bus_free(bus);
}

TestSuite(bus, .init = start, .fini = stop);

static void
on_count(void *arg, const struct bus_event *ev)
{
	(*(int *)arg)++;
}

static void
publish(const char *job)
{
	const struct bus_event ev = { .what = BUS_JOB, .job = job };

	bus_publish(bus, &ev);
}

Test(bus, tells_only_who_asked_for_that_job)
{
	int a = 0, all = 0;
	struct bus_sub *sa = bus_subscribe(bus, "a", on_count, &a);

	bus_subscribe(bus, NULL, on_count, &all);
	publish("a");
	publish("b");
	cr_assert_eq(a, 1);
	cr_assert_eq(all, 2);
	bus_unsubscribe(sa);
	publish("a");
	cr_assert_eq(a, 1);
}

struct pair {
	struct bus_sub *self, *other;
	int calls;
};

static void
on_leave_both(void *arg, const struct bus_event *ev)
{
	struct pair *p = arg;

	p->calls++;
	bus_unsubscribe(p->self);
	bus_unsubscribe(p->other);
}

Test(bus, who_leaves_during_an_event_is_not_called_any_more)
{
	struct pair p = { 0 };
	int other = 0;

	p.self = bus_subscribe(bus, "a", on_leave_both, &p);
	p.other = bus_subscribe(bus, "a", on_count, &other);
	publish("a");
	publish("a");
	cr_assert_eq(p.calls, 1);
	cr_assert_eq(other, 0);
}

static void
on_join(void *arg, const struct bus_event *ev)
{
	bus_subscribe(bus, "a", on_count, arg);
}

Test(bus, who_joins_during_an_event_misses_it)
{
	int late = 0;
	struct bus_sub *s = bus_subscribe(bus, "a", on_join, &late);

	publish("a");
	cr_assert_eq(late, 0);
	bus_unsubscribe(s);
	publish("a");
	cr_assert_eq(late, 1);
}
