/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_BENCH_MODEL_H
#define TENON_BENCH_MODEL_H

#include "bench_run.h"

/* Runs the problem once in the interpreter and says what a published machine would need for
 * options->copies of it. */
void bench_run_model(const bench_options *options, const bench_library *library, const char *text,
                     bench_result *out);

#endif /* TENON_BENCH_MODEL_H */
