"""The PyTorch side of tuning.ts: one update of a transformers model.

Reads one JSON line with the model folder, dtype, selected heads and the batch, prepares, then answers
{"method": ..., "supervised": ...} lines with seconds, loss and the peak of resident memory above that
after loading; with "curve", a list of batches of whole rows, the losses of an update on each. Methods: full; masked (gradients of the matrices that hold selected heads, multiplied
by masks in hooks; all else needs no gradient, so autograd stops below the lowest of them); lora
(rank 8 on q, k, v and o of every layer, by hand: what PEFT computes, without its bookkeeping).
"""
import gc
import json
import sys
import time

import torch
from torch import nn
from transformers import AutoModelForCausalLM

setup = json.loads(sys.stdin.readline())
torch.set_num_threads(setup["threads"])
dtype = torch.bfloat16 if setup["dtype"] == "bf16" else torch.float32
model = AutoModelForCausalLM.from_pretrained(setup["folder"], dtype=dtype).train()
model.config.use_cache = False
tokens = torch.tensor(setup["tokens"])
targets = torch.tensor(setup["targets"])
heads = setup["heads"]
width = model.config.hidden_size // model.config.num_attention_heads
start = {name: value.clone() for name, value in model.state_dict().items()}
model.load_state_dict(start)
with torch.no_grad():
    model(tokens[:1, :1])  # every page of the weights is resident now


def memory(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return 0


loaded = memory("VmRSS")


class Lora(nn.Module):
    def __init__(self, base, a):
        super().__init__()
        self.base = base
        if a is None:
            a = torch.empty(8, base.in_features, dtype=dtype).uniform_(-0.03, 0.03)
        self.a = nn.Parameter(a)
        self.b = nn.Parameter(torch.zeros(base.out_features, 8, dtype=dtype))

    def forward(self, x):
        return self.base(x) + 2 * (x @ self.a.T) @ self.b.T


def select(method):
    """The parameters to train, with what undoes the preparation."""
    for p in model.parameters():
        p.requires_grad_(method == "full")
    if method == "full":
        return list(model.parameters()), lambda: None
    undo, trained = [], []
    layers = model.model.layers
    if method == "lora":
        given = {(f["slot"], f["layer"]): f for f in setup.get("factors", [])}
        for index, layer in enumerate(layers):
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                base = getattr(layer.self_attn, name)
                factor = given.get((f"w{name[0]}", index))
                a = factor and torch.tensor(factor["a"]).view(factor["rank"], -1)
                wrapped = Lora(base, a)
                setattr(layer.self_attn, name, wrapped)
                trained += [wrapped.a, wrapped.b]
                undo.append(lambda layer=layer, name=name, base=base: setattr(layer.self_attn, name, base))
        return trained, lambda: [one() for one in undo]
    for index in sorted({layer for layer, _ in heads}):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            p = getattr(layers[index].self_attn, name).weight
            mask = torch.zeros_like(p)
            for layer, head in heads:
                part = slice(head * width, (head + 1) * width)
                if layer == index and name == "o_proj":
                    mask[:, part] = 1
                elif layer == index:
                    mask[part] = 1
            p.requires_grad_(True)
            undo.append(p.register_hook(lambda grad, mask=mask: grad * mask).remove)
            trained.append(p)
    return trained, lambda: [one() for one in undo]


def step(optimizer, trained, supervised, tokens=tokens, targets=targets):
    logits = model(tokens).logits[:, -supervised:].float()
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets[:, -supervised:].flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


current = None
print(json.dumps({"ready": torch.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if current is None or current[0] != request["method"]:
        if current:
            current[2]()
        current = optimizer = trained = None
        model.load_state_dict(start)
        gc.collect()
        trained, undo = select(request["method"])
        optimizer = torch.optim.AdamW(trained, lr=request["lr"], weight_decay=0.0)
        current = (request["method"], trained, undo)
    if "curve" in request:
        batches = [torch.tensor(rows) for rows in request["curve"]]
        losses = [
            step(optimizer, trained, request["supervised"], b[:, :-1], b[:, 1:]) for b in batches
        ]
        print(json.dumps({"losses": losses}), flush=True)
        continue
    if not optimizer.state:
        step(optimizer, trained, request["supervised"])  # moments exist from here on
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")
    begun = time.perf_counter()
    losses = [step(optimizer, trained, request["supervised"]) for _ in range(request.get("steps", 1))]
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "losses": losses, "bytes": memory("VmHWM") - loaded}), flush=True)
