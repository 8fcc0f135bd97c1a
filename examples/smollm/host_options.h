/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMOLLM_HOST_OPTIONS_H
#define SMOLLM_HOST_OPTIONS_H

#include "llama_session.h"

typedef struct host_options {
    const char *model_path, *library_path, *system, *prompt, *logits_path;
    const char *kv_name;
    bool raw, print_ids, json, help, past_end;
    int32_t max_tokens, n_threads;
    float temperature;
    session_options session; /* max_length is 0 until the prompt's length is known */
} host_options;

/* Fills *options from the command line; fails with what was wrong. */
bool host_options_parse(host_options *options, int argument_count, char **arguments,
                        host_error *error);
void host_options_print_usage(FILE *out, const char *program);

#endif
