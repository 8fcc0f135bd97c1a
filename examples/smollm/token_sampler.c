/* SPDX-License-Identifier: Apache-2.0 */
#include "token_sampler.h"

#include <math.h>

#include "llama_math.h"

int32_t token_sampler_pick(token_sampler *sampler, float *logits, int32_t count) {
    const int32_t best = index_of_largest(logits, count);
    if (!(sampler->temperature > 0.0f)) return best;
    const float largest = logits[best];
    double sum = 0.0;
    for (int32_t i = 0; i < count; i++) {
        logits[i] = expf((logits[i] - largest) / sampler->temperature);
        sum += (double)logits[i];
    }
    double left = (double)random_unit(&sampler->random) * sum;
    for (int32_t i = 0; i < count; i++) {
        left -= (double)logits[i];
        if (left < 0.0) return i;
    }
    return best; /* rounding ate the last sliver */
}
