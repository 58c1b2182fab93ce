"""A tiny network of each architecture, with random weights large enough that a mistake shows."""

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

VOCABULARY, CONTEXT, WINDOW = 300, 96, 3
MARKS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
PLAIN = MARKS | {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}
GROUPED = PLAIN | {"num_key_value_heads": 2, "intermediate_size": 48}
WINDOWED = GROUPED | {"head_dim": 8, "sliding_window": WINDOW}
EXPERTS = GROUPED | {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
GPT = MARKS | {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
GEMMA = WINDOWED | {"query_pre_attn_scalar": 8}
LATENT = PLAIN | {
    "intermediate_size": 48,
    "moe_intermediate_size": 24,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
}
PICTURES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}

SHAPES: dict[str, tuple[str, dict]] = {
    "Llama": ("LlamaConfig", GROUPED),
    "Mistral": ("MistralConfig", WINDOWED),
    "Mixtral": ("MixtralConfig", WINDOWED | {"num_local_experts": 4}),
    "Qwen2": ("Qwen2Config", GROUPED),
    "Qwen2-MoE": ("Qwen2MoeConfig", EXPERTS | {"shared_expert_intermediate_size": 24}),
    "Qwen3": ("Qwen3Config", GROUPED | {"head_dim": 8}),
    "Qwen3-MoE": ("Qwen3MoeConfig", EXPERTS),
    "SmolLM3": ("SmolLM3Config", GROUPED),
    "GPT-2": ("GPT2Config", GPT),
    "GPT-BigCode": ("GPTBigCodeConfig", GPT),
    "GPT-J": ("GPTJConfig", GPT | {"rotary_dim": 4}),
    "GPT-Neo": (
        "GPTNeoConfig",
        MARKS
        | {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
            "max_position_embeddings": CONTEXT,
        },
    ),
    "GPT-NeoX": ("GPTNeoXConfig", PLAIN | {"intermediate_size": 48}),
    "gpt-oss": ("GptOssConfig", WINDOWED | {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "OPT": ("OPTConfig", PLAIN | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "BLOOM": (
        "BloomConfig",
        MARKS | {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4, "seq_length": CONTEXT},
    ),
    "MPT": (
        "MptConfig",
        MARKS | {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": CONTEXT},
    ),
    "Falcon": ("FalconConfig", PLAIN),
    "Falcon with ALiBi": ("FalconConfig", PLAIN | {"alibi": True, "multi_query": False, "parallel_attn": False}),
    "Phi": ("PhiConfig", PLAIN | {"intermediate_size": 48}),
    "Phi-3": ("Phi3Config", GROUPED),
    "Phi-3 with LongRoPE": (
        "Phi3Config",
        GROUPED | {"original_max_position_embeddings": 16, "rope_parameters": LONGROPE},
    ),
    "Gemma": ("GemmaConfig", GROUPED | {"head_dim": 8}),
    "Gemma 2": ("Gemma2Config", GEMMA | {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}),
    "Gemma 3": ("Gemma3TextConfig", GEMMA),
    "Gemma 3 with pictures": (
        "Gemma3Config",
        {
            "text_config": GEMMA,
            "vision_config": PICTURES,
            "mm_tokens_per_image": 4,
            "image_token_index": 299,
            "boi_token_index": 298,
            "eoi_token_index": 297,
        },
    ),
    "OLMo": ("OlmoConfig", GROUPED),
    "OLMo 2": ("Olmo2Config", GROUPED),
    "OLMo 3": ("Olmo3Config", GROUPED | {"sliding_window": WINDOW}),
    "OLMoE": ("OlmoeConfig", GROUPED | {"num_experts": 4, "num_experts_per_tok": 2}),
    "StableLM": ("StableLmConfig", GROUPED),
    "StarCoder2": ("Starcoder2Config", GROUPED | {"sliding_window": WINDOW}),
    "Granite": (
        "GraniteConfig",
        GROUPED | {"logits_scaling": 4.0, "attention_multiplier": 0.2, "residual_multiplier": 0.3},
    ),
    "Granite-MoE": (
        "GraniteMoeConfig",
        GROUPED | {"logits_scaling": 4.0, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "Cohere": ("CohereConfig", GROUPED | {"logit_scale": 0.25}),
    "Cohere 2": ("Cohere2Config", WINDOWED | {"logit_scale": 0.25}),
    "DeepSeek-V2": ("DeepseekV2Config", LATENT),
    "DeepSeek-V3": ("DeepseekV3Config", LATENT),
    "GLM-4": ("Glm4Config", GROUPED | {"head_dim": 8}),
    "EXAONE 4": ("Exaone4Config", WINDOWED),
    "Nemotron": ("NemotronConfig", GROUPED),
    "Llama 4": ("Llama4TextConfig", EXPERTS | {"intermediate_size_mlp": 48, "num_local_experts": 2}),
    "Mamba": ("MambaConfig", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    "Jamba": (
        "JambaConfig",
        GROUPED | {"num_experts": 2, "mamba_d_state": 4, "attn_layer_period": 2, "attn_layer_offset": 1},
    ),
    "LFM2": ("Lfm2Config", GROUPED | {"layer_types": ["conv", "full_attention"]}),
    "Qwen3-Next": (
        "Qwen3NextConfig",
        EXPERTS
        | {
            "shared_expert_intermediate_size": 24,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "layer_types": ["linear_attention", "full_attention"],
        },
    ),
    "RWKV": (
        "RwkvConfig",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
    ),
    "T5": (
        "T5Config",
        {"vocab_size": VOCABULARY, "d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "d_kv": 8},
    ),
    "BART": (
        "BartConfig",
        {"vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1},
    ),
    "BERT": ("BertConfig", PLAIN | {"intermediate_size": 48}),
}


def tiny_config(name: str) -> PreTrainedConfig:
    """The settings of a network of this architecture."""
    kind, shape = SHAPES[name]
    return getattr(transformers, kind)(**shape)


def tiny_network(name: str) -> PreTrainedModel:
    """A causal language model of this architecture. Its matrices are drawn so wide that its probabilities are far from even."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(name)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.4)
            else:
                weight += 0.2 * torch.randn(weight.shape)
    return model
