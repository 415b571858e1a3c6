/*
 * jsonscan: is this strict JSON? Asked before any JSON library sees outside bytes.
 *
 * Refuses what json-c lets pass or hides: duplicate keys in one object (compared
 * decoded), NaN and Infinity, NUL (also as \u0000), invalid UTF-8, lone surrogates,
 * bytes after the value, nesting over max_depth. Pure, any thread.
 */
#pragma once

#include <stddef.h>

#include "slipway/err.h"

#define JSONSCAN_DEPTH_MAX 64
/* Keys of all objects that are open at one point of the text. */
#define JSONSCAN_KEYS_MAX 100000

/* max_depth counts nested objects and arrays, at most JSONSCAN_DEPTH_MAX. Errors are
 * ERR_INVALID: msg begins "line L, column C: ", field is the path of the value
 * ("steps[0].env.FOO"), or "" for the outermost. */
int jsonscan_check(const char *body, size_t len, unsigned max_depth, struct err *e);
