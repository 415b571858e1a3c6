#include "slipway/jobspec.h"

#include <stdio.h>

#include "jobspec_check.h"
#include "slipway/mem.h"

static const char *const networks[] = {
	[NETWORK_DEFAULT] = "",
	[NETWORK_NONE] = "none",
	[NETWORK_ISOLATED] = "isolated",
	[NETWORK_HOST] = "host",
};

const char *
jobspec_network_name(enum spec_network n)
{
	return (unsigned)n < ARRAY_LEN(networks) ? networks[n] : "";
}

static void
jobspec_free_env(struct env_var *env, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(env[i].name);
		free(env[i].value);
	}
	free(env);
}

static void
jobspec_free_secrets(struct secret_ref *refs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(refs[i].env);
		free(refs[i].name);
	}
	free(refs);
}

static void
jobspec_free_strings(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

static void
jobspec_free_step(struct spec_step *s)
{
	free(s->name);
	free(s->run);
	free(s->cwd);
	free(s->shell);
	jobspec_free_env(s->env, s->nenv);
	jobspec_free_secrets(s->secrets, s->nsecrets);
}

void
jobspec_free(struct jobspec *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nsteps; i++)
		jobspec_free_step(&s->steps[i]);
	free(s->steps);
	free(s->id);
	free(s->repo);
	free(s->commit);
	free(s->branch);
	jobspec_free_env(s->env, s->nenv);
	jobspec_free_secrets(s->secrets, s->nsecrets);
	jobspec_free_strings(s->cache_keys, s->ncache_keys);
	free(s->image);
	free(s->runner);
	free(s->environment);
	jobspec_free_strings(s->labels, s->nlabels);
	free(s);
}

bool
jobspec_needs(const struct jobspec *s, enum spec_network default_network, char *out,
	      size_t size)
{
	enum spec_network network = s->network ? s->network : default_network;
	cleanup_strbuf struct strbuf b = { 0 };

	for (size_t i = 0; i < s->nlabels; i++)
		strbuf_addf(&b, "%s%s", i ? "," : "labels=", s->labels[i]);
	if (s->nlabels)
		strbuf_addc(&b, ';');
	if (s->runner)
		strbuf_addf(&b, "runner=%s;", s->runner);
	if (s->image)
		strbuf_adds(&b, "image;");
	if (s->gpus)
		strbuf_addf(&b, "gpus=%u;", s->gpus);
	strbuf_addf(&b, "network=%s",
		    network == NETWORK_DEFAULT ? "default" : jobspec_network_name(network));
	return str_copy(out, size, strbuf_str(&b));
}

static bool
needs_labels(struct job_needs *n, const char *value)
{
	for (;;) {
		size_t len = strcspn(value, ",");
		char *label = n->labels[n->nlabels];

		if (n->nlabels == JOBSPEC_LABELS_MAX || len > JOBSPEC_NAME_MAX)
			return false;
		memcpy(label, value, len);
		label[len] = '\0';
		if (jobspec_check_label(label))
			return false;
		n->nlabels++;
		value += len;
		if (!*value++)
			return true;
	}
}

static bool
needs_runner(struct job_needs *n, const char *value)
{
	return !jobspec_check_runner(value) && STR_COPY(n->runner, value);
}

static bool
needs_image(struct job_needs *n, const char *value)
{
	n->image = true;
	return !*value;
}

static bool
needs_gpus(struct job_needs *n, const char *value)
{
	size_t digits = strspn(value, "0123456789");

	if (!digits || digits > 9 || value[digits] || value[0] == '0')
		return false;
	n->gpus = (unsigned)strtoul(value, NULL, 10);
	return true;
}

static bool
needs_network(struct job_needs *n, const char *value)
{
	if (!strcmp(value, "default"))
		return true;
	for (unsigned i = NETWORK_NONE; i < ARRAY_LEN(networks); i++) {
		if (!strcmp(networks[i], value)) {
			n->network = (enum spec_network)i;
			return true;
		}
	}
	return false;
}

static const struct {
	const char *key;
	bool (*parse)(struct job_needs *, const char *);
} needs_keys[] = {
	{ "labels=", needs_labels },   { "runner=", needs_runner },
	{ "image", needs_image },      { "gpus=", needs_gpus },
	{ "network=", needs_network },
};

bool
job_needs_parse(struct job_needs *n, const char *text)
{
	size_t next = 0; /* the order is fixed, so each key comes once */

	memset(n, 0, sizeof(*n));
	while (*text) {
		size_t len = strcspn(text, ";"), klen = 0;
		cleanup_free char *item = xstrndup(text, len);

		for (; next < ARRAY_LEN(needs_keys); next++) {
			klen = strlen(needs_keys[next].key);
			if (!strncmp(item, needs_keys[next].key, klen))
				break;
		}
		if (next == ARRAY_LEN(needs_keys) ||
		    !needs_keys[next++].parse(n, item + klen))
			return false;
		text += len;
		if (*text == ';' && !*++text)
			return false;
	}
	/* The last key is always there. */
	return next == ARRAY_LEN(needs_keys);
}
