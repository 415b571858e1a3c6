#include "mask_forms.h"

#include <stdlib.h>
#include <string.h>

#include "slipway/mask.h"

static const char base64_std[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64_url[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

static void
form_free(struct mask_form *form)
{
	memset(form->data, 0, form->len);
	__asm__ volatile("" : : "r"(form->data) : "memory");
	free(form->data);
}

/* gcc 12 loses sight of what realloc moved and takes it for a leak. */
#ifndef __clang__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif
/* A form of up to len bytes to write into; NULL when memory is out. */
static struct mask_form *
forms_push(struct mask_forms *f, size_t len)
{
	struct mask_form *form;

	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 32;
		struct mask_form *v = realloc(f->v, cap * sizeof(*v));

		if (!v)
			return NULL;
		f->v = v;
		f->cap = cap;
	}
	form = &f->v[f->n];
	form->data = malloc(len + 1);
	form->len = 0;
	if (!form->data)
		return NULL;
	f->n++;
	return form;
}
#ifndef __clang__
#pragma GCC diagnostic pop
#endif

static void
forms_drop_short(struct mask_forms *f)
{
	if (f->v[f->n - 1].len < MASK_MIN)
		form_free(&f->v[--f->n]);
}

static bool
forms_add_raw(struct mask_forms *f, const uint8_t *data, size_t len)
{
	struct mask_form *form = forms_push(f, len);

	if (!form)
		return false;
	memcpy(form->data, data, len);
	form->len = len;
	forms_drop_short(f);
	return true;
}

static bool
forms_add_lines(struct mask_forms *f, const uint8_t *secret, size_t len)
{
	const uint8_t *p = secret, *end = secret + len;

	while (p < end) {
		const uint8_t *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl ? nl : end) - p);

		if (!forms_add_raw(f, p, n))
			return false;
		if (n && p[n - 1] == '\r' && !forms_add_raw(f, p, n - 1))
			return false;
		p = nl ? nl + 1 : end;
	}
	return true;
}

/*
 * The secret as the part of a longer text that begins `lead` bytes (modulo 3) before
 * it: only the characters all of whose six bits are the secret's own.
 */
static bool
forms_add_base64(struct mask_forms *f, const uint8_t *secret, size_t len,
		 size_t lead, const char *alphabet)
{
	size_t first = (lead * 8 + 5) / 6, last = (lead + len) * 8 / 6;
	struct mask_form *form = forms_push(f, last - first);

	if (!form)
		return false;
	for (size_t i = first; i < last; i++) {
		size_t bit = i * 6 - lead * 8, at = bit / 8;
		unsigned v = (unsigned)secret[at] << 8;

		if (at + 1 < len)
			v |= secret[at + 1];
		form->data[form->len++] =
			(uint8_t)alphabet[v >> (10 - bit % 8) & 63];
	}
	forms_drop_short(f);
	return true;
}

static bool
is_unreserved(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("-_.~", c));
}

/* Bytes that some encoders write in another way: paths keep their slashes, forms make
 * a space a plus. The first one is nobody's: all by the standard. */
static const struct url_habit {
	uint8_t raw, written;
} url_habits[] = { { 0, 0 }, { '/', '/' }, { ' ', '+' } };

static bool
forms_add_url(struct mask_forms *f, const uint8_t *secret, size_t len,
	      const char *digits, const struct url_habit *habit)
{
	struct mask_form *form = forms_push(f, len * 3);

	if (!form)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (habit->raw && secret[i] == habit->raw) {
			form->data[form->len++] = (uint8_t)habit->written;
			continue;
		}
		if (is_unreserved(secret[i])) {
			form->data[form->len++] = secret[i];
			continue;
		}
		form->data[form->len++] = '%';
		form->data[form->len++] = (uint8_t)digits[secret[i] >> 4];
		form->data[form->len++] = (uint8_t)digits[secret[i] & 15];
	}
	return true;
}

static bool
forms_add_urls(struct mask_forms *f, const uint8_t *secret, size_t len)
{
	for (size_t i = 0; i < sizeof(url_habits) / sizeof(*url_habits); i++) {
		const struct url_habit *habit = &url_habits[i];

		if (habit->raw && !memchr(secret, habit->raw, len))
			continue;
		if (!forms_add_url(f, secret, len, hex_lower, habit) ||
		    !forms_add_url(f, secret, len, hex_upper, habit))
			return false;
	}
	return true;
}

static bool
forms_add_hex(struct mask_forms *f, const uint8_t *secret, size_t len,
	      const char *digits)
{
	struct mask_form *form = forms_push(f, len * 2);

	if (!form)
		return false;
	for (size_t i = 0; i < len; i++) {
		form->data[form->len++] = (uint8_t)digits[secret[i] >> 4];
		form->data[form->len++] = (uint8_t)digits[secret[i] & 15];
	}
	return true;
}

bool
mask_forms_add(struct mask_forms *f, const uint8_t *secret, size_t len)
{
	if (!forms_add_raw(f, secret, len) || !forms_add_lines(f, secret, len))
		return false;
	for (size_t lead = 0; lead < 3; lead++)
		if (!forms_add_base64(f, secret, len, lead, base64_std) ||
		    !forms_add_base64(f, secret, len, lead, base64_url))
			return false;
	return forms_add_urls(f, secret, len) &&
	       forms_add_hex(f, secret, len, hex_lower) &&
	       forms_add_hex(f, secret, len, hex_upper);
}

static int
form_compare(const void *a, const void *b)
{
	const struct mask_form *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? 1 : -1;
	return memcmp(x->data, y->data, x->len);
}

void
mask_forms_sort(struct mask_forms *f)
{
	size_t kept = 1;

	if (!f->n)
		return;
	qsort(f->v, f->n, sizeof(*f->v), form_compare);
	for (size_t i = 1; i < f->n; i++) {
		if (form_compare(&f->v[i], &f->v[kept - 1]) == 0)
			form_free(&f->v[i]);
		else
			f->v[kept++] = f->v[i];
	}
	f->n = kept;
}

void
mask_forms_clear(struct mask_forms *f)
{
	for (size_t i = 0; i < f->n; i++)
		form_free(&f->v[i]);
	free(f->v);
	*f = (struct mask_forms){ 0 };
}
