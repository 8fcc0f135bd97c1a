/* SPDX-License-Identifier: Apache-2.0 */
/* tenon_planned.run by two words at once, as every 64-bit machine can. */
#include "plan.h"

typedef uint64_t differences __attribute__((vector_size(16)));

static inline differences pair_at(const void *base, size_t index) {
    differences pair;
    memcpy(&pair, (const char *)base + 8 * index, sizeof pair);
    return pair;
}
static inline differences no_difference(void) {
    return (differences){0, 0};
}
static inline bool any_difference(differences d) {
    return d[0] | d[1];
}

static inline void gather_words(differences *d, const void *given,
                                const tenon_planned_words *words) {
    const uint64_t *w = words->word_and_mask;
    const uint32_t n = words->n_words;
    for (uint32_t i = 0; i + 2 <= n; i += 2) {
        const size_t at = tenon_planned_word_at(i);
        *d |= (pair_at(given, i) ^ pair_at(w, at)) & pair_at(w, at + 8);
    }
    if (n & 1) {
        const size_t at = tenon_planned_word_at(n - 1);
        *d |= (differences){(tenon_word(given, n - 1) ^ w[at]) & w[at + 8], 0};
    }
}

static inline void gather_extents(differences *d, const int64_t *given, const int64_t *wanted,
                                  const tenon_planned_tensor *planned) {
    const int32_t n = planned->ndim;
    if (n & 1) *d |= (differences){(uint64_t)(given[n - 1] ^ wanted[n - 1]), 0};
    if (n >= 2) *d |= pair_at(given, 0) ^ pair_at(wanted, 0);
    if (n >= 4) *d |= pair_at(given, 2) ^ pair_at(wanted, 2);
    for (int32_t i = 4; i + 2 <= n; i += 2)
        *d |= pair_at(given, (size_t)i) ^ pair_at(wanted, (size_t)i);
}

#include "planned_match.h"

int32_t tenon_run_planned_any_cpu(const tenon_plan *plan, const void *args, tenon_error *error) {
    return matches(&plan->planned, args) ? plan->kernel.kernel->run(&plan->kernel, args, error)
                                         : tenon_run_long(plan, args, error);
}
