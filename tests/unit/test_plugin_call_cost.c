/* SPDX-License-Identifier: Apache-2.0 */
/* What a call costs on the host beyond the kernel: the plan's kernel is replaced by one that does
 * nothing, whose own call is taken off. A neighbour on the same physical core takes issue slots
 * away, and the limits are for a core that nobody shares: each batch is measured beside a loop of
 * independent additions, which says how much of the core it had. Compared are a batch that nine in
 * ten are slower than, and a share that nine in ten are smaller than: both from moments in which
 * nobody else was scheduled.
 * Skipped in an instrumented build. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <time.h>

#include "plan.h"
#include "test_host.h"

enum { BATCHES = 301, CALLS = 400, ROUNDS = 25 };
static const double struct_limit_ns = 20, packed_limit_ns = 15;

static int32_t do_nothing(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    (void)plan, (void)args, (void)error;
    return TENON_OK;
}
static const tenon_kernel nothing = {
    .name = "nothing", .checked_on = "compiled", .run = do_nothing};

static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}
static int compare(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* ---- how much of the core is ours ---- */

/* The compiler may neither join nor drop these. */
#define STEP(x)             ((x)++, keep(&(x)))
#define STEPS_4(a, b, c, d) (STEP(a), STEP(b), STEP(c), STEP(d))
static inline void keep(uint64_t *x) {
    __asm__ volatile("" : "+r"(*x));
}

/* Additions per clock, of the four that every core of today does: 1 is a core to ourselves. The
 * clock is timed by additions that wait for each other, which a neighbour does not slow. */
static double share_of_core(void) {
    enum { LOOPS = 60 };
    uint64_t a = 0, b = 0, c = 0, d = 0;
    const double start = now_ns();
    for (int i = 0; i < LOOPS; i++) {
        STEPS_4(a, a, a, a), STEPS_4(a, a, a, a), STEPS_4(a, a, a, a), STEPS_4(a, a, a, a);
        STEPS_4(a, a, a, a), STEPS_4(a, a, a, a), STEPS_4(a, a, a, a), STEPS_4(a, a, a, a);
    }
    const double middle = now_ns();
    for (int i = 0; i < 4 * LOOPS; i++) {
        STEPS_4(a, b, c, d), STEPS_4(a, b, c, d), STEPS_4(a, b, c, d), STEPS_4(a, b, c, d);
        STEPS_4(a, b, c, d), STEPS_4(a, b, c, d), STEPS_4(a, b, c, d), STEPS_4(a, b, c, d);
    }
    const double share = (middle - start) / (now_ns() - middle);
    return share < 1 ? share : 1;
}

typedef struct cost {
    double best, median;
    double on_whole_core; /* undisturbed time x undisturbed share: what it costs alone */
} cost;

static int32_t (*volatile empty_run)(const tenon_kernel_plan *, const void *,
                                     tenon_error *) = do_nothing;

/* One call: of the plan, by args or by values; without a plan, of the empty kernel itself. */
static inline int32_t call(const tenon_plan *plan, const void *args, const tenon_value *values,
                           uint32_t n_values, tenon_error *error) {
    if (!plan) return empty_run(NULL, args, error);
    return values ? tenon_run_packed(plan, values, n_values, error) : tenon_run(plan, args, error);
}

static cost measure(const tenon_plan *plan, const void *args, const tenon_value *values,
                    uint32_t n_values) {
    static double ns[BATCHES], shares[BATCHES];
    tenon_error error = {.struct_size = sizeof error};
    for (int b = 0; b < BATCHES; b++) {
        shares[b] = share_of_core();
        const double start = now_ns();
        for (int i = 0; i < CALLS; i++) {
            if (call(plan, args, values, n_values, &error)) {
                CHECK(false, "%s", error.text);
                return (cost){0, 0, 0};
            }
        }
        ns[b] = (now_ns() - start) / CALLS;
    }
    qsort(ns, BATCHES, sizeof ns[0], compare);
    qsort(shares, BATCHES, sizeof shares[0], compare);
    return (cost){ns[0], ns[BATCHES / 2], ns[BATCHES / 10] * shares[BATCHES - 1 - BATCHES / 10]};
}

/* Every field that is set in args, as a value. */
static uint32_t values_of(const tenon_schema *schema, const void *args, tenon_value *values) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < schema->info.n_fields; i++) {
        const tenon_field_info *f = &schema->info.fields[i];
        const char *at = (const char *)args + f->offset_bytes;
        values[n] = (tenon_value){.field = i};
        if (f->size_bytes == 8) {
            memcpy(&values[n].v.as_pointer, at, 8);
            values[n].type = strcmp(f->kind, "quant") ? TENON_VALUE_TENSOR : TENON_VALUE_POINTER;
            if (values[n].v.as_pointer) n++;
        } else if (!strcmp(f->kind, "f32")) {
            float real;
            memcpy(&real, at, 4);
            values[n].type = TENON_VALUE_FLOAT, values[n].v.as_float = (double)real;
            if (real != 0) n++;
        } else {
            int32_t whole;
            memcpy(&whole, at, 4);
            values[n].type = TENON_VALUE_INT, values[n].v.as_int = whole;
            if (whole) n++;
        }
    }
    tenon_args_head head;
    memcpy(&head, args, sizeof head);
    if (head.flags)
        values[n++] = (tenon_value){TENON_VALUE_INT, TENON_FIELD_FLAGS, {.as_int = head.flags}};
    if (head.workspace) {
        values[n++] = (tenon_value){
            TENON_VALUE_POINTER, TENON_FIELD_WORKSPACE, {.as_pointer = head.workspace}};
        values[n++] = (tenon_value){TENON_VALUE_INT,
                                    TENON_FIELD_WORKSPACE_BYTES,
                                    {.as_int = (int64_t)head.workspace_bytes}};
    }
    return n;
}

static void check_cost(tenon_context *context, int32_t op, tenon_args_head *head) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_plan *plan;
    tenon_value values[64];
    CHECK(!tenon_plan_create(context, op, head, NULL, &plan, &error), "%s", error.text);
    const tenon_schema *schema = tenon_schema_of(op);
    void *workspace = NULL;
    if (plan->kernel.workspace_bytes &&
        posix_memalign(&workspace, 64, plan->kernel.workspace_bytes))
        abort();
    head->workspace = workspace, head->workspace_bytes = plan->kernel.workspace_bytes;
    const tenon_kernel *own = plan->kernel.kernel;
    plan->kernel.kernel = &nothing;
    uint32_t n_values = values_of(schema, head, values);
    cost empty, as_struct, packed;
    double beyond, more;
    /* Others on the machine only ever add to a time: a few moments of rest are enough. */
    for (int round = 0;; round++) {
        empty = measure(NULL, head, NULL, 0), as_struct = measure(plan, head, NULL, 0);
        packed = measure(plan, NULL, values, n_values);
        beyond = as_struct.on_whole_core - empty.on_whole_core;
        more = packed.on_whole_core - as_struct.on_whole_core;
        if ((beyond < struct_limit_ns && more < packed_limit_ns) || round == ROUNDS) break;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    printf("%-14s %2u tensors: %5.1f ns beyond the kernel (as measured: best %5.1f, median %5.1f, "
           "empty kernel %.1f); packed, %2u values, %5.1f ns more (median %5.1f)\n",
           schema->info.name, plan->signature.n_slots, beyond, as_struct.best, as_struct.median,
           empty.median, n_values, more, packed.median - as_struct.median);
    CHECK(beyond < struct_limit_ns, "%s: %.1f ns", schema->info.name, beyond);
    CHECK(more < packed_limit_ns, "%s: packed %.1f ns more", schema->info.name, more);
    /* The long road: a view without strides is given some in a copy of the args. */
    DLTensor *first = (DLTensor *)(uintptr_t)tenon_slot_tensor(&schema->slots[0], head);
    int64_t *strides = first->strides;
    first->strides = NULL;
    cost without_strides = measure(plan, head, NULL, 0);
    first->strides = strides;
    printf("%-14s views without strides: %.1f ns (median %.1f)\n", schema->info.name,
           without_strides.best, without_strides.median);
    plan->kernel.kernel = own;
    tenon_plan_destroy(plan);
    free(workspace);
}

int main(void) {
    static float partial_out[2 * 4 * 8 * 64], lse[2 * 4 * 8], out[4 * 8 * 64], a[576], result[576];
    static uint16_t q[4 * 8 * 64], cache[2][4 * 16 * 2 * 64], attention_out[4 * 8 * 64];
    static uint8_t w[576 * 360];
    int32_t cu[] = {0, 4}, lens[] = {40}, table[] = {0, 1, 2, 3};
    test_tensor t[16];
    tenon_context *context;
    tenon_error error = {.struct_size = sizeof error};
    tenon_context_options options = {.struct_size = sizeof options, .log_level = TENON_LOG_ERROR};
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
    puts("this build is instrumented or not optimised: its times say nothing");
    return 77;
#endif
    CHECK(!tenon_context_create(&options, &context, &error), "%s", error.text);

    tenon_merge_states_args merge = {
        .struct_size = sizeof merge,
        .partial_out = test_view(&t[0], partial_out, kDLFloat, 32, SHAPE(2, 4, 8, 64)),
        .partial_lse = test_view(&t[1], lse, kDLFloat, 32, SHAPE(2, 4, 8)),
        .out = test_view(&t[2], out, kDLFloat, 32, SHAPE(4, 8, 64))};
    check_cost(context, TENON_OP_MERGE_STATES, (tenon_args_head *)&merge);

    /* A plan for more tokens than this run has. */
    tenon_plan *plan;
    CHECK(!tenon_plan_create(context, TENON_OP_MERGE_STATES, &merge, NULL, &plan, &error), "%s",
          error.text);
    const tenon_kernel *own = plan->kernel.kernel;
    plan->kernel.kernel = &nothing;
    t[0].shape[1] = t[1].shape[1] = t[2].shape[0] = 3;
    cost fewer = measure(plan, &merge, NULL, 0);
    printf("merge_states   fewer tokens than planned: %.1f ns (median %.1f)\n", fewer.best,
           fewer.median);
    plan->kernel.kernel = own;
    tenon_plan_destroy(plan);

    tenon_quant quant = {
        .struct_size = sizeof quant, .format = TENON_FORMAT_GGUF_Q4_1, .rows = 576, .cols = 576};
    tenon_matmul_args matmul = {.struct_size = sizeof matmul,
                                .a = test_view(&t[3], a, kDLFloat, 32, SHAPE(1, 576)),
                                .w = test_view(&t[4], w, kDLUInt, 8, SHAPE(576, 360)),
                                .w_quant = &quant,
                                .out = test_view(&t[5], result, kDLFloat, 32, SHAPE(1, 576))};
    check_cost(context, TENON_OP_MATMUL, (tenon_args_head *)&matmul);

    tenon_attention_args attention = {
        .struct_size = sizeof attention,
        .flags = TENON_ATTENTION_CAUSAL,
        .q = test_view(&t[6], q, kDLBfloat, 16, SHAPE(4, 8, 64)),
        .k = test_view(&t[7], cache[0], kDLBfloat, 16, SHAPE(4, 16, 2, 64)),
        .v = test_view(&t[8], cache[1], kDLBfloat, 16, SHAPE(4, 16, 2, 64)),
        .out = test_view(&t[9], attention_out, kDLBfloat, 16, SHAPE(4, 8, 64)),
        .cu_seqlens_q = test_view(&t[10], cu, kDLInt, 32, SHAPE(2)),
        .seq_lens = test_view(&t[11], lens, kDLInt, 32, SHAPE(1)),
        .block_table = test_view(&t[12], table, kDLInt, 32, SHAPE(1, 4)),
        .window_left = -1,
        .window_right = -1};
    check_cost(context, TENON_OP_ATTENTION, (tenon_args_head *)&attention);
    tenon_context_destroy(context);
    return test_report();
}
