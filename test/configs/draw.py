"""Draws random small models of every family, and records what transformers computes.

    python draw.py OUT [--each 20] [--seed 1] [FAMILY...]

For each case it writes OUT/FAMILY/N with config.json and weights (some in shards, some in half
precision), and, in OUT/FAMILY/cases.json, the settings, the prompt, and either the error or the place of
the logits in OUT/FAMILY/logits.safetensors. compare.test.ts then demands that the engine does the same, or
refuses. Prompts are longer than sliding windows and, now and then, than the length a rotary embedding was
trained for. Some config.json are rewritten as transformers 4 wrote them, without what was its default.
"""

import argparse
import json
import random
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

warnings.filterwarnings("ignore")
logging.set_verbosity_error()
logging.disable_progress_bar()
torch.set_num_threads(1)

VOCAB = 97
CONTEXT = 64


def one(r, *choices):
    return r.choice(choices)


def heads(r):
    """Query heads, key/value heads, and the width of a head."""
    kv = one(r, 1, 2, 3)
    return kv * one(r, 1, 2, 3), kv, 2 * r.randint(1, 12)


def ropes(r, width, types):
    """Settings of rotary positions in transformers 5's spelling; partial ones are the caller's."""
    kind = r.choice(types)
    out = {"rope_theta": one(r, 10000.0, 500000.0, 50.0), "rope_type": kind}
    if kind in ("linear", "dynamic", "yarn"):
        out["factor"] = one(r, 2.0, 4.0, 1.5)
    if kind == "dynamic":
        out["original_max_position_embeddings"] = CONTEXT // 2
    if kind == "yarn":
        out["original_max_position_embeddings"] = CONTEXT // 2
        if r.random() < 0.4:
            out |= {"beta_fast": 16.0, "beta_slow": 2.0}
        if r.random() < 0.3:
            out["attention_factor"] = 0.8
        elif r.random() < 0.3:
            out |= {"mscale": 0.7, "mscale_all_dim": 0.4}
    if kind == "llama3":
        out |= {"factor": one(r, 8.0, 32.0), "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": one(r, 16, 32)}
    if kind == "longrope":
        out |= {"original_max_position_embeddings": CONTEXT // 2,
                "short_factor": [round(r.uniform(1, 2), 2) for _ in range(width // 2)],
                "long_factor": [round(r.uniform(1, 6), 2) for _ in range(width // 2)]}
    return out


def llama_like(r, rope_types=("default", "default", "linear", "dynamic", "yarn", "llama3"),
               own_width=True, uneven=False):
    n, kv, d = heads(r)
    # Without a width of its own a head has hidden_size / heads, rounded down where it may be.
    own = own_width and r.random() < 0.5
    more = r.randrange(n) if uneven and r.random() < 0.3 else 0
    return {
        "num_attention_heads": n, "num_key_value_heads": kv,
        "hidden_size": 2 * r.randint(4, 24) if own else n * d + more,
        **({"head_dim": d} if own else {}),
        "intermediate_size": r.randint(5, 70),
        "hidden_act": one(r, "silu", "silu", "gelu", "gelu_pytorch_tanh", "relu"),
        "rms_norm_eps": one(r, 1e-6, 1e-5, 1e-3),
        "tie_word_embeddings": r.random() < 0.4,
        "rope_parameters": ropes(r, d, rope_types),
    }


def window(r):
    return {"sliding_window": one(r, None, 3, 7, 20)}


def qwen2_windows(r):
    return {"use_sliding_window": r.random() < 0.5, "sliding_window": one(r, 3, 9),
            "max_window_layers": r.randint(0, 3)}


def bases(r, *names):
    return {name: r.random() < 0.5 for name in names}


def partial(settings, fraction):
    settings["rope_parameters"]["partial_rotary_factor"] = fraction
    return settings


def gpt_like(r):
    return one(r, 1, 2, 3, 5), 4 * r.randint(1, 6)


def gpt2(r):
    n, d = gpt_like(r)
    return {"n_head": n, "n_embd": n * d, "n_inner": one(r, None, r.randint(5, 90)),
            "activation_function": one(r, "gelu_new", "gelu", "relu", "silu"),
            "layer_norm_epsilon": one(r, 1e-5, 1e-3), "n_positions": one(r, CONTEXT, CONTEXT, 1024),
            "scale_attn_weights": r.random() < 0.7, "tie_word_embeddings": r.random() < 0.8,
            "scale_attn_by_inverse_layer_idx": r.random() < 0.3}


def gptj(r):
    n, d = gpt_like(r)
    return {"n_head": n, "n_embd": n * d, "n_inner": one(r, None, r.randint(5, 90)),
            "rotary_dim": 2 * r.randint(1, d // 2), "n_positions": CONTEXT,
            "activation_function": one(r, "gelu_new", "gelu", "relu"),
            "layer_norm_epsilon": one(r, 1e-5, 1e-3)}


def gpt_neox(r):
    n, d = gpt_like(r)
    settings = {"num_attention_heads": n, "hidden_size": n * d, "intermediate_size": r.randint(5, 90),
                "hidden_act": one(r, "gelu", "gelu_new", "relu"),
                "layer_norm_eps": one(r, 1e-5, 1e-3),
                **bases(r, "use_parallel_residual", "attention_bias", "tie_word_embeddings"),
                "rope_parameters": ropes(r, d, ("default", "default", "linear", "dynamic"))}
    return partial(settings, one(r, 0.25, 0.5, 1.0))


def opt(r):
    n, d = gpt_like(r)
    return {"num_attention_heads": n, "hidden_size": n * d, "ffn_dim": r.randint(5, 90),
            "word_embed_proj_dim": one(r, n * d, n * d, 12), "enable_bias": r.random() < 0.7,
            "layer_norm_elementwise_affine": r.random() < 0.8,
            "do_layer_norm_before": r.random() < 0.7, "tie_word_embeddings": r.random() < 0.8,
            "activation_function": one(r, "relu", "gelu"), "pad_token_id": 1}


def stablelm(r):
    # Its heads have the width hidden_size / heads.
    settings = llama_like(r, ("default", "linear", "dynamic"), own_width=False)
    settings["layer_norm_eps"] = settings.pop("rms_norm_eps")
    settings |= bases(r, "use_qkv_bias", "qk_layernorm", "use_parallel_residual")
    return partial(settings, one(r, 0.25, 0.5, 1.0))


def phi(r):
    settings = llama_like(r, ("default", "linear", "dynamic"), own_width=False, uneven=True)
    settings["layer_norm_eps"] = settings.pop("rms_norm_eps")
    settings["hidden_act"] = one(r, "gelu_new", "gelu", "relu")
    settings["qk_layernorm"] = r.random() < 0.2
    return partial(settings, one(r, 0.25, 0.5, 1.0))


def phi3(r):
    settings = llama_like(r, ("default", "longrope"), own_width=False, uneven=True) | window(r)
    settings["original_max_position_embeddings"] = CONTEXT // 2
    return settings


def starcoder2(r):
    settings = llama_like(r, ("default", "linear", "dynamic", "yarn"), own_width=False, uneven=True)
    settings["norm_epsilon"] = settings.pop("rms_norm_eps")
    settings["hidden_act"] = one(r, "gelu_pytorch_tanh", "gelu")
    return settings | window(r) | bases(r, "use_bias")


def gemma2(r):
    settings = llama_like(r, ("default", "default", "linear"))
    settings["hidden_activation"] = settings.pop("hidden_act")
    settings.setdefault("head_dim", settings["hidden_size"] // settings["num_attention_heads"])
    settings["hidden_size"] = 2 * settings["num_attention_heads"] * r.randint(1, 5)
    return settings | {
        "query_pre_attn_scalar": one(r, 4, 7, 256), "sliding_window": one(r, 3, 7, 20),
        "attn_logit_softcapping": one(r, None, 2.0, 50.0),
        "final_logit_softcapping": one(r, None, 3.0, 30.0), "attention_bias": r.random() < 0.3}


def mixtral(r):
    experts = r.randint(2, 5)
    return llama_like(r, ("default", "linear"), uneven=True) | window(r) | {
        "num_local_experts": experts, "num_experts_per_tok": r.randint(1, experts)}


FAMILIES = {
    "llama": lambda r: llama_like(r) | bases(r, "attention_bias", "mlp_bias"),
    "mistral": lambda r: llama_like(r, ("default", "linear", "yarn"), uneven=True) | window(r),
    "mixtral": mixtral,
    "qwen2": lambda r: llama_like(r, ("default", "linear", "yarn"), own_width=False, uneven=True)
    | qwen2_windows(r),
    "qwen3": lambda r: (lambda s: s | {"head_dim": s.get(
        "head_dim", s["hidden_size"] // s["num_attention_heads"])} | qwen2_windows(r)
        | bases(r, "attention_bias"))(llama_like(r, ("default", "yarn"))),
    "gemma2": gemma2,
    "phi3": phi3,
    "phi": phi,
    "olmo2": lambda r: llama_like(r, ("default", "linear", "dynamic"), own_width=False, uneven=True)
    | bases(r, "attention_bias"),
    "gpt2": gpt2,
    "gptj": gptj,
    "gpt_neox": gpt_neox,
    "opt": opt,
    "stablelm": stablelm,
    "starcoder2": starcoder2,
}
# The defaults of transformers 4, which published files leave out, are those of 5 but for these.
DEPTH = {"gpt2": "n_layer", "gptj": "n_layer"}


def randomise(model, seed):
    """Weights so large that every part matters, and norms and biases that are no identities."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=g)
            if p.dim() > 1:
                p.copy_(noise * (1.5 / p.shape[-1] ** 0.5 if "embed" not in name else 0.7))
            elif "bias" in name:
                p.copy_(0.3 * noise)
            else:
                p.add_(0.3 * noise)


def as_version_4(config):
    """The spelling of transformers 4: no rope_parameters, torch_dtype, no layer_types."""
    out = {k: v for k, v in config.items() if k not in ("rope_parameters", "dtype", "layer_types")}
    out["torch_dtype"] = config.get("dtype")
    out["transformers_version"] = "4.40.0"
    if config["model_type"] == "gpt2" and config["n_positions"] == 1024:
        del out["n_positions"]
    rope = dict(config.get("rope_parameters") or {})
    if rope:
        out["rope_theta"] = rope.pop("rope_theta", 10000.0)
        fraction = rope.pop("partial_rotary_factor", None)
        if config["model_type"] == "gpt_neox":
            out["rotary_pct"], out["rotary_emb_base"] = fraction, out.pop("rope_theta")
        elif fraction is not None:
            out["partial_rotary_factor"] = fraction
        out["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    return out


def draw(family, r, folder):
    settings = FAMILIES[family](r)
    settings |= {"vocab_size": VOCAB, "bos_token_id": None, "eos_token_id": None,
                 DEPTH.get(family, "num_hidden_layers"): r.randint(1, 4)}
    if family not in DEPTH:
        settings["max_position_embeddings"] = CONTEXT
    settings.setdefault("pad_token_id", None)
    stored = one(r, torch.float32, torch.float32, torch.bfloat16, torch.float16)
    seed = r.randrange(2**31)
    version_4, sharded = r.random() < 0.4, r.random() < 0.3
    length = one(r, 1, 5, 12, 30, 40, 64)
    ids = [r.randrange(2, VOCAB) for _ in range(length)]
    case = {"key": "drawn", "value": {**settings, "stored": str(stored)}, "ids": ids,
            "spelling": "version 4" if version_4 else "version 5"}
    try:
        config = AutoConfig.for_model(family, **settings)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        randomise(model, seed)
        model = model.to(stored)
        model.save_pretrained(folder, max_shard_size="8KB" if sharded else "1GB")
        if version_4:
            file = folder / "config.json"
            file.write_text(json.dumps(as_version_4(json.loads(file.read_text())), indent=1))
        again = AutoModelForCausalLM.from_pretrained(
            folder, attn_implementation="eager", dtype=torch.float64,
            **({"experts_implementation": "eager"} if family == "mixtral" else {})).eval()
        with torch.no_grad():
            logits = again(input_ids=torch.tensor([ids]), use_cache=False).logits
        return {**case, "runs": True}, logits.contiguous()
    except Exception as error:  # whatever transformers says
        return {**case, "error": f"{type(error).__name__}: {error}"[:300]}, None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument("families", nargs="*")
    arguments.add_argument("--each", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    for family in given.families or FAMILIES:
        cases, logits = [], {}
        for number in range(given.each):
            r = random.Random(f"{given.seed} {family} {number}")
            folder = given.out / family / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            case, values = draw(family, r, folder)
            cases.append({"number": str(number), **case})
            if values is not None:
                logits[str(number)] = values
        save_file(logits, given.out / family / "logits.safetensors")
        (given.out / family / "cases.json").write_text(json.dumps({"cases": cases}, indent=1))
        print(family, len(cases), "cases,", len(logits), "run", flush=True)


if __name__ == "__main__":
    main()
