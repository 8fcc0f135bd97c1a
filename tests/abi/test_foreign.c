/* SPDX-License-Identifier: Apache-2.0 */
/* A host's own functions as kernels: every source and type of the signature, selection by priority,
 * refusals with the column. */
#include "abi_case.h"

static const tenon_api *api;
static tenon_error error = {.struct_size = sizeof error};

/* ---- what the host registers ---- */
typedef struct seen {
    int calls;
    const DLTensor *tensor;
    float *data, *null_data;
    int64_t extent, stride;
    int32_t narrow;
    uint32_t flags;
    uint64_t workspace_bytes;
    void *workspace, *stream;
    const tenon_merge_states_args *args;
    const tenon_fault *fault;
} seen;

static int32_t take_all(const DLTensor *tensor, float *data, float *null_data, int64_t extent,
                        int32_t narrow, int64_t stride, uint32_t flags, void *stream,
                        void *workspace, uint64_t workspace_bytes, const tenon_fault *fault,
                        const tenon_merge_states_args *args, seen *user) {
    *user = (seen){user->calls + 1, tensor,          data,      null_data, extent, stride, narrow,
                   flags,           workspace_bytes, workspace, stream,    args,   fault};
    data[0] = 42;
    return 0;
}
static void take_nothing(void) {}
static int32_t fail_with_7(void) {
    return 7;
}
static int32_t decline(void *user, const void *args, char *reason, size_t reason_bytes) {
    (void)user;
    snprintf(reason, reason_bytes, "tokens=%lld is not my size",
             (long long)((const tenon_merge_states_args *)args)->out->shape[0]);
    return 0;
}

typedef void (*any_function)(void);

static int32_t add(tenon_context *context, int32_t op, const char *name, const char *signature,
                   any_function function, int32_t priority, void *user) {
    tenon_foreign_kernel k = {.struct_size = sizeof k,
                              .op = op,
                              .name = name,
                              .signature = signature,
                              .function = function,
                              .user = user,
                              .priority = priority};
    return api->register_kernel(context, &k, &error);
}

static const char *kernel_of(tenon_context *context, const tenon_merge_states_args *args) {
    static tenon_query q;
    q.struct_size = sizeof q;
    CHECK(api->query(context, TENON_OP_MERGE_STATES, args, NULL, &q, &error) == TENON_OK, "%s",
          error.text);
    return q.status ? q.reason : q.kernel;
}

static void test_values(void) {
    tenon_context *context;
    tenon_plan *plan;
    abi_case c;
    seen user = {0};
    tenon_fault fault = {0};
    _Alignas(64) char workspace[256];
    CHECK(!api->context_create(NULL, &context, &error), "%s", error.text);
    abi_case_make(&c);
    c.t_out.view.byte_offset = 4, c.t_out.view.data = (char *)c.out - 4;
    c.args.lse = NULL, c.args.flags = TENON_MERGE_STATES_LSE_BASE2, c.args.fault = &fault;
    c.args.workspace = workspace, c.args.workspace_bytes = sizeof workspace;
    tenon_foreign_kernel k = {
        .struct_size = sizeof k,
        .op = TENON_OP_MERGE_STATES,
        .name = "hosts_own",
        .signature =
            "i32( ptr:out, ptr:out.data, ptr:lse.data, i64:partial_out.shape[3], i32:out.shape[0], "
            "i64:partial_out.stride[0], u32:flags, "
            "ptr:stream, ptr:workspace, u64:workspace_bytes, ptr:fault, ptr:args, ptr:user )",
        .function = (any_function)take_all,
        .user = &user,
        .traits = TENON_TRAIT_DETERMINISTIC,
        .workspace_bytes = 200};
    char name[] = "hosts_own";
    k.name = name;
    CHECK(!api->register_kernel(context, &k, &error), "%s", error.text);
    memset(name, 'x', sizeof name - 1); /* it was copied */
    tenon_query q = {.struct_size = sizeof q};
    CHECK(!tenon_merge_states_plan(api, context, &c.args, NULL, &plan, &error), "%s", error.text);
    CHECK(!api->plan_query(plan, &q, &error) && !strcmp(q.kernel, "hosts_own"), "%s", q.kernel);
    CHECK(q.workspace_bytes == 200 && q.traits == (TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_FOREIGN),
          "%llu 0x%x", (unsigned long long)q.workspace_bytes, q.traits);
    CHECK(!tenon_merge_states_run(api, plan, &c.args, &error), "%s", error.text);
    CHECK(user.calls == 1 && user.data == &c.out[0][0][0] && c.out[0][0][0] == 42,
          "byte_offset was not applied");
    CHECK(user.tensor == &c.t_out.view && !user.null_data && user.args == &c.args &&
              user.fault == &fault,
          "pointers");
    CHECK(user.extent == CASE_DV && user.narrow == CASE_TOKENS &&
              user.stride == CASE_TOKENS * CASE_HEADS * CASE_DV,
          "%lld %d %lld", (long long)user.extent, user.narrow, (long long)user.stride);
    CHECK(user.flags == TENON_MERGE_STATES_LSE_BASE2 && user.workspace == workspace &&
              user.workspace_bytes == sizeof workspace && !user.stream,
          "head");
    c.args.workspace_bytes = 199;
    CHECK(tenon_merge_states_run(api, plan, &c.args, &error) == TENON_STATUS_WORKSPACE_TOO_SMALL &&
              user.calls == 1,
          "%s", error.text);
    c.args.workspace_bytes = 256;
    c.t_partial_out.view.strides = NULL; /* filled in before the host sees them */
    CHECK(!tenon_merge_states_run(api, plan, &c.args, &error) &&
              user.stride == CASE_TOKENS * CASE_HEADS * CASE_DV,
          "%s", error.text);
    api->plan_destroy(plan);
    api->context_destroy(context);
}

/* Scalars, through a descriptor and with conversions. */
static struct {
    double scale;
    float softcap;
    int64_t format;
    uint32_t group;
    float *scales;
} numbers;
static void take_numbers(double scale_limit, float amax_floor, int64_t format, uint32_t group,
                         float *scales) {
    numbers.scale = scale_limit, numbers.softcap = amax_floor, numbers.format = format,
    numbers.group = group, numbers.scales = scales;
}

static void test_scalars(void) {
    tenon_context *context;
    float x[2][32] = {{0}}, scale[2][1] = {{0}};
    int8_t q[2][32];
    test_tensor tx, tq, ts;
    tenon_quant quant = {
        .struct_size = sizeof quant, .format = TENON_FORMAT_INT8, .group_cols = 32};
    quant.scale = test_view(&ts, scale, kDLFloat, 32, SHAPE(2, 1));
    tenon_quantize_args a = {.struct_size = sizeof a,
                             .x = test_view(&tx, x, kDLFloat, 32, SHAPE(2, 32)),
                             .q = test_view(&tq, q, kDLInt, 8, SHAPE(2, 32)),
                             .q_quant = &quant};
    a.scale_limit = 2.5f, a.amax_floor = 0.25f;
    CHECK(!api->context_create(NULL, &context, &error), "%s", error.text);
    CHECK(!add(context, TENON_OP_QUANTIZE, "numbers",
               "void(f64:scale_limit, f32:amax_floor, i64:q_quant.format, u32:q_quant.group_cols, "
               "ptr:q_quant.scale.data)",
               (any_function)take_numbers, 1, NULL),
          "%s", error.text);
    CHECK(!tenon_quantize_call(api, context, &a, &error), "%s", error.text);
    CHECK(numbers.scale == 2.5 && numbers.softcap == 0.25f && numbers.format == TENON_FORMAT_INT8 &&
              numbers.group == 32 && numbers.scales == scale[0],
          "%g %g %lld %u", numbers.scale, (double)numbers.softcap, (long long)numbers.format,
          numbers.group);
    quant.group_cols = -1; /* does not fit an unsigned type */
    CHECK(tenon_quantize_call(api, context, &a, &error) == TENON_STATUS_INVALID_ARGUMENT &&
              strstr(error.text, "q_quant.group_cols=-1"),
          "%s", error.text);
    api->context_destroy(context);
}

static void test_selection(void) {
    tenon_context *context;
    abi_case c;
    char own[96];
    CHECK(!api->context_create(NULL, &context, &error), "%s", error.text);
    abi_case_make(&c);
    snprintf(own, sizeof own, "%s", kernel_of(context, &c.args));
    CHECK(!add(context, TENON_OP_MERGE_STATES, "last_resort", "void()", take_nothing, -5, NULL),
          "%s", error.text);
    CHECK(!strcmp(kernel_of(context, &c.args), own),
          "a negative priority stands below Tenon's own");
    CHECK(!add(context, TENON_OP_MERGE_STATES, "low", "void()", take_nothing, 1, NULL), "%s",
          error.text);
    CHECK(!strcmp(kernel_of(context, &c.args), "low"), "%s", kernel_of(context, &c.args));
    CHECK(!add(context, TENON_OP_MERGE_STATES, "high", "i32()", (any_function)fail_with_7, 9, NULL),
          "%s", error.text);
    CHECK(!add(context, TENON_OP_MERGE_STATES, "middle", "void()", take_nothing, 5, NULL), "%s",
          error.text);
    CHECK(!strcmp(kernel_of(context, &c.args), "high"), "%s", kernel_of(context, &c.args));
    CHECK(tenon_merge_states_call(api, context, &c.args, &error) == TENON_STATUS_DEVICE_ERROR &&
              strstr(error.text, "returned 7"),
          "%s", error.text);
    tenon_foreign_kernel k = {.struct_size = sizeof k,
                              .op = TENON_OP_MERGE_STATES,
                              .name = "picky",
                              .signature = "void()",
                              .function = take_nothing,
                              .when = decline,
                              .priority = 20};
    CHECK(!api->register_kernel(context, &k, &error), "%s", error.text);
    tenon_query q = {.struct_size = sizeof q};
    CHECK(!api->query(context, TENON_OP_MERGE_STATES, &c.args, NULL, &q, &error) &&
              !strcmp(q.kernel, "high"),
          "%s", q.kernel);
    CHECK(strstr(q.reason, "picky: tokens=4 is not my size"), "%s", q.reason);
    k.name = "for_cuda", k.when = NULL, k.backend = TENON_BACKEND_CUDA, k.priority = 30;
    CHECK(!api->register_kernel(context, &k, &error), "%s", error.text);
    CHECK(!strcmp(kernel_of(context, &c.args), "high"), "%s", kernel_of(context, &c.args));
    k.name = "high", k.backend = TENON_BACKEND_AUTO;
    CHECK(api->register_kernel(context, &k, &error) == TENON_STATUS_INVALID_ARGUMENT &&
              strstr(error.text, "\"high\" already"),
          "%s", error.text);
    /* A rank that the tensors do not have declines instead of reading past the shape. */
    k.name = "deep", k.signature = "void(i64:out.shape[5])", k.priority = 50;
    CHECK(!api->register_kernel(context, &k, &error), "%s", error.text);
    CHECK(!api->query(context, TENON_OP_MERGE_STATES, &c.args, NULL, &q, &error) &&
              !strcmp(q.kernel, "high") && strstr(q.reason, "rank 3"),
          "%s: %s", q.kernel, q.reason);
    /* By name, and back to Tenon's own. */
    tenon_plan_options by_name = {.struct_size = sizeof by_name, .kernel = "last*"};
    CHECK(!api->query(context, TENON_OP_MERGE_STATES, &c.args, &by_name, &q, &error) &&
              !strcmp(q.kernel, "last_resort"),
          "%s", q.kernel);
    int listed = 0;
    tenon_kernel_info info = {.struct_size = sizeof info};
    for (uint32_t i = 0; !api->kernel_info(context, i, &info, &error); i++)
        listed += (info.traits & TENON_TRAIT_FOREIGN) && info.op == TENON_OP_MERGE_STATES;
    CHECK(listed == 7, "kernel_info lists %d foreign kernels", listed);
    for (int i = 0; i < 57; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        CHECK(!add(context, TENON_OP_MATMUL, name, "void()", take_nothing, i, NULL), "%d: %s", i,
              error.text);
    }
    CHECK(add(context, TENON_OP_MATMUL, "one_more", "void()", take_nothing, 0, NULL) ==
              TENON_STATUS_UNSUPPORTED,
          "%s", error.text);
    api->context_destroy(context);
}

static void test_refusals(void) {
    static const struct {
        const char *signature, *text;
    } bad[] = {
        {"", "column 1"},
        {"f32(ptr:out)", "column 1"},
        {"void", "column 5"},
        {"void(", "column 6"},
        {"void(ptr)", "column 9"},
        {"void(ptr:)", "expected a source"},
        {"void(ptr:nothing)", "column 10"},
        {"void(ptr:out.date)", "column 14"},
        {"void(i64:out.shape)", "expected ["},
        {"void(i64:out.shape[8])", "column 20"},
        {"void(i64:out.shape[12])", "column 20"},
        {"void(i64:out.shape[0)", "expected ]"},
        {"void(i64:out)", "a pointer cannot be passed as i64"},
        {"void(ptr:out.shape[0])", "an integer cannot be passed as ptr"},
        {"void(f32:flags)", "an integer cannot be passed as f32"},
        {"void(ptr:out, ...)", "variadic"},
        {"void({ptr}:out)", "by value"},
        {"void(struct:out)", "by value"},
        {"void(int:flags)", "column 6"},
        {"void(ptr:out) x", "column 15"},
        {"void(ptr:out ptr:lse)", "expected , or )"},
        {"void(ptr:out.scale.data)", "column 14"},
    };
    tenon_context *context;
    CHECK(!api->context_create(NULL, &context, &error), "%s", error.text);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int32_t status =
            add(context, TENON_OP_MERGE_STATES, "bad", bad[i].signature, take_nothing, 0, NULL);
        CHECK(status == TENON_STATUS_INVALID_ARGUMENT && strstr(error.text, bad[i].text),
              "\"%s\": %s", bad[i].signature, error.text);
    }
    char longest[4096] = "void(ptr:out";
    while (strlen(longest) < 65 * 9) strcat(longest, ",ptr:out");
    strcat(longest, ")");
    CHECK(add(context, TENON_OP_MERGE_STATES, "bad", longest, take_nothing, 0, NULL) ==
                  TENON_STATUS_INVALID_ARGUMENT &&
              strstr(error.text, "64"),
          "%s", error.text);
    while (strlen(longest) < 2000) strcat(longest, " ");
    CHECK(add(context, TENON_OP_MERGE_STATES, "bad", longest, take_nothing, 0, NULL) ==
              TENON_STATUS_INVALID_ARGUMENT,
          "%s", error.text);

    const tenon_foreign_kernel good = {.struct_size = sizeof good,
                                       .op = TENON_OP_MATMUL,
                                       .name = "good",
                                       .signature = "void()",
                                       .function = take_nothing};
    struct {
        tenon_foreign_kernel k;
        uint64_t tail;
    } longer = {good, 0};
    tenon_foreign_kernel k;
#define REFUSED(member, value, expected)                                                           \
    k = good, k.member = value;                                                                    \
    CHECK(api->register_kernel(context, &k, &error) == expected, #member ": %s", error.text)
    REFUSED(struct_size, 0, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(struct_size, sizeof k - 8, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(struct_size, 1u << 20, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(op, -1, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(op, TENON_OP_COUNT, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(name, NULL, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(name, "", TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(name, "a*b", TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(signature, NULL, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(function, NULL, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(backend, TENON_BACKEND_COUNT, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(traits, 0x80000000u, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(reserved, 1, TENON_STATUS_INVALID_ARGUMENT);
    REFUSED(workspace_bytes, UINT64_MAX, TENON_STATUS_INVALID_ARGUMENT);
    longer.k.struct_size = sizeof longer, longer.tail = 1;
    CHECK(api->register_kernel(context, &longer.k, &error) == TENON_STATUS_UNSUPPORTED, "%s",
          error.text);
    longer.tail = 0;
    CHECK(api->register_kernel(context, &longer.k, &error) == TENON_OK, "%s", error.text);
    CHECK(api->register_kernel(NULL, &good, &error) == TENON_STATUS_INVALID_ARGUMENT, "%s",
          error.text);
    CHECK(api->register_kernel(context, NULL, NULL) == TENON_STATUS_INVALID_ARGUMENT,
          "no text wanted");
    api->context_destroy(context);
}

int main(void) {
    api = test_load();
    test_values();
    test_scalars();
    test_selection();
    test_refusals();
    return test_report();
}
