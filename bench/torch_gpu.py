"""The PyTorch side of gpu.ts, on LLaMA-shaped models in transformers with sdpa.

Reads JSON lines, answers each with one line. Times are of the device's own clock (events) on a GPU.
"""
import json
import sys
import time

import torch
from torch import nn
from transformers import AutoModelForCausalLM


class Side:
    def open(self, folder, dtype, device):
        self.device = device
        self.dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype]
        self.model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=self.dtype, attn_implementation="sdpa"
        ).to(device)
        self.model.config.use_cache = False
        self.model.requires_grad_(False)
        self.layers = self.model.model.layers
        self.heads = self.model.config.num_attention_heads
        self.width = self.model.config.hidden_size // self.heads
        self.optimizer = None
        name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
        return {"torch": torch.__version__, "device": name, "flops": self.flops(), "bytes": self.bytes()}

    def timed(self, work):
        """Seconds of one call."""
        if self.device != "cuda":
            begun = time.perf_counter()
            work()
            return time.perf_counter() - begun
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000

    def best(self, work):
        work()
        return min(self.timed(work) for _ in range(10))

    def flops(self):
        """Operations a second of a large matrix product in this dtype."""
        n = 8192 if self.device == "cuda" else 1024
        a, b = (torch.randn(n, n, device=self.device, dtype=self.dtype) for _ in range(2))
        return 2 * n**3 / self.best(lambda: a @ b)

    def bytes(self):
        """Bytes a second that a copy reads and writes."""
        n = 2**30 if self.device == "cuda" else 2**26
        a = torch.zeros(n, device=self.device, dtype=torch.uint8)
        b = torch.empty_like(a)
        return 2 * n / self.best(lambda: b.copy_(a))

    def tensor(self, values):
        return torch.tensor(values, device=self.device)

    @torch.no_grad()
    def forward(self, tokens):
        ids = self.tensor(tokens)
        return {"seconds": self.timed(lambda: self.model(ids, logits_to_keep=1).logits)}

    @torch.no_grad()
    def hooked(self, reference, counterfactual, answers, senders):
        """One forward pass over all items for each sender: its z of X_c at the end, attention frozen."""
        reference, counterfactual = self.tensor(reference), self.tensor(counterfactual)
        answers = self.tensor(answers)
        z, out = self.capture(counterfactual)[0], self.capture(reference)[1]

        def run():
            for layer, head in senders:
                self.patched(reference, z, out, layer, head, answers)

        return {"seconds": self.timed(run)}

    def capture(self, tokens):
        z, out, handles = [], [], []
        for layer in self.layers:
            o = layer.self_attn.o_proj
            handles.append(o.register_forward_pre_hook(lambda _, args: z.append(args[0])))
            handles.append(o.register_forward_hook(lambda _, __, y: out.append(y)))
        self.model.model(tokens)
        for handle in handles:
            handle.remove()
        return z, out

    def patched(self, tokens, z, out, layer, head, answers):
        part = slice(head * self.width, (head + 1) * self.width)

        def edit(_, args):
            changed = args[0].clone()
            changed[:, -1, part] = z[layer][:, -1, part]
            return (changed,)

        handles = [self.layers[layer].self_attn.o_proj.register_forward_pre_hook(edit)]
        for later in range(layer + 1, len(self.layers)):
            o = self.layers[later].self_attn.o_proj
            handles.append(o.register_forward_hook(lambda *_, later=later: out[later]))
        hidden = self.model.model(tokens).last_hidden_state[:, -1]
        for handle in handles:
            handle.remove()
        return (hidden * self.model.lm_head.weight[answers]).sum(-1)

    def select(self, heads):
        """The matrices that hold the heads, with gradients masked to them."""
        trained = []
        for index in sorted({layer for layer, _ in heads}):
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                p = getattr(self.layers[index].self_attn, name).weight
                mask = torch.zeros_like(p)
                for layer, head in heads:
                    part = slice(head * self.width, (head + 1) * self.width)
                    if layer == index and name == "o_proj":
                        mask[:, part] = 1
                    elif layer == index:
                        mask[part] = 1
                p.requires_grad_(True)
                p.register_hook(lambda grad, mask=mask: grad * mask)
                trained.append(p)
        return trained

    def update(self, rows, supervised, lr, heads):
        if self.optimizer is None:
            self.trained = self.select(heads)
            self.optimizer = torch.optim.AdamW(self.trained, lr=lr, weight_decay=0.0)
        ids = self.tensor(rows)
        tokens, targets = ids[:, :-1], ids[:, 1:]

        def step():
            hidden = self.model.model(tokens).last_hidden_state[:, -supervised:]
            logits = self.model.lm_head(hidden).float()
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), targets[:, -supervised:].flatten()
            )
            loss.backward()
            nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()

        if not self.optimizer.state:
            step()  # moments exist from here on
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        seconds = self.timed(step)
        peak = torch.cuda.max_memory_allocated() if self.device == "cuda" else 0
        return {"seconds": seconds, "bytes": peak}


side = Side()
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(getattr(side, request.pop("do"))(**request)), flush=True)
