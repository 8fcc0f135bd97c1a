/* SPDX-License-Identifier: Apache-2.0 */
/* What a run took and which kernels it used, for people or for programs. */
#ifndef SMOLLM_RUN_REPORT_H
#define SMOLLM_RUN_REPORT_H

#include "host_options.h"

typedef struct run_report {
    double load_seconds, prompt_seconds, generation_seconds;
    int32_t prompt_tokens;
    int32_t generated_tokens; /* picked; the last one is never fed back */
    int32_t decode_steps;     /* passes of one token, which generation_seconds counts */
} run_report;

void run_report_print(FILE *out, const run_report *report, const host_options *options,
                      const llama_session *session, const tenon_library *library);

#endif
