/* families.h — the tiny models of every family, made by tools/golden_families.py. */
#ifndef PH_FAMILIES_H
#define PH_FAMILIES_H

#include <stddef.h>

/* tests/data/NAME.gguf; NULL behind the last */
static const char *const families[] = {
    "families/llama_bias",
    "families/llama_llama3",
    "families/llama_yarn",
    "families/mistral",
    "families/qwen2",
    "families/qwen3",
    "families/gemma",
    "families/gemma2",
    "families/gemma3",
    "families/gpt2",
    "families/gptneox",
    "families/gptneox_series",
    "families/phi2",
    "families/phi3",
    "families/phi3_long",
    "families/olmo2",
    "families/stablelm",
    "families/stablelm_parallel",
    NULL,
};

#endif
