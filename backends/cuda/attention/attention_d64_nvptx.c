/* SPDX-License-Identifier: Apache-2.0 */
/* Head dims up to 64 (keys) and 64 (values). */
#define ATTENTION_D_QK           64
#define ATTENTION_D_V            64
#define ATTENTION_STAGES         2
#define ATTENTION_PART           64
#define ATTENTION_QUERIES_SHARED 0
#include "attention_body.inl"

ATTENTION_KERNELS(d64)
