#include <criterion/criterion.h>
#include <string.h>

#include "slipway/jobspec.h"
#include "slipway/mem.h"

#define JOB                                                                            \
	"{\"repo\":\"https://h/r\",\"commit\":\"main\","                               \
	"\"steps\":[{\"name\":\"a\",\"run\":\"b\"}]"

static const char *
needs_of(const char *json)
{
	static char out[512];
	struct err e;
	cleanup_jobspec struct jobspec *s = jobspec_parse(json, strlen(json), &e);

	cr_assert(s, "%s", e.msg);
	cr_assert(jobspec_needs(s, NETWORK_ISOLATED, out, sizeof(out)));
	return out;
}

Test(job_needs, needs_are_equal_for_equal_requirements)
{
	cr_assert_str_eq(needs_of(JOB "}"), "network=isolated");
	cr_assert_str_eq(needs_of(JOB ",\"network\":\"isolated\"}"), "network=isolated");
	cr_assert_str_eq(needs_of(JOB
				  ",\"labels\":[\"linux\",\"gpu\",\"linux\"],"
				  "\"image\":\"x\",\"runner\":\"vps\","
				  "\"network\":\"none\",\"resources\":{\"gpus\":2}}"),
			 "labels=gpu,linux;runner=vps;image;gpus=2;network=none");
}

Test(job_needs, needs_survive_parsing)
{
	struct job_needs n;

	cr_assert(job_needs_parse(
		&n, "labels=gpu,linux;runner=vps;image;gpus=2;network=none"));
	cr_assert_eq(n.nlabels, 2);
	cr_assert_str_eq(n.labels[0], "gpu");
	cr_assert_str_eq(n.labels[1], "linux");
	cr_assert_str_eq(n.runner, "vps");
	cr_assert(n.image);
	cr_assert_eq(n.gpus, 2);
	cr_assert_eq(n.network, NETWORK_NONE);
	cr_assert(job_needs_parse(&n, "network=host"));
	cr_assert_eq(n.nlabels, 0);
	cr_assert_str_eq(n.runner, "");
	cr_assert_not(n.image);
	cr_assert_eq(n.network, NETWORK_HOST);
}

Test(job_needs, damaged_needs_are_refused)
{
	static const char *const bad[] = { "",
					   "network=",
					   "network=x",
					   "labels=;network=none",
					   "image",
					   "labels=a,;network=none",
					   "network=none;",
					   "network=none;image",
					   "runner=;network=none",
					   "imagex;network=none",
					   "gpus=0;network=none",
					   "gpus=x;network=none",
					   "x=1;network=none",
					   "network=none;network=none",
					   "labels=a b;network=none" };
	struct job_needs n;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert_not(job_needs_parse(&n, bad[i]), "%s", bad[i]);
}

Test(job_needs, labels_that_do_not_fit_are_refused)
{
	cleanup_strbuf struct strbuf b = { 0 };
	struct err e;

	strbuf_adds(&b, JOB);
	for (int i = 0; i < 5; i++)
		strbuf_addf(&b, "%s\"%0110d\"", i ? "," : ",\"labels\":[", i);
	strbuf_adds(&b, "]}");
	cr_assert_null(jobspec_parse(b.data, b.len, &e));
	cr_assert_str_eq(e.field, "labels");
	cr_assert(strstr(e.msg, "too long together"));
}

Test(job_needs, network_names)
{
	cr_assert_str_eq(jobspec_network_name(NETWORK_DEFAULT), "");
	cr_assert_str_eq(jobspec_network_name(NETWORK_ISOLATED), "isolated");
	cr_assert_str_eq(jobspec_network_name((enum spec_network)99), "");
}
