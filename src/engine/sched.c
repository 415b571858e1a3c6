#include "sched.h"

#include "slipway/mem.h"

/* A treap with subtree sizes: balanced by random weights, gives ranks. */

static bool
item_before(const struct sched_tree *t, const struct sched_item *a,
	    const struct sched_item *b)
{
	int64_t ka = t->by_due ? a->due : a->key;
	int64_t kb = t->by_due ? b->due : b->key;

	return ka != kb ? ka < kb : a->seq < b->seq;
}

static uint32_t
item_size(const struct sched_item *it)
{
	return it ? it->size : 0;
}

static void
item_update(struct sched_item *it)
{
	it->size = 1 + item_size(it->left) + item_size(it->right);
}

/* Everything before pivot goes to *left, the rest to *right. */
static void
tree_split(const struct sched_tree *t, struct sched_item *root,
	   const struct sched_item *pivot, struct sched_item **left,
	   struct sched_item **right)
{
	if (!root) {
		*left = *right = NULL;
		return;
	}
	if (item_before(t, root, pivot)) {
		tree_split(t, root->right, pivot, &root->right, right);
		*left = root;
	} else {
		tree_split(t, root->left, pivot, left, &root->left);
		*right = root;
	}
	item_update(root);
}

static struct sched_item *
tree_merge(struct sched_item *a, struct sched_item *b)
{
	if (!a || !b)
		return a ? a : b;
	if (a->weight >= b->weight) {
		a->right = tree_merge(a->right, b);
		item_update(a);
		return a;
	}
	b->left = tree_merge(a, b->left);
	item_update(b);
	return b;
}

static void
tree_insert(struct sched_tree *t, struct sched_item *it)
{
	struct sched_item *left, *right;

	/* Any well-spread function of the sequence serves as the random weight. */
	it->weight = (uint32_t)((it->seq * 0x9e3779b97f4a7c15u) >> 32);
	it->left = it->right = NULL;
	it->size = 1;
	tree_split(t, t->root, it, &left, &right);
	t->root = tree_merge(tree_merge(left, it), right);
}

static void
tree_erase(struct sched_tree *t, struct sched_item *it)
{
	struct sched_item **link = &t->root;

	while (*link != it) {
		(*link)->size--;
		link = item_before(t, it, *link) ? &(*link)->left : &(*link)->right;
	}
	*link = tree_merge(it->left, it->right);
	it->left = it->right = NULL;
}

static struct sched_item *
tree_first(const struct sched_tree *t)
{
	struct sched_item *it = t->root;

	while (it && it->left)
		it = it->left;
	return it;
}

static long
tree_rank(const struct sched_tree *t, const struct sched_item *it)
{
	const struct sched_item *at = t->root;
	long rank = 1;

	while (at && at != it) {
		if (item_before(t, it, at)) {
			at = at->left;
		} else {
			rank += 1 + (long)item_size(at->left);
			at = at->right;
		}
	}
	return rank + (long)item_size(it->left);
}

void
sched_init(struct sched *s, void (*free_tag)(void *tag))
{
	memset(s, 0, sizeof(*s));
	LIST_INIT(&s->sets);
	s->delayed.by_due = true;
	s->free_tag = free_tag;
}

static void
set_free(struct sched *s, struct sched_set *set)
{
	LIST_REMOVE(set, link);
	if (s->free_tag)
		s->free_tag(set->tag);
	free(set);
}

void
sched_clear(struct sched *s)
{
	while (!LIST_EMPTY(&s->sets))
		set_free(s, LIST_FIRST(&s->sets));
	s->delayed.root = NULL;
	s->count = 0;
}

struct sched_set *
sched_set_get(struct sched *s, const char *name, bool *is_new)
{
	struct sched_set *set;
	size_t len = strlen(name) + 1;

	*is_new = false;
	LIST_FOREACH(set, &s->sets, link)
		if (strcmp(set->name, name) == 0)
			return set;
	set = xcalloc(1, sizeof(*set) + len);
	memcpy(set->name, name, len);
	LIST_INSERT_HEAD(&s->sets, set, link);
	*is_new = true;
	return set;
}

void
sched_add(struct sched *s, struct sched_set *set, struct sched_item *it, int64_t key,
	  uint64_t seq, int64_t due)
{
	it->key = key;
	it->seq = seq;
	it->due = due;
	it->set = set;
	it->delayed = due > 0;
	it->queued = true;
	s->count++;
	if (it->delayed) {
		set->delayed++;
		tree_insert(&s->delayed, it);
	} else {
		tree_insert(&set->tree, it);
	}
}

void
sched_remove(struct sched *s, struct sched_item *it)
{
	struct sched_set *set = it->set;

	if (!it->queued)
		return;
	if (it->delayed) {
		set->delayed--;
		tree_erase(&s->delayed, it);
	} else {
		tree_erase(&set->tree, it);
	}
	it->queued = it->delayed = false;
	it->set = NULL;
	s->count--;
	if (!set->tree.root && !set->delayed)
		set_free(s, set);
}

struct sched_item *
sched_head(const struct sched_set *set)
{
	return tree_first(&set->tree);
}

long
sched_position(const struct sched *s, const struct sched_item *it)
{
	if (!it->queued)
		return 0;
	if (it->delayed)
		return (long)item_size(it->set->tree.root) + tree_rank(&s->delayed, it);
	return tree_rank(&it->set->tree, it);
}

int64_t
sched_release(struct sched *s, int64_t now)
{
	struct sched_item *it;

	while ((it = tree_first(&s->delayed)) && it->due <= now) {
		tree_erase(&s->delayed, it);
		it->set->delayed--;
		it->delayed = false;
		tree_insert(&it->set->tree, it);
	}
	return it ? it->due : 0;
}
