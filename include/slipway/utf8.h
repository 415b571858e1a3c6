/*
 * utf8: one strict decoder. Pure, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the first character of p, its code point in *cp when given. 0 when p does
 * not begin with a whole one (overlong forms and surrogates are not characters). */
size_t utf8_decode(const void *p, size_t len, uint32_t *cp);
bool utf8_is_valid(const void *p, size_t len);
