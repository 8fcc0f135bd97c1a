/* SPDX-License-Identifier: Apache-2.0 */
/* The GPU architectures that device code is compiled for, and what each can do. */
#ifndef TENON_ROCM_TARGET_H
#define TENON_ROCM_TARGET_H

#include <stdint.h>
#include <string.h>

/* Feature bits of this backend (tenon_kernel.needs, tenon_device_info.features). */
#define TENON_ROCM_FEATURE_LIST(X)                                                                 \
    X(WAVE64, 0, "wave64") /* waves of 64 lanes */                                                 \
    X(CDNA2, 1, "cdna2")   /* matrix instructions of MI200: bf16, f16 with 16-bit inputs */        \
    X(CDNA3, 2, "cdna3")   /* MI300: matrix instructions on fp8, wider k */                        \
    X(CDNA4, 3, "cdna4")   /* MI350: block-scaled matrix instructions, transposing LDS reads */    \
    X(FP8_FNUZ, 4, "fp8_fnuz") /* instructions read and write e4m3fnuz and e5m2fnuz */             \
    X(FP8_OCP, 5, "fp8_ocp")   /* instructions read and write e4m3fn and e5m2 */                   \
    X(WAVE32, 6, "wave32")     /* waves of 32 lanes */                                             \
    X(GFX12, 7, "gfx12")       /* gfx1250 */
#define TENON_E_ROCM_FEATURE(name, bit, text) TENON_ROCM_##name = 1u << bit,
enum { TENON_ROCM_FEATURE_LIST(TENON_E_ROCM_FEATURE) TENON_ROCM_FEATURES_END };

/* X(name, features, bytes of LDS in a workgroup, LDS banks) */
#define TENON_ROCM_TARGET_LIST(X)                                                                  \
    X(gfx90a, TENON_ROCM_WAVE64 | TENON_ROCM_CDNA2, 65536)                                         \
    X(gfx942, TENON_ROCM_WAVE64 | TENON_ROCM_CDNA2 | TENON_ROCM_CDNA3 | TENON_ROCM_FP8_FNUZ,       \
      65536)                                                                                       \
    X(gfx950,                                                                                      \
      TENON_ROCM_WAVE64 | TENON_ROCM_CDNA2 | TENON_ROCM_CDNA3 | TENON_ROCM_CDNA4 |                 \
          TENON_ROCM_FP8_OCP,                                                                      \
      163840)                                                                                      \
    X(gfx1250, TENON_ROCM_WAVE32 | TENON_ROCM_GFX12 | TENON_ROCM_FP8_OCP, 327680)

#define TENON_E_ROCM_TARGET(name, features, lds_bytes) TENON_ROCM_TARGET_##name,
typedef enum tenon_rocm_target {
    TENON_ROCM_TARGET_LIST(TENON_E_ROCM_TARGET) TENON_ROCM_TARGET_COUNT
} tenon_rocm_target;

typedef struct tenon_rocm_target_info {
    const char *name;
    uint64_t features;
    int32_t lds_bytes;
} tenon_rocm_target_info;

static inline const tenon_rocm_target_info *tenon_rocm_target_of(tenon_rocm_target target) {
#define TENON_ROCM_TARGET_ROW(name, features, lds_bytes) {#name, features, lds_bytes},
    static const tenon_rocm_target_info info[] = {TENON_ROCM_TARGET_LIST(TENON_ROCM_TARGET_ROW)};
    return &info[target];
}

/* gcnArchName is "gfx942:sramecc+:xnack-": the target, then features that our code objects leave
 * open ("any"), so that they load with either setting. TENON_ROCM_TARGET_COUNT: not one of ours. */
static inline tenon_rocm_target tenon_rocm_target_parse(const char *arch_name) {
    const size_t length = strcspn(arch_name, ":");
    int target = 0;
    for (; target < TENON_ROCM_TARGET_COUNT; target++) {
        const char *name = tenon_rocm_target_of((tenon_rocm_target)target)->name;
        if (strlen(name) == length && !memcmp(name, arch_name, length)) break;
    }
    return (tenon_rocm_target)target;
}

static inline const char *tenon_rocm_feature_name(uint64_t bit) {
#define TENON_ROCM_FEATURE_ROW(name, number, text) text,
    static const char *const names[] = {TENON_ROCM_FEATURE_LIST(TENON_ROCM_FEATURE_ROW)};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (bit == UINT64_C(1) << i) return names[i];
    return "an unknown feature";
}

#endif /* TENON_ROCM_TARGET_H */
