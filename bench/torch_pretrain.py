"""The PyTorch side of pretrain.ts: training steps of transformers on the same weights and tokens.

Reads one JSON line with the model folder, the threads and the sequences (of one length), prepares,
then answers every line {"dtype": "f32" | "bf16", "steps": n} with seconds and the losses. bf16 is
autocast with float masters, as keyheads has it.
"""
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

setup = json.loads(sys.stdin.readline())
torch.set_num_threads(setup["threads"])
batches = [torch.tensor(batch) for batch in setup["batches"]]


def start():
    model = AutoModelForCausalLM.from_pretrained(setup["folder"], dtype=torch.float32)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=setup["lr"], betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1, fused=True
    )
    return model, optimizer


def step(model, optimizer, ids, dtype):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == "bf16"):
        logits = model(ids[:, :-1], use_cache=False).logits
    flat = logits.float().reshape(-1, logits.shape[-1])
    loss = torch.nn.functional.cross_entropy(flat, ids[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


trained = {dtype: start() for dtype in ("f32", "bf16")}
print(json.dumps({"ready": torch.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    dtype = request["dtype"]
    begin = time.perf_counter()
    losses = [step(*trained[dtype], batches[i % len(batches)], dtype) for i in range(request["from"], request["to"])]
    print(json.dumps({"seconds": time.perf_counter() - begin, "losses": losses}), flush=True)
