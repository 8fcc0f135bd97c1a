/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SMOLLM_TOKEN_SAMPLER_H
#define SMOLLM_TOKEN_SAMPLER_H

#include "random_stream.h"

typedef struct token_sampler {
    float temperature; /* 0: always the likeliest token */
    random_stream random;
} token_sampler;

/* Draws from softmax(logits / temperature). Overwrites the logits unless temperature is 0. */
int32_t token_sampler_pick(token_sampler *sampler, float *logits, int32_t count);

#endif
