/* SPDX-License-Identifier: Apache-2.0 */
/* A problem as one line of text, made from the schema; tests/bench/doc/problem_strings.md is its
 * grammar. */
#ifndef TENON_PROBLEM_TEXT_H
#define TENON_PROBLEM_TEXT_H

#include "plan.h"

/* Index tensors in host memory are written with their contents up to this many elements. */
enum { TENON_TEXT_MAX_CONTENTS = 4096 };

/* args: full struct, every tensor with strides; on_host: index tensors may be read. Ends with NUL,
 * without a newline. Returns the length; 0 if it does not fit. */
size_t tenon_problem_text(const tenon_schema *schema, const void *args, bool on_host, char *text,
                          size_t bytes);

#endif /* TENON_PROBLEM_TEXT_H */
