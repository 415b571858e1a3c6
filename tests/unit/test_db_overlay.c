#include <criterion/criterion.h>

#include "db_overlay.h"
#include "slipway/mem.h"

/* Two letters of four: short enough for most rows to meet one another. */
#define ROWS 16
#define OPS 400

static struct db_overlay overlay;
static struct op ops[OPS];
static char names[ROWS][2];
static struct op *newest[ROWS]; /* the model: what is shown of each row */

static void
setup(void)
{
	for (unsigned i = 0; i < ROWS; i++) {
		names[i][0] = (char)('a' + i / 4);
		names[i][1] = (char)('a' + i % 4);
	}
	srand(11);
}

TestSuite(db_overlay, .init = setup);

static struct db_val
row_of(unsigned i)
{
	return (struct db_val){ names[i], 2 };
}

static struct op *
model_seek(int i, bool reverse, bool skip)
{
	for (i += skip ? (reverse ? -1 : 1) : 0; i >= 0 && i < ROWS;
	     i += reverse ? -1 : 1)
		if (newest[i])
			return newest[i];
	return NULL;
}

static void
expect_like_model(void)
{
	for (unsigned i = 0; i < ROWS; i++) {
		struct db_val row = row_of(i);

		cr_assert_eq(db_overlay_get(&overlay, &row), newest[i]);
		for (int how = 0; how < 4; how++)
			cr_assert_eq(db_overlay_seek(&overlay, &row, how & 1, how & 2),
				     model_seek((int)i, how & 1, how & 2));
	}
}

Test(db_overlay, shows_the_newest_of_each_row_in_order)
{
	unsigned row_numbers[OPS], hidden = 0;

	expect_like_model();
	for (unsigned n = 0; n < OPS; n++) {
		unsigned i = row_numbers[n] = (unsigned)rand() % ROWS;

		ops[n].row = row_of(i);
		db_overlay_show(&overlay, &ops[n]);
		newest[i] = &ops[n];
		expect_like_model();
		/* Oldest first, as batches leave; now and then down to nothing. */
		for (unsigned until = (unsigned)rand() % (n + 2); hidden < until;
		     hidden++) {
			db_overlay_hide(&overlay, &ops[hidden]);
			if (newest[row_numbers[hidden]] == &ops[hidden])
				newest[row_numbers[hidden]] = NULL;
			expect_like_model();
		}
	}
}

Test(db_overlay, finds_between_rows_and_beyond_them)
{
	struct db_val b = { "b", 1 }, a = { "a", 1 }, bb = { "bb", 2 }, c = { "c", 1 };
	struct op one = { .row = b };

	db_overlay_show(&overlay, &one);
	cr_expect_eq(db_overlay_seek(&overlay, &a, false, false), &one);
	cr_expect_null(db_overlay_seek(&overlay, &a, true, false));
	cr_expect_null(db_overlay_seek(&overlay, &bb, false, false));
	cr_expect_eq(db_overlay_seek(&overlay, &bb, true, false), &one);
	cr_expect_eq(db_overlay_seek(&overlay, &c, true, true), &one);
	cr_expect_null(db_overlay_get(&overlay, &bb));
	db_overlay_hide(&overlay, &one);
	db_overlay_hide(&overlay, &one);
	cr_expect_null(overlay.root);
}

static unsigned
depth(const struct op *op)
{
	unsigned left, right;

	if (!op)
		return 0;
	left = depth(op->left);
	right = depth(op->right);
	return 1 + (left > right ? left : right);
}

Test(db_overlay, stays_shallow_when_rows_come_in_order)
{
	enum { N = 10000 };
	struct op *many = xcalloc(N, sizeof(*many));
	uint32_t *keys = xcalloc(N, sizeof(*keys));

	for (uint32_t i = 0; i < N; i++) {
		keys[i] = __builtin_bswap32(i);
		many[i].row = (struct db_val){ &keys[i], sizeof(keys[i]) };
		db_overlay_show(&overlay, &many[i]);
	}
	/* 14 levels would do; a list has 10 000. */
	cr_expect_leq(depth(overlay.root), 60);
	free(keys);
	free(many);
}
