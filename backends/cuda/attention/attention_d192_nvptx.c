/* SPDX-License-Identifier: Apache-2.0 */
/* Head dims up to 192 (keys) and 128 (values). */
#define ATTENTION_D_QK           192
#define ATTENTION_D_V            128
#define ATTENTION_STAGES         2
#define ATTENTION_PART           64
#define ATTENTION_QUERIES_SHARED 0
#include "attention_body.inl"

ATTENTION_KERNELS(d192)
