"""The PyTorch side of forward.ts: transformers on the same folders, eager and sdpa.

Answers every JSON line on standard input with one line. Only the work itself is timed: token ids,
masks and positions are prepared before the clock starts.
"""
import gc
import json
import sys
import time

import torch
import transformers
from transformers import AutoModelForCausalLM, DynamicCache
from transformers.models.llama import modeling_llama  # noqa: F401  so that no load pays for the import

models = {}
clock = time.perf_counter


def load(folder, attention, dtype):
    kind = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, attn_implementation=attention)
    return model.eval()


def timed(work, times):
    """Median seconds of `times` calls, and what the last one gave."""
    seconds = []
    for _ in range(times):
        start = clock()
        result = work()
        seconds.append(clock() - start)
    return sorted(seconds)[len(seconds) // 2], result


def padded(sequences):
    """One batch, padded on the left, so that the last column is every sequence's last token."""
    width = max(map(len, sequences))
    ids = torch.tensor([[0] * (width - len(s)) + s for s in sequences])
    mask = torch.tensor([[0] * (width - len(s)) + [1] * len(s) for s in sequences])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    same = all(len(s) == width for s in sequences)
    return [dict(input_ids=ids) if same else dict(input_ids=ids, attention_mask=mask, position_ids=positions)]


def items(sequences):
    return [dict(input_ids=torch.tensor([s])) for s in sequences]


def forward(model, way, sequences, times):
    inputs = {"padded": padded, "items": items}[way](sequences)

    def run():
        return torch.cat(
            [model(**i, logits_to_keep=1, use_cache=False).logits[:, -1] for i in inputs]
        )

    seconds, logits = timed(run, times)
    return {"seconds": seconds, "logits": logits.float().flatten().tolist()}


def hooked(model, sequences, times, what):
    """Forward passes with a plain PyTorch hook on every output projection: one that keeps a copy of z,
    or one that hands the first head's z to a Python function that does nothing."""
    kept = []
    d_head = model.config.hidden_size // model.config.num_attention_heads

    def nothing(values):
        return None

    def copy(_, args):
        kept.append(args[0].clone())

    def call(_, args):
        nothing(args[0][..., :d_head])

    handles = [
        layer.self_attn.o_proj.register_forward_pre_hook({"copy": copy, "nothing": call}[what])
        for layer in model.model.layers
    ]

    inputs = padded(sequences)[0]

    def run():
        kept.clear()
        return model(**inputs, logits_to_keep=1, use_cache=False).logits

    seconds, _ = timed(run, times)
    for handle in handles:
        handle.remove()
    return {"seconds": seconds}


def decode(model, prompt, tokens):
    """Seconds a token, after the prompt and one token of warming up."""
    cache = DynamicCache(config=model.config)
    ids = torch.tensor([prompt])
    seconds, seen = [], []
    for _ in range(tokens + 2):
        start = clock()
        logits = model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        ids = logits[:, -1].argmax(-1, keepdim=True)
        seen.append(ids.item())
        seconds.append(clock() - start)
    return {"seconds": sorted(seconds[2:])[tokens // 2], "ids": seen}


def first_logits(folder, attention, dtype, sequences):
    inputs = padded(sequences)[0]
    gc.collect()
    start = clock()
    model = load(folder, attention, dtype)
    model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1].sum().item()
    return {"seconds": clock() - start}


def answer(do, **given):
    if do == "setup":
        global clock
        clock = time.process_time if given["cpu"] else time.perf_counter
        torch.set_num_threads(given["threads"])
        transformers.utils.logging.disable_progress_bar()
        transformers.logging.set_verbosity_error()
        return {"torch": torch.__version__, "transformers": transformers.__version__}
    if do == "open":
        for attention in ("eager", "sdpa"):
            models[attention] = load(given["folder"], attention, given["dtype"])
        return {}
    if do == "close":
        models.clear()
        gc.collect()
        return {}
    if do == "load":
        return first_logits(given["folder"], given["attention"], given["dtype"], given["sequences"])
    model = models[given.pop("attention")]
    return {"forward": forward, "hooked": hooked, "decode": decode}[do](model, **given)


with torch.inference_mode():
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), flush=True)
