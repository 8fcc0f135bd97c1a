/* SPDX-License-Identifier: Apache-2.0 */
/* Tenon's one entry, and the table of functions behind it. A host dlopens libtenon.so, resolves tenon_get_api, and needs nothing else.
 * The text of ABI.md says what may change; this header is the manual of the calls. */
#ifndef TENON_H
#define TENON_H

#include "tenon_base.h"
#include "tenon_attention.h"
#include "tenon_moe.h"
#include "tenon_matmul.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Every operation, with its number for ever:  X(op, OP, number, doc). */
#define TENON_OP_LIST(X)                                                                            \
    X(attention, ATTENTION, 0, "attention of ragged queries over a paged KV cache")                 \
    X(mla_attention, MLA_ATTENTION, 1, "latent attention over a paged latent cache")                \
    X(kv_append, KV_APPEND, 2, "write keys and values into pages, quantizing")                      \
    X(mla_append, MLA_APPEND, 3, "write latent rows into pages, quantizing")                        \
    X(kv_gather, KV_GATHER, 4, "read pages back into plain tensors, dequantizing")                  \
    X(merge_states, MERGE_STATES, 5, "merge partial attention results by their log-sum-exp")        \
    X(moe_route, MOE_ROUTE, 6, "choose experts and weights for each token")                         \
    X(moe_dispatch, MOE_DISPATCH, 7, "sort pairs by expert, permute and quantize activations")      \
    X(moe_matmul, MOE_MATMUL, 8, "grouped matmul over the experts' rows")                           \
    X(moe_combine, MOE_COMBINE, 9, "weighted sum of expert rows back to tokens")                    \
    X(moe, MOE, 10, "dispatch, both matmuls, activation and combine in one call")                   \
    X(matmul, MATMUL, 11, "activations times quantized weights")                                    \
    X(pack_weights, PACK_WEIGHTS, 12, "checkpoint layout to packed blob")                           \
    X(unpack_weights, UNPACK_WEIGHTS, 13, "packed blob to checkpoint layout")                       \
    X(quantize, QUANTIZE, 14, "values to elements and scales")                                      \
    X(dequantize, DEQUANTIZE, 15, "elements and scales to values")

#define TENON_E_OP(op, OP, number, doc) TENON_OP_##OP = number,
enum { TENON_OP_LIST(TENON_E_OP) TENON_OP_COUNT };

typedef struct tenon_context tenon_context;
typedef struct tenon_plan tenon_plan;
typedef struct tenon_closure tenon_closure;

/* ---- schema: the field lists, readable at run time. Strings and arrays live as long as the library. ---- */
typedef struct tenon_choice_info {
    const char *name; /* "SILU_GATED" */
    int32_t value;
    const char *doc;
} tenon_choice_info;

typedef struct tenon_field_info {
    const char *name;
    const char *kind; /* in opt_in out opt_out inout opt_inout quant i32 i64 f32 choice */
    uint32_t offset_bytes;
    uint32_t size_bytes;
    const char *types; /* element types, or the enumeration of a choice */
    const char *shape;
    const char *doc;
    const tenon_choice_info *choices; /* of a choice; else NULL */
    uint32_t n_choices;
    uint32_t reserved;
} tenon_field_info;

typedef struct tenon_flag_info {
    const char *name;
    uint32_t value;
    uint32_t reserved;
    const char *doc;
} tenon_flag_info;

typedef struct tenon_op_info {
    uint32_t struct_size;
    int32_t op;
    const char *name;
    const char *doc;
    uint32_t args_size_bytes;
    uint32_t n_fields;
    const tenon_field_info *fields;
    const tenon_flag_info *flags;
    uint32_t n_flags;
    uint32_t reserved;
} tenon_op_info;

/* ---- what a plan or a query answers ---- */
#define TENON_TRAIT_LIST(X)                                                                         \
    X(CAPTURE_SAFE, 0, "run only enqueues device work; it may be captured in a graph and replayed")  \
    X(DETERMINISTIC, 1, "the same inputs give the same bits")                                       \
    X(BATCH_INVARIANT, 2, "a row's bits do not depend on the other rows of the call")               \
    X(NEEDS_UPDATE, 3, "plan_update must run when lengths change, before run or replay")            \
    X(REFERENCE, 4, "the scalar reference: correct, not fast")                                      \
    X(FOREIGN, 5, "registered by the host")                                                         \
    X(INT8_ACTIVATIONS, 6, "activations are quantized to 8 bits per group of 32 inside (TENON_COMPUTE_DEFAULT)")
#define TENON_E_TRAIT(name, bit, doc) TENON_TRAIT_##name = 1u << bit,
enum { TENON_TRAIT_LIST(TENON_E_TRAIT) TENON_TRAIT_END };

typedef struct tenon_query {
    uint32_t struct_size;     /* in */
    int32_t status;           /* OK, or why it cannot be: the same status that plan_create would return */
    uint32_t traits;          /* TENON_TRAIT_* of the kernel that would run */
    int32_t backend;          /* TENON_BACKEND_* */
    uint64_t workspace_bytes; /* exact, for these shapes */
    uint64_t workspace_bytes_max; /* enough for these and every smaller problem that the plan allows */
    uint64_t output_bytes;    /* pack_weights: size of the blob; kv_append with NATIVE_CACHE: size of each cache; else 0 */
    char kernel[96];          /* name of the kernel row; empty if none */
    char reason[496];         /* why not; and for each kernel above the chosen one, why not that one */
} tenon_query;

typedef struct tenon_plan_options {
    uint32_t struct_size;
    int32_t backend;    /* TENON_BACKEND_*; AUTO: by the tensors' device */
    const char *kernel; /* NULL, or the name of the row that must run; '*' matches any run of characters */
} tenon_plan_options;

typedef struct tenon_context_options {
    uint32_t struct_size;
    int32_t backend;        /* TENON_BACKEND_*; AUTO: TENON_BACKEND from the environment, else by device */
    const tenon_host *host; /* NULL: malloc, stderr, own threads. Copied; its callbacks must outlive the context. */
    int32_t n_threads;      /* 0: one for each CPU that the caller may run on */
    int32_t log_level;      /* 0: TENON_LOG from the environment, else WARN; -1: silent */
    const char *trace_path; /* NULL: TENON_TRACE from the environment, else none */
    uint64_t cpu_features;  /* 0: all of this CPU; else a mask of what may be used (tenon_device_info.features), for tests */
} tenon_context_options;

/* One line of probe: a device, or a backend without one and the reason. */
typedef struct tenon_device_info {
    uint32_t struct_size;
    int32_t backend;         /* TENON_BACKEND_* */
    int32_t available;       /* 1: usable; 0: see reason */
    int32_t device_id;
    uint64_t memory_bytes;
    uint64_t features;       /* bits of the backend; feature_text names them */
    int32_t n_units;         /* threads, SMs or CUs */
    int32_t reserved;
    char name[96];
    char feature_text[256];
    char reason[256];        /* why it is not available */
} tenon_device_info;

typedef struct tenon_kernel_info {
    uint32_t struct_size;
    int32_t op;
    int32_t backend;
    uint32_t traits;
    int32_t available;  /* 1: this machine can run it */
    int32_t rank;       /* place in the list that selection reads from the top */
    char name[96];
    char checked_on[32]; /* "hardware", "emulated" or "compiled": where its tests have run */
    char reason[256];   /* why this machine cannot run it */
} tenon_kernel_info;

/* ---- foreign kernels: a host's own function, with its own C signature, as the kernel of an operation ----
 * signature: "ret(type:source, ...)".  ret is void, or i32 (0 is success, any other value fails the run).
 * type is ptr, i64, i32, u64, u32, f64 or f32.  source is where the value comes from:
 *     a              the const DLTensor *         a.data        first element, byte_offset applied (NULL if the field is NULL)
 *     a.shape[i]     extent                       a.stride[i]   elements, filled in if the view has none
 *     a_quant        the const tenon_quant *      a_quant.scale.data   and so on, through a descriptor
 *     softmax_scale  a scalar field               flags stream workspace workspace_bytes fault args user
 * A name refers to the operation's field list. The signature is parsed and prepared once; a call costs 30 to 130 ns. */
typedef struct tenon_foreign_kernel {
    uint32_t struct_size;
    int32_t op;
    const char *name;      /* shown in query, log and kernel_info; copied */
    const char *signature; /* copied */
    void (*function)(void);
    void *user;
    /* NULL, or: return 1 to take these arguments (data pointers may be NULL), 0 to decline with a text in reason. */
    int32_t (*when)(void *user, const void *args, char *reason, size_t reason_bytes);
    int32_t priority; /* >= 0: before Tenon's own kernels, the largest first; < 0: only where none of Tenon's takes it */
    int32_t backend;  /* TENON_BACKEND_*; AUTO: any device */
    uint32_t traits;  /* TENON_TRAIT_* that the host vouches for */
    uint32_t reserved;
    uint64_t workspace_bytes; /* that the function needs in each run */
} tenon_foreign_kernel;

/* ---- the table. Append-only; every slot is non-NULL. A call that fails leaves its outputs untouched. ----
 * Threads: a context and its plans may be used from any thread at once; plan_update and *_destroy need the plan to themselves;
 * two runs at once need two workspaces. */
typedef struct tenon_api {
    uint32_t struct_size;
    uint32_t version; /* the negotiated one */

    const char *(*status_text)(int32_t status); /* "INVALID_ARGUMENT: an argument breaks .."; never NULL */
    uint32_t (*op_count)(void);
    const tenon_op_info *(*op_info)(uint32_t op); /* NULL past the end */
    const tenon_op_info *(*quant_info)(void);     /* the list of tenon_quant */

    int32_t (*context_create)(const tenon_context_options *options, tenon_context **out, tenon_error *error);
    void (*context_destroy)(tenon_context *context); /* after its plans; NULL is allowed */

    /* index 0, 1, ..: fills *out; INVALID_ARGUMENT past the end. */
    int32_t (*probe)(tenon_context *context, uint32_t index, tenon_device_info *out, tenon_error *error);
    int32_t (*kernel_info)(tenon_context *context, uint32_t index, tenon_kernel_info *out, tenon_error *error);

    /* Would it work, with what, and how much workspace? args as for plan_create. Returns OK whenever *out was filled. */
    int32_t (*query)(tenon_context *context, int32_t op, const void *args, const tenon_plan_options *options,
                     tenon_query *out, tenon_error *error);

    /* args: the operation's struct with the largest shapes of any run; data pointers may be NULL and contents are not read. */
    int32_t (*plan_create)(tenon_context *context, int32_t op, const void *args, const tenon_plan_options *options,
                           tenon_plan **out, tenon_error *error);
    int32_t (*plan_query)(const tenon_plan *plan, tenon_query *out, tenon_error *error);
    int32_t (*plan_update)(tenon_plan *plan, const void *args, tenon_error *error);
    void (*plan_destroy)(tenon_plan *plan); /* NULL is allowed */

    /* Enqueues. No allocation, no lock, no environment, no synchronisation. Shapes may be smaller than the plan's where the
     * list says "~"; types, devices and every other extent must be the plan's. */
    int32_t (*run)(const tenon_plan *plan, const void *args, tenon_error *error);
    /* The same with tagged values instead of the struct; a field that is not named is NULL or 0, as in a zeroed struct. */
    int32_t (*run_packed)(const tenon_plan *plan, const tenon_value *values, uint32_t n_values, tenon_error *error);

    /* Plan, run and destroy in one: for tests, tools and cold paths. Allocates the workspace too if the caller gives none (CPU only). */
    int32_t (*call)(tenon_context *context, int32_t op, const void *args, tenon_error *error);
    int32_t (*call_packed)(tenon_context *context, const char *op, const tenon_value *values, uint32_t n_values,
                           tenon_error *error);

    int32_t (*register_kernel)(tenon_context *context, const tenon_foreign_kernel *kernel, tenon_error *error);

    /* The plan as a plain C function of the given signature (as above; sources are then destinations: each argument replaces that
     * part of the template args before the run, so only a, a.data, a.shape[i], a.stride[i], scalars, stream, workspace,
     * workspace_bytes and fault can be named). Returns i32 status or void. The plan must outlive the closure. */
    int32_t (*closure_create)(const tenon_plan *plan, const void *args, const char *signature, tenon_closure **out,
                              void (**function)(void), tenon_error *error);
    void (*closure_destroy)(tenon_closure *closure);
} tenon_api;

#if defined(_WIN32)
#    define TENON_EXPORT
#else
#    define TENON_EXPORT __attribute__((visibility("default")))
#endif

/* The only normative export. *inout_version: in, the newest version that the host knows; out, the one that *out speaks (the highest
 * common one). host may be NULL. On VERSION_MISMATCH *inout_version is the library's newest and nothing else is written. */
TENON_EXPORT int32_t tenon_get_api(const tenon_host *host, uint32_t *inout_version, const tenon_api **out, tenon_error *error);
typedef int32_t (*tenon_get_api_fn)(const tenon_host *host, uint32_t *inout_version, const tenon_api **out, tenon_error *error);

/* Typed faces of plan_create, run and call:  tenon_matmul_plan(api, ctx, &args, NULL, &plan, &err), tenon_matmul_run(api, plan, &args, &err), .. */
#define TENON_DECLARE_CALLS(op, OP, number, doc)                                                    \
    static inline int32_t tenon_##op##_plan(const tenon_api *api, tenon_context *context, const tenon_##op##_args *args, \
                                            const tenon_plan_options *options, tenon_plan **out, tenon_error *error) {   \
        return api->plan_create(context, TENON_OP_##OP, args, options, out, error);                 \
    }                                                                                               \
    static inline int32_t tenon_##op##_run(const tenon_api *api, const tenon_plan *plan,            \
                                           const tenon_##op##_args *args, tenon_error *error) {     \
        return api->run(plan, args, error);                                                         \
    }                                                                                               \
    static inline int32_t tenon_##op##_call(const tenon_api *api, tenon_context *context,           \
                                            const tenon_##op##_args *args, tenon_error *error) {    \
        return api->call(context, TENON_OP_##OP, args, error);                                      \
    }
TENON_OP_LIST(TENON_DECLARE_CALLS)

#ifdef __cplusplus
}
#endif
#endif /* TENON_H */
