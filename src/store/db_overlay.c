#include "db_overlay.h"

static uint32_t
next_weight(struct db_overlay *o)
{
	/* xorshift; it must not begin at zero */
	uint32_t x = o->random ? o->random : 0x9e3779b9;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return o->random = x;
}

/* Where op with this row is, or would be if it had no weight. */
static struct op **
find(struct op **at, const struct db_val *row)
{
	int d;

	while (*at && (d = db_row_compare(row, &(*at)->row)) != 0)
		at = d < 0 ? &(*at)->left : &(*at)->right;
	return at;
}

static void
split(struct op *t, const struct db_val *row, struct op **less, struct op **more)
{
	while (t) {
		if (db_row_compare(&t->row, row) < 0) {
			*less = t;
			less = &t->right;
			t = t->right;
		} else {
			*more = t;
			more = &t->left;
			t = t->left;
		}
	}
	*less = *more = NULL;
}

/* All of a is before all of b. */
static void
merge(struct op **at, struct op *a, struct op *b)
{
	while (a && b) {
		if (a->weight > b->weight) {
			*at = a;
			at = &a->right;
			a = a->right;
		} else {
			*at = b;
			at = &b->left;
			b = b->left;
		}
	}
	*at = a ? a : b;
}

void
db_overlay_show(struct db_overlay *o, struct op *op)
{
	struct op **at = find(&o->root, &op->row), *old = *at;

	op->shown = true;
	if (old) {
		op->left = old->left;
		op->right = old->right;
		op->weight = old->weight;
		old->shown = false;
		*at = op;
		return;
	}
	op->weight = next_weight(o);
	at = &o->root;
	while (*at && (*at)->weight >= op->weight)
		at = db_row_compare(&op->row, &(*at)->row) < 0 ? &(*at)->left
							       : &(*at)->right;
	split(*at, &op->row, &op->left, &op->right);
	*at = op;
}

void
db_overlay_hide(struct db_overlay *o, struct op *op)
{
	if (!op->shown)
		return;
	op->shown = false;
	merge(find(&o->root, &op->row), op->left, op->right);
}

struct op *
db_overlay_get(const struct db_overlay *o, const struct db_val *row)
{
	struct op *root = o->root;

	return *find(&root, row);
}

struct op *
db_overlay_seek(const struct db_overlay *o, const struct db_val *row, bool reverse,
		bool skip)
{
	struct op *found = NULL, *op = o->root;
	int d;

	while (op) {
		d = db_row_compare(&op->row, row);
		if (d == 0 && !skip)
			return op;
		if (reverse ? d < 0 : d > 0) {
			found = op;
			op = reverse ? op->right : op->left;
		} else {
			op = reverse ? op->left : op->right;
		}
	}
	return found;
}
