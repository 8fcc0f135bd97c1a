/* SPDX-License-Identifier: Apache-2.0 */
/* moe_route on the CPU: tokens are independent, a task is a few of them. README.md has the numbers.
 */
#include "moe_route_cpu.h"

#include "cpu_backend.h"

enum { TOKENS_PER_TASK = 16 }; /* 10 to 30 us of work for 128 to 256 experts */

typedef struct job {
    const tenon_moe_route_args *args;
    tenon_moe_route_fn route;
} job;

static void task(void *arg, int64_t index, int32_t thread) {
    const job *j = arg;
    const int64_t tokens = j->args->logits->shape[0], begin = index * TOKENS_PER_TASK;
    (void)thread;
    j->route(j->args, begin, begin + TOKENS_PER_TASK < tokens ? begin + TOKENS_PER_TASK : tokens);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_moe_route_fn route) {
    job j = {args, route};
    tenon_cpu_run(plan, (j.args->logits->shape[0] + TOKENS_PER_TASK - 1) / TOKENS_PER_TASK, task,
                  &j);
    return TENON_OK;
}

#define ROW(symbol, level, feature_bits)                                                           \
    static int32_t run_##level(const tenon_kernel_plan *plan, const void *args,                    \
                               tenon_error *error) {                                               \
        (void)error;                                                                               \
        return run(plan, args, tenon_moe_route_tokens_##level);                                    \
    }                                                                                              \
    extern const tenon_kernel tenon_##symbol;                                                      \
    const tenon_kernel tenon_##symbol = {                                                          \
        .name = #symbol,                                                                           \
        .op = TENON_OP_MOE_ROUTE,                                                                  \
        .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,                         \
        .needs = feature_bits,                                                                     \
        .checked_on = "hardware",                                                                  \
        .run = run_##level,                                                                        \
    };
#if defined(__x86_64__)
ROW(cpu_moe_route_x86_avx512, x86_avx512, TENON_CPU_LEVEL_AVX512)
ROW(cpu_moe_route_x86_avx2, x86_avx2, TENON_CPU_LEVEL_AVX2)
#elif defined(__aarch64__)
ROW(cpu_moe_route_arm_neon, arm_neon, TENON_CPU_LEVEL_NEON)
#endif
ROW(cpu_moe_route_scalar, scalar, 0)
