/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the size of every public struct and the offset and size of every member, one a line. For
 * those with a field list the lines come from the list; the library's own schema must say the same.
 * Options and answers are spelled out: a member that is forgotten here shows as a hole, which the
 * last check refuses. */
#include "test_host.h"

static size_t next_byte; /* where the next member must begin, alignment aside */

static void begin(const char *name, size_t size) {
    printf("%s size %zu\n", name, size);
    next_byte = 0;
}
static void member(const char *of, const char *name, size_t offset, size_t size) {
    printf("%s.%s %zu %zu\n", of, name, offset, size);
    CHECK(offset >= next_byte && offset - next_byte < 8 &&
              (offset == next_byte || next_byte % (size > 8 ? 8 : size)),
          "%s.%s at %zu, the one before ends at %zu", of, name, offset, next_byte);
    next_byte = offset + size;
}
static void finish(const char *name, size_t size) {
    CHECK(size - next_byte < 8, "%s: %zu bytes, but its members end at %zu", name, size, next_byte);
}

#define MEMBER(STRUCT, name)                                                                       \
    member(#STRUCT, #name, offsetof(STRUCT, name), sizeof(((STRUCT *)0)->name));
#define HEAD(STRUCT)                                                                               \
    MEMBER(STRUCT, struct_size)                                                                    \
    MEMBER(STRUCT, flags)                                                                          \
    MEMBER(STRUCT, ext) MEMBER(STRUCT, stream) MEMBER(STRUCT, workspace)                           \
        MEMBER(STRUCT, workspace_bytes) MEMBER(STRUCT, fault)

/* X-macro rows carry no struct name: one macro for each list adds it. FIELD_OF says what becomes of
 * a row. */
#define FIELD_OF(STRUCT, kind, name)                   MEMBER(STRUCT, name)
#define FIELD_attention(kind, name, types, shape, doc) FIELD_OF(tenon_attention_args, kind, name)
#define FIELD_mla_attention(kind, name, types, shape, doc)                                         \
    FIELD_OF(tenon_mla_attention_args, kind, name)
#define FIELD_kv_append(kind, name, types, shape, doc)  FIELD_OF(tenon_kv_append_args, kind, name)
#define FIELD_mla_append(kind, name, types, shape, doc) FIELD_OF(tenon_mla_append_args, kind, name)
#define FIELD_kv_gather(kind, name, types, shape, doc)  FIELD_OF(tenon_kv_gather_args, kind, name)
#define FIELD_merge_states(kind, name, types, shape, doc)                                          \
    FIELD_OF(tenon_merge_states_args, kind, name)
#define FIELD_moe_route(kind, name, types, shape, doc) FIELD_OF(tenon_moe_route_args, kind, name)
#define FIELD_moe_dispatch(kind, name, types, shape, doc)                                          \
    FIELD_OF(tenon_moe_dispatch_args, kind, name)
#define FIELD_moe_matmul(kind, name, types, shape, doc) FIELD_OF(tenon_moe_matmul_args, kind, name)
#define FIELD_moe_combine(kind, name, types, shape, doc)                                           \
    FIELD_OF(tenon_moe_combine_args, kind, name)
#define FIELD_moe(kind, name, types, shape, doc)    FIELD_OF(tenon_moe_args, kind, name)
#define FIELD_matmul(kind, name, types, shape, doc) FIELD_OF(tenon_matmul_args, kind, name)
#define FIELD_pack_weights(kind, name, types, shape, doc)                                          \
    FIELD_OF(tenon_pack_weights_args, kind, name)
#define FIELD_unpack_weights(kind, name, types, shape, doc)                                        \
    FIELD_OF(tenon_unpack_weights_args, kind, name)
#define FIELD_quantize(kind, name, types, shape, doc)   FIELD_OF(tenon_quantize_args, kind, name)
#define FIELD_dequantize(kind, name, types, shape, doc) FIELD_OF(tenon_dequantize_args, kind, name)
#define FIELD_quant(kind, name, types, shape, doc)      FIELD_OF(tenon_quant, kind, name)

#define OPERATION(op, OP, number, doc)                                                             \
    begin("tenon_" #op "_args", sizeof(tenon_##op##_args));                                        \
    HEAD(tenon_##op##_args)                                                                        \
    TENON_##OP##_FIELDS(FIELD_##op) finish("tenon_" #op "_args", sizeof(tenon_##op##_args));

#define STRUCT(name, members)                                                                      \
    begin(#name, sizeof(name));                                                                    \
    members finish(#name, sizeof(name));

static void plain_structs(void) {
#define M(name) MEMBER(tenon_error, name)
    STRUCT(tenon_error, M(struct_size) M(status) M(op) M(field) M(text))
#undef M
#define M(name) MEMBER(tenon_ext, name)
    STRUCT(tenon_ext, M(struct_size) M(id) M(next))
#undef M
#define M(name) MEMBER(tenon_fault, name)
    STRUCT(tenon_fault, M(code) M(op) M(position) M(value) M(limit) M(reserved))
#undef M
#define M(name) MEMBER(tenon_host, name)
    STRUCT(tenon_host, M(struct_size) M(min_version) M(user) M(allocate) M(release) M(log)
                           M(parallel_for) M(n_threads) M(progress))
#undef M
#define M(name) MEMBER(tenon_value, name)
    STRUCT(tenon_value, M(type) M(field) M(v))
#undef M
#define M(name) MEMBER(tenon_quant, name)
    STRUCT(tenon_quant, M(struct_size) M(flags) M(ext) TENON_QUANT_FIELDS(FIELD_quant))
#undef M
#define M(name) MEMBER(tenon_choice_info, name)
    STRUCT(tenon_choice_info, M(name) M(value) M(doc))
#undef M
#define M(name) MEMBER(tenon_field_info, name)
    STRUCT(tenon_field_info, M(name) M(kind) M(offset_bytes) M(size_bytes) M(types) M(shape) M(doc)
                                 M(choices) M(n_choices) M(reserved))
#undef M
#define M(name) MEMBER(tenon_flag_info, name)
    STRUCT(tenon_flag_info, M(name) M(value) M(reserved) M(doc))
#undef M
#define M(name) MEMBER(tenon_op_info, name)
    STRUCT(tenon_op_info, M(struct_size) M(op) M(name) M(doc) M(args_size_bytes) M(n_fields)
                              M(fields) M(flags) M(n_flags) M(reserved))
#undef M
#define M(name) MEMBER(tenon_query, name)
    STRUCT(tenon_query, M(struct_size) M(status) M(traits) M(backend) M(workspace_bytes)
                            M(workspace_bytes_max) M(output_bytes) M(kernel) M(reason))
#undef M
#define M(name) MEMBER(tenon_plan_options, name)
    STRUCT(tenon_plan_options, M(struct_size) M(backend) M(kernel))
#undef M
#define M(name) MEMBER(tenon_context_options, name)
    STRUCT(tenon_context_options, M(struct_size) M(backend) M(host) M(n_threads) M(log_level)
                                      M(trace_path) M(cpu_features))
#undef M
#define M(name) MEMBER(tenon_device_info, name)
    STRUCT(tenon_device_info,
           M(struct_size) M(backend) M(available) M(device_id) M(memory_bytes) M(features)
               M(n_units) M(reserved) M(name) M(feature_text) M(reason))
#undef M
#define M(name) MEMBER(tenon_kernel_info, name)
    STRUCT(tenon_kernel_info, M(struct_size) M(op) M(backend) M(traits) M(available) M(rank) M(name)
                                  M(checked_on) M(reason))
#undef M
#define M(name) MEMBER(tenon_foreign_kernel, name)
    STRUCT(tenon_foreign_kernel,
           M(struct_size) M(op) M(name) M(signature) M(function) M(user) M(when) M(priority)
               M(backend) M(traits) M(reserved) M(workspace_bytes))
#undef M
#define M(name) MEMBER(tenon_api, name)
    STRUCT(tenon_api,
           M(struct_size) M(version) M(status_text) M(op_count) M(op_info) M(quant_info)
               M(context_create) M(context_destroy) M(probe) M(kernel_info) M(query) M(plan_create)
                   M(plan_query) M(plan_update) M(plan_destroy) M(run) M(run_packed) M(call)
                       M(call_packed) M(register_kernel) M(closure_create) M(closure_destroy))
#undef M
}

/* The library reads by its own lists: they must be those of the headers that this program was built
 * with. */
static void compare_schema(const tenon_op_info *info, const char *name, size_t size,
                           const tenon_field_info *fields, uint32_t n_fields) {
    CHECK(info->args_size_bytes == size && info->n_fields == n_fields,
          "%s: the library has %u bytes and %u fields, the headers %zu and %u", name,
          info->args_size_bytes, info->n_fields, size, n_fields);
    for (uint32_t i = 0; i < n_fields && i < info->n_fields; i++) {
        const tenon_field_info *a = &info->fields[i], *b = &fields[i];
        CHECK(!strcmp(a->name, b->name) && !strcmp(a->kind, b->kind) &&
                  a->offset_bytes == b->offset_bytes && a->size_bytes == b->size_bytes,
              "%s: field %u is %s %s at %u in the library, %s %s at %u in the headers", name, i,
              a->kind, a->name, a->offset_bytes, b->kind, b->name, b->offset_bytes);
    }
}

static void check_schemas(const tenon_api *api) {
#undef FIELD_OF
#define FIELD_OF(STRUCT, row_kind, row)                                                            \
    {.name = #row,                                                                                 \
     .kind = #row_kind,                                                                            \
     .offset_bytes = offsetof(STRUCT, row),                                                        \
     .size_bytes = sizeof(((STRUCT *)0)->row)},
#define COMPARE(op, OP, number, doc)                                                               \
    {                                                                                              \
        static const tenon_field_info fields[] = {TENON_##OP##_FIELDS(FIELD_##op)};                \
        compare_schema(api->op_info(number), #op, sizeof(tenon_##op##_args), fields,               \
                       (uint32_t)(sizeof fields / sizeof fields[0]));                              \
    }
    TENON_OP_LIST(COMPARE)
    static const tenon_field_info fields[] = {TENON_QUANT_FIELDS(FIELD_quant)};
    compare_schema(api->quant_info(), "quant", sizeof(tenon_quant), fields,
                   (uint32_t)(sizeof fields / sizeof fields[0]));
    CHECK(api->op_count() >= TENON_OP_COUNT, "%u operations", api->op_count());
}

/* Numbers are part of the contract too. */
static void numbers(void) {
#define NUMBER(name, value, doc) printf("%s %d\n", #name, (int)(value));
#define BIT(name, value, doc)    printf("%s bit %d\n", #name, (int)(value));
#define LIST(title, list, row)                                                                     \
    puts("enum " title);                                                                           \
    list(row)
    LIST("status", TENON_STATUS_LIST, NUMBER)
    LIST("format", TENON_FORMAT_LIST, NUMBER)
    LIST("element", TENON_ELEMENT_LIST, NUMBER)
    LIST("scale_layout", TENON_SCALE_LAYOUT_LIST, NUMBER)
    LIST("scale_rounding", TENON_SCALE_ROUNDING_LIST, NUMBER)
    LIST("compute", TENON_COMPUTE_LIST, NUMBER)
    LIST("activation", TENON_ACTIVATION_LIST, NUMBER)
    LIST("gate_layout", TENON_GATE_LAYOUT_LIST, NUMBER)
    LIST("scoring", TENON_SCORING_LIST, NUMBER)
    LIST("group_score", TENON_GROUP_SCORE_LIST, NUMBER)
    LIST("mla_cache", TENON_MLA_CACHE_LIST, NUMBER)
    LIST("backend", TENON_BACKEND_LIST, NUMBER)
    LIST("log", TENON_LOG_LIST, NUMBER)
    LIST("fault", TENON_FAULT_LIST, NUMBER)
    LIST("trait", TENON_TRAIT_LIST, BIT)
    LIST("quant flags", TENON_QUANT_FLAGS, BIT)
#define FLAGS(op, OP, number, doc)                                                                 \
    puts("enum " #op " flags");                                                                    \
    TENON_##OP##_FLAGS(BIT)
    TENON_OP_LIST(FLAGS)
    puts("enum op");
#define OP_NUMBER(op, OP, number, doc) printf("%s %d\n", #op, number);
    TENON_OP_LIST(OP_NUMBER)
}

#undef FIELD_OF
#define FIELD_OF(STRUCT, kind, name) MEMBER(STRUCT, name)

int main(void) {
    const tenon_api *api = test_load();
    TENON_OP_LIST(OPERATION)
    plain_structs();
    numbers();
    check_schemas(api);
    if (test_failures) fprintf(stderr, "%d of %d checks failed\n", test_failures, test_checks);
    return test_failures ? 1 : 0;
}
