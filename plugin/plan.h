/* SPDX-License-Identifier: Apache-2.0 */
/* A plan: the validated problem with every tensor's form, the chosen kernel, and what its runs are
 * checked against. */
#ifndef TENON_PLAN_H
#define TENON_PLAN_H

#include "context.h"
#include "planned.h"
#include "schema.h"

/* What every args struct begins with. */
typedef struct tenon_args_head {
    TENON_ARGS_HEAD
} tenon_args_head;

/* A tensor of the problem as it was planned. */
typedef struct tenon_slot {
    const tenon_slot_rule *rule;
    const tenon_shape_rule
        *shape;      /* the alternative that fits; NULL if the operation checks the shape itself */
    DLTensor tensor; /* shape and strides point into this slot */
    int64_t extent[TENON_MAX_NDIM];
    int64_t stride[TENON_MAX_NDIM];
    int64_t span_bytes;
    uint32_t align;
    bool bound; /* has an extent that may shrink */
} tenon_slot;

/* The problem in a form that owns everything but the data. */
typedef struct tenon_signature {
    const tenon_schema *schema;
    int64_t symbol[TENON_MAX_SYMBOLS]; /* extents by name; -1: not bound by any tensor */
    uint32_t n_slots;
    tenon_slot slot[TENON_MAX_SLOTS]; /* tensors that are given, in the schema's order */
    uint32_t n_absent;
    tenon_slot_rule const *absent[TENON_MAX_SLOTS];
    tenon_quant quant[TENON_MAX_QUANTS];
    bool has_quant[TENON_MAX_QUANTS];
    uint32_t needed_size; /* args struct_size a run must have at least */
    union {
        tenon_args_head head;
        unsigned char bytes[TENON_MAX_ARGS_BYTES];
    } args; /* full struct: pointers lead into slot and quant */
} tenon_signature;

struct tenon_plan {
    tenon_context *context;
    const tenon_backend *backend;
    const struct tenon_foreign *foreign; /* the kernel is the host's */
    tenon_kernel_plan kernel;
    tenon_planned planned; /* what run compares first */
    tenon_signature signature;
};

/* validate.c: args against the operation's list, then against op_<op>.c. Fills *signature. */
int32_t tenon_validate(int32_t op, const void *args, tenon_signature *signature,
                       tenon_error *error);
/* Pointer to the tensor that a slot rule names in an args struct; NULL if absent. */
static inline const DLTensor *tenon_slot_tensor(const tenon_slot_rule *rule, const void *args) {
    const void *field = *(void *const *)((const char *)args + rule->offset);
    if (!field || rule->member < 0) return (const DLTensor *)field;
    return *(const DLTensor *const *)((const char *)field + rule->member_offset);
}
/* struct_size, tail, flags, extension chain: the same for plan and run. */
int32_t tenon_check_head(const tenon_schema *schema, const void *args, tenon_error *error);
int32_t tenon_check_extensions(const tenon_ext *ext, int32_t op, tenon_error *error);
/* The same for the q-th descriptor of an operation. */
int32_t tenon_check_quant_head(const tenon_schema *schema, int q, const tenon_quant *quant,
                               tenon_error *error);

/* plan.c */
int32_t tenon_plan_create(tenon_context *context, int32_t op, const void *args,
                          const tenon_plan_options *options, tenon_plan **out, tenon_error *error);
int32_t tenon_plan_query(const tenon_plan *plan, tenon_query *out, tenon_error *error);
int32_t tenon_plan_update(tenon_plan *plan, const void *args, tenon_error *error);
void tenon_plan_destroy(tenon_plan *plan);
int32_t tenon_query_call(tenon_context *context, int32_t op, const void *args,
                         const tenon_plan_options *options, tenon_query *out, tenon_error *error);

/* run.c */
int32_t tenon_run(const tenon_plan *plan, const void *args, tenon_error *error);
/* Args that are not as planned, or wrong, or NULL. */
int32_t tenon_run_long(const tenon_plan *plan, const void *args, tenon_error *error);
int32_t tenon_call(tenon_context *context, int32_t op, const void *args, tenon_error *error);

/* packed.c */
int32_t tenon_run_packed(const tenon_plan *plan, const tenon_value *values, uint32_t n_values,
                         tenon_error *error);
int32_t tenon_call_packed(tenon_context *context, const char *op, const tenon_value *values,
                          uint32_t n_values, tenon_error *error);
/* Room for the struct and descriptors that a list of values fills. */
typedef struct tenon_packed_args {
    union {
        tenon_args_head head;
        _Alignas(64) unsigned char bytes[TENON_MAX_ARGS_BYTES];
        uint64_t words[TENON_MAX_ARGS_BYTES / 8];
    } args;
    tenon_quant quant[TENON_MAX_QUANTS];
} tenon_packed_args;
int32_t tenon_unpack_values(const tenon_schema *schema, const tenon_value *values,
                            uint32_t n_values, tenon_packed_args *out, tenon_error *error);

#endif /* TENON_PLAN_H */
