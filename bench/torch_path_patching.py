"""The PyTorch side of path-patching.ts: one hooked forward of transformers per head or MLP.

Reads one JSON line with the model folder and the sequences, prepares, then answers every line on
standard input with one line: seconds for patching every sender, and the effects.
"""
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

torch.set_grad_enabled(False)
setup = json.loads(sys.stdin.readline())
torch.set_num_threads(setup["threads"])
model = AutoModelForCausalLM.from_pretrained(
    setup["folder"], dtype=torch.float32, attn_implementation="eager"
).eval()
reference = torch.tensor(setup["reference"])
counterfactual = torch.tensor(setup["counterfactual"])
answers = torch.tensor(setup["answers"])
others = torch.tensor(setup["others"])
heads = model.config.num_attention_heads

if model.config.model_type == "gpt2":
    outputs = [block.attn.c_proj for block in model.transformer.h]
    mlps = [block.mlp for block in model.transformer.h]
else:
    outputs = [layer.self_attn.o_proj for layer in model.model.layers]
    mlps = [layer.mlp for layer in model.model.layers]


def run(tokens):
    """Last logits, and z and MLP outputs of every layer."""
    seen_z, seen_mlp = [], []
    hooks = [o.register_forward_pre_hook(lambda _, a: seen_z.append(a[0].clone())) for o in outputs]
    hooks += [m.register_forward_hook(lambda _, __, out: seen_mlp.append(out.clone())) for m in mlps]
    logits = model(tokens).logits[:, -1]
    for hook in hooks:
        hook.remove()
    return logits, seen_z, seen_mlp


def difference(logits):
    rows = torch.arange(len(answers))
    return (logits[rows, answers] - logits[rows, others]).mean().item()


def patch_all():
    logits, z_ref, mlp_ref = run(reference)
    _, z_cf, mlp_cf = run(counterfactual)
    base = difference(logits)
    effects = []
    senders = [(l, h) for l in range(len(outputs)) for h in range(heads)]
    senders += [(l, None) for l in range(len(mlps))]
    for layer, head in senders:
        hooks = []
        for l, output in enumerate(outputs):

            def frozen(_, args, l=l):
                z = z_ref[l].clone()
                if l == layer and head is not None:
                    width = z.shape[-1] // heads
                    part = slice(head * width, (head + 1) * width)
                    z[:, -1, part] = z_cf[l][:, -1, part]
                return (z,)

            hooks.append(output.register_forward_pre_hook(frozen))
        if head is None:

            def replaced(_, __, out):
                out = out.clone()
                out[:, -1] = mlp_cf[layer][:, -1]
                return out

            hooks.append(mlps[layer].register_forward_hook(replaced))
        effects.append(difference(model(reference).logits[:, -1]) - base)
        for hook in hooks:
            hook.remove()
    return effects


patch_all()  # warm up
print(json.dumps({"ready": torch.__version__}), flush=True)
for _ in sys.stdin:
    start = time.perf_counter()
    effects = patch_all()
    print(json.dumps({"seconds": time.perf_counter() - start, "effects": effects}), flush=True)
