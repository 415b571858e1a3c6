#include "seal_table.h"

#include <endian.h>

#include "slipway/mem.h"
#include "slipway/seal.h"

#define TABLE_MAGIC 0x184D2A5Eu
#define FOOTER_MAGIC 0x8F92EAB1u
#define HEADER_LEN 8
#define ROW_LEN 8
/* No frame of SEAL_BLOCK is larger: incompressible data grows by far less. */
#define FRAME_MAX (SEAL_BLOCK + SEAL_BLOCK / 128)

static uint32_t
get_u32(const uint8_t *p)
{
	uint32_t le;

	memcpy(&le, p, sizeof(le));
	return le32toh(le);
}

static void
add_u32(struct strbuf *out, uint64_t v)
{
	uint32_t le = htole32((uint32_t)v);

	strbuf_add(out, &le, sizeof(le));
}

void
seal_table_free(struct seal_table *t)
{
	free(STEAL(t->marks));
	t->frames = 0;
}

void
seal_table_encode(const struct seal_table *t, struct strbuf *out)
{
	add_u32(out, TABLE_MAGIC);
	add_u32(out, t->frames * (uint64_t)ROW_LEN + SEAL_FOOTER_LEN);
	for (uint32_t i = 0; i < t->frames; i++) {
		const struct seal_mark *m = &t->marks[i];

		add_u32(out, m[1].file - m[0].file);
		add_u32(out, m[1].spool - m[0].spool);
	}
	add_u32(out, t->frames);
	strbuf_addc(out, 0);
	add_u32(out, FOOTER_MAGIC);
}

int
seal_table_length(const uint8_t footer[SEAL_FOOTER_LEN], uint64_t file_size,
		  size_t *len, struct err *e)
{
	uint32_t frames = get_u32(footer);

	if (get_u32(footer + 5) != FOOTER_MAGIC)
		return err_set(e, ERR_CORRUPT, "sealed log: no seek table");
	if (footer[4] != 0)
		return err_set(e, ERR_CORRUPT, "sealed log: unknown kind of table");
	if (frames > SEAL_FRAMES_MAX)
		return err_set(e, ERR_CORRUPT, "sealed log: %u frames", frames);
	*len = HEADER_LEN + (size_t)frames * ROW_LEN + SEAL_FOOTER_LEN;
	if (*len > file_size)
		return err_set(e, ERR_CORRUPT, "sealed log: cut short");
	return 0;
}

static int
parse_rows(struct seal_table *t, const uint8_t *row, struct err *e)
{
	struct seal_mark *m = t->marks;

	for (uint32_t i = 0; i < t->frames; i++, row += ROW_LEN, m++) {
		uint32_t file = get_u32(row), spool = get_u32(row + 4);

		if (file == 0 || file > FRAME_MAX || spool == 0 || spool > SEAL_BLOCK)
			return err_set(e, ERR_CORRUPT, "sealed log: bad row %u", i);
		m[1].file = m[0].file + file;
		m[1].spool = m[0].spool + spool;
	}
	return 0;
}

int
seal_table_parse(struct seal_table *t, const uint8_t *data, size_t len,
		 uint64_t file_size, struct err *e)
{
	struct seal_table parsed = {0};
	size_t expected;

	if (len < HEADER_LEN + SEAL_FOOTER_LEN)
		return err_set(e, ERR_CORRUPT, "sealed log: cut short");
	if (seal_table_length(data + len - SEAL_FOOTER_LEN, file_size, &expected,
			      e) < 0)
		return -1;
	if (expected != len || get_u32(data) != TABLE_MAGIC ||
	    get_u32(data + 4) != len - HEADER_LEN)
		return err_set(e, ERR_CORRUPT, "sealed log: bad seek table");
	parsed.frames = get_u32(data + len - SEAL_FOOTER_LEN);
	parsed.marks = xcalloc(parsed.frames + 1, sizeof(*parsed.marks));
	if (parse_rows(&parsed, data + HEADER_LEN, e) < 0) {
		seal_table_free(&parsed);
		return -1;
	}
	if (parsed.marks[parsed.frames].file != file_size - len) {
		seal_table_free(&parsed);
		return err_set(e, ERR_CORRUPT, "sealed log: seek table does not fit");
	}
	*t = parsed;
	return 0;
}
