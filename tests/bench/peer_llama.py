# SPDX-License-Identifier: Apache-2.0
"""llama.cpp (through llama-cpp-python) as a peer: reads requests as lines of JSON, answers with lines of JSON.

    python peer_llama.py MODEL THREADS
    {"ids": [1, 2, 3], "tokens": 64}  ->  {"prompt_s": .., "generation_s": .., "ids": [..]}
    python peer_llama.py --requantize MODEL Q4_0 NEW_FILE

Only llama.cpp's own work is timed, not Python's: llama_decode of the prompt, and one llama_decode for each further token. Greedy.
"""

import ctypes
import importlib.metadata
import json
import sys
import time

import llama_cpp
import numpy as np


def quiet(level, text, user):
    del level, text, user


def requantize(model_path, name, path):
    options = llama_cpp.llama_model_quantize_default_params()
    options.ftype, options.allow_requantize = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{name}"), True
    return llama_cpp.llama_model_quantize(model_path.encode(), path.encode(), ctypes.byref(options))


def main():
    if sys.argv[1] == "--requantize":
        return requantize(*sys.argv[2:])
    model_path, n_threads = sys.argv[1], int(sys.argv[2])
    keep = llama_cpp.llama_log_callback(quiet)
    llama_cpp.llama_log_set(keep, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(model_path.encode(), llama_cpp.llama_model_default_params())
    options = llama_cpp.llama_context_default_params()
    options.n_ctx, options.n_batch, options.n_ubatch = 2048, 2048, 512
    options.n_threads = options.n_threads_batch = n_threads
    context = llama_cpp.llama_init_from_model(model, options)
    size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    info = llama_cpp.llama_print_system_info().decode()
    print(json.dumps({"name": f"llama-cpp-python {importlib.metadata.version('llama-cpp-python')}", "features": info.strip()}), flush=True)

    def decode(ids):
        """Seconds, and the likeliest next token."""
        array = (llama_cpp.llama_token * len(ids))(*ids)
        batch = llama_cpp.llama_batch_get_one(array, len(ids))
        start = time.perf_counter()
        if llama_cpp.llama_decode(context, batch):
            raise RuntimeError("llama_decode failed")
        llama_cpp.llama_synchronize(context)
        seconds = time.perf_counter() - start
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), (size,))
        return seconds, int(logits.argmax())

    for line in sys.stdin:
        request = json.loads(line)
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        prompt_s, token = decode(request["ids"])
        out, generation_s = [token], 0.0
        while len(out) < request["tokens"]:
            seconds, token = decode(out[-1:])
            generation_s += seconds
            out.append(token)
        print(json.dumps({"prompt_s": prompt_s, "generation_s": generation_s, "ids": out}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
